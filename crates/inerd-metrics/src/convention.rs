use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What counts as a correct entity. The same answers score differently under each.
///
/// The named tools' own scripts are the reference for what is said here; where one adds 1e-10 to its denominators
/// ([`Convention::UniversalNer`], [`Convention::Gner`]) that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Convention {
    /// Type, start and end agree: conlleval's rule and the primary figure. A prediction without a place in the text
    /// is a false positive.
    Span,
    /// seqeval's default mode on the answers written as IOB2 tags over the sentence's tokens. What tags cannot say
    /// (no place in the text, half a token, an overlap with an earlier entity) is not written, and so costs nothing.
    Seqeval,
    /// seqeval's strict mode (IOB2) on the same tags. Tags written from entities are well-formed, so the two modes
    /// differ only on foreign tags ([`crate::score_tags`]).
    SeqevalStrict,
    /// The iNERD authors' score: the set of (type, surface) of each sentence with all spaces removed; predictions of
    /// a type outside the schema are dropped first.
    Authors,
    /// `UniversalNER`: the set of (type, normalised surface); normalised is lower case without ASCII punctuation,
    /// articles and repeated white space.
    #[serde(rename = "universalner")]
    UniversalNer,
    /// GNER: the same set, but of what can be written as tags over the sentence's tokens with known types, so that
    /// content that is not in the text costs nothing.
    Gner,
    /// `GoLLIE`: the multiset of (type, surface in lower case); unknown types, content that the text does not hold as
    /// a lower-case substring, and more mentions of a content than the text holds are dropped first.
    Gollie,
    /// `PaDeLLM`: the set of (type, surface), both as written.
    Padellm,
    /// nervaluate: boundaries and type agree (SemEval-2013 task 9.1), entities of unknown types dropped.
    NervaluateStrict,
    /// nervaluate: boundaries agree, the type is not looked at.
    NervaluateExact,
    /// nervaluate: boundaries agree, or overlap for half the credit; the type is not looked at.
    NervaluatePartial,
    /// nervaluate: some overlap, and the type agrees.
    NervaluateType,
}

impl Convention {
    /// In the order of reports.
    pub const ALL: [Self; 12] = [
        Self::Span,
        Self::Seqeval,
        Self::SeqevalStrict,
        Self::Authors,
        Self::UniversalNer,
        Self::Gner,
        Self::Gollie,
        Self::Padellm,
        Self::NervaluateStrict,
        Self::NervaluateExact,
        Self::NervaluatePartial,
        Self::NervaluateType,
    ];

    /// As it stands in signatures, configurations and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Span => "span",
            Self::Seqeval => "seqeval",
            Self::SeqevalStrict => "seqeval-strict",
            Self::Authors => "authors",
            Self::UniversalNer => "universalner",
            Self::Gner => "gner",
            Self::Gollie => "gollie",
            Self::Padellm => "padellm",
            Self::NervaluateStrict => "nervaluate-strict",
            Self::NervaluateExact => "nervaluate-exact",
            Self::NervaluatePartial => "nervaluate-partial",
            Self::NervaluateType => "nervaluate-type",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_everywhere() {
        for convention in Convention::ALL {
            assert_eq!(convention.name().parse(), Ok(convention));
            assert_eq!(serde_json::to_string(&convention).unwrap(), format!("\"{convention}\""));
        }
        let error = "f1".parse::<Convention>().unwrap_err().to_string();
        assert!(error.contains("`f1`") && error.contains("span, seqeval"), "{error}");
    }
}
