use std::fmt;

use crate::Convention;

/// Everything that decides what a figure means, as one line: `NER|conv:span|occ:leftmost-free|norm:none|unaligned:fp|v1`.
///
/// - `conv`: the [`Convention`];
/// - `occ`: which occurrence in the text a surface is mapped to;
/// - `norm`: how surfaces are normalised before they are compared;
/// - `unaligned`: what happens to a prediction that has no place in the text (`fp`: false positive, `drop`);
/// - `v`: version of the definitions in this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    pub convention: Convention,
    pub occurrence: &'static str,
    pub normalisation: &'static str,
    pub unaligned: &'static str,
}

impl Signature {
    /// Version of the definitions; a change that can change a figure raises it.
    pub const VERSION: u32 = 1;
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { convention, occurrence, normalisation, unaligned } = self;
        let version = Self::VERSION;
        write!(f, "NER|conv:{convention}|occ:{occurrence}|norm:{normalisation}|unaligned:{unaligned}|v{version}")
    }
}

impl Convention {
    pub fn signature(self) -> Signature {
        let (occurrence, normalisation, unaligned) = match self {
            Self::Span => ("leftmost-free", "none", "fp"),
        };
        Signature { convention: self, occurrence, normalisation, unaligned }
    }
}
