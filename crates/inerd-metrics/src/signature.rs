use std::fmt;

use crate::Convention;
use crate::tags::Scheme;

/// Everything that decides what a figure means, as one line: `NER|conv:span|occ:leftmost-free|norm:none|unaligned:fp|v1`.
///
/// - `conv`: the [`Convention`], and the tagging scheme where the rules need one (`seqeval-strict:iob2`);
/// - `occ`: which occurrence in the text a surface is mapped to (`leftmost-free`; `given`: the system says where;
///   `none`: positions are not looked at);
/// - `norm`: how surfaces are normalised before they are compared;
/// - `unaligned`: what happens to a prediction that has no place in the text (`fp`: false positive; `drop`; `none`:
///   there can be none);
/// - `v`: version of the definitions in this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    pub convention: Convention,
    pub scheme: Option<Scheme>,
    pub occurrence: &'static str,
    pub normalisation: &'static str,
    pub unaligned: &'static str,
}

impl Signature {
    /// Version of the definitions; a change that can change a figure raises it.
    pub const VERSION: u32 = 1;

    /// The same rules on predictions that came with positions of their own.
    #[must_use]
    pub fn with_given_positions(self) -> Self {
        let occurrence = if self.occurrence == "none" { "none" } else { "given" };
        Self { occurrence, ..self }
    }

    /// The same rules on tags: every entity has a place.
    #[must_use]
    pub fn of_tags(self, scheme: Option<Scheme>) -> Self {
        Self { scheme, unaligned: "none", ..self.with_given_positions() }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { convention, scheme, occurrence, normalisation, unaligned } = self;
        let scheme = scheme.map_or_else(String::new, |s| format!(":{s}"));
        let version = Self::VERSION;
        write!(
            f,
            "NER|conv:{convention}{scheme}|occ:{occurrence}|norm:{normalisation}|unaligned:{unaligned}|v{version}"
        )
    }
}

impl Convention {
    /// The signature on generations whose contents were aligned with the text by this suite.
    pub fn signature(self) -> Signature {
        let (occurrence, normalisation, unaligned) = match self {
            Self::Span
            | Self::NervaluateStrict
            | Self::NervaluateExact
            | Self::NervaluatePartial
            | Self::NervaluateType => ("leftmost-free", "none", "fp"),
            Self::Seqeval | Self::SeqevalStrict => ("leftmost-free", "none", "drop"),
            Self::Authors => ("none", "no-spaces", "fp"),
            Self::UniversalNer => ("none", "lower-punct-articles", "fp"),
            Self::Gner => ("leftmost-free", "lower-punct-articles", "drop"),
            Self::Gollie => ("none", "lower", "drop"),
            Self::Padellm => ("none", "none", "fp"),
        };
        let scheme = (self == Self::SeqevalStrict).then_some(Scheme::Iob2);
        Signature { convention: self, scheme, occurrence, normalisation, unaligned }
    }
}
