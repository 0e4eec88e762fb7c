use serde::{Deserialize, Serialize};

/// How an answer is laid out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `Person : Ada Lovelace ; Location : London ;`
    #[default]
    Paper,
    /// `Ada Lovelace : Person ; London : Location ;`
    ContentFirst,
    /// `{"type": "Person", "text": "Ada Lovelace"}`, one line per entity.
    Json,
}

/// How sentences and entities become text. The defaults are the paper's first format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct FormatSettings {
    pub layout: Layout,
    /// Ends the prompt. A special token where the tokenizer knows one of this name.
    pub combine: String,
    /// Type-content separator; a special token where the tokenizer knows one of this name.
    pub tcs: String,
    /// Entity separator; a special token where the tokenizer knows one of this name.
    pub es: String,
}

impl Default for FormatSettings {
    fn default() -> Self {
        Self { layout: Layout::Paper, combine: "\n".to_owned(), tcs: ":".to_owned(), es: ";".to_owned() }
    }
}
