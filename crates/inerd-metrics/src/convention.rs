use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What counts as a correct entity. The same answers score differently under each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Convention {
    /// Type, start and end agree: conlleval's rule and the primary figure. A prediction without a place in the text
    /// is a false positive.
    Span,
}

impl Convention {
    /// In the order of reports.
    pub const ALL: [Self; 1] = [Self::Span];

    pub fn name(self) -> &'static str {
        match self {
            Self::Span => "span",
        }
    }
}

impl fmt::Display for Convention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A convention that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("find the scoring convention `{name}`: known are {}", Convention::ALL.map(Convention::name).join(", "))]
pub struct UnknownConvention {
    pub name: String,
}

impl FromStr for Convention {
    type Err = UnknownConvention;

    fn from_str(name: &str) -> Result<Self, UnknownConvention> {
        (Self::ALL.into_iter().find(|c| c.name() == name)).ok_or_else(|| UnknownConvention { name: name.to_owned() })
    }
}
