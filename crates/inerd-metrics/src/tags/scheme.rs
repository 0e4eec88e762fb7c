use std::fmt;
use std::str::FromStr;

/// How tags mark where an entity begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `B` only where an entity follows another of its type.
    Iob1,
    /// `B` on every first token.
    Iob2,
    /// `E` only where an entity of the same type follows.
    Ioe1,
    /// `E` on every last token.
    Ioe2,
    /// Begin, inside, end, single.
    Iobes,
    /// Begin, inside, last, unit.
    Bilou,
}

impl Scheme {
    pub const ALL: [Self; 6] = [Self::Iob1, Self::Iob2, Self::Ioe1, Self::Ioe2, Self::Iobes, Self::Bilou];

    pub fn name(self) -> &'static str {
        match self {
            Self::Iob1 => "iob1",
            Self::Iob2 => "iob2",
            Self::Ioe1 => "ioe1",
            Self::Ioe2 => "ioe2",
            Self::Iobes => "iobes",
            Self::Bilou => "bilou",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A tagging scheme that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("find the tagging scheme `{name}`: known are {}", Scheme::ALL.map(Scheme::name).join(", "))]
pub struct UnknownScheme {
    pub name: String,
}

impl FromStr for Scheme {
    type Err = UnknownScheme;

    fn from_str(name: &str) -> Result<Self, UnknownScheme> {
        (Self::ALL.into_iter().find(|s| s.name() == name)).ok_or_else(|| UnknownScheme { name: name.to_owned() })
    }
}
