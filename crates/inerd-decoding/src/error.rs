use thiserror::Error;

/// Why a codec could not be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    #[error("spell the separator `{separator}`: the tokenizer gives no token for it; choose another `{setting}`")]
    Separator { setting: &'static str, separator: String },
    #[error("write the type `{kind}`: its name is empty after verbalisation")]
    EmptyType { kind: String },
    #[error("tell the types `{first}` and `{second}` apart: both are written `{written}`")]
    SameName { first: String, second: String, written: String },
    #[error("combine the rules: `{rule}` needs `{needs}`; add it or drop `{rule}`")]
    Missing { rule: &'static str, needs: &'static str },
    #[error("use the format: {reason}")]
    Format { reason: String },
}

/// A token that the rules forbid at this point of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("accept token {token}: the rules forbid it here")]
pub struct Forbidden {
    pub token: u32,
}
