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

    /// The scheme whose marks these tags have: BILOU where one begins with `L` or `U`, IOBES where one begins with `S`
    /// or `E` beside `B`, IOE2 where there is `E` without `B`, else IOB2. (The marks do not tell IOB1 from IOB2.)
    pub fn of_marks<'a>(tags: impl IntoIterator<Item = &'a str>) -> Self {
        let mut seen = [false; 256];
        for tag in tags {
            if let Some(&mark) = tag.as_bytes().first() {
                seen[usize::from(mark)] = true;
            }
        }
        let has = |mark: u8| seen[usize::from(mark)];
        if has(b'L') || has(b'U') {
            Self::Bilou
        } else if has(b'S') || (has(b'E') && has(b'B')) {
            Self::Iobes
        } else if has(b'E') {
            Self::Ioe2
        } else {
            Self::Iob2
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_tell_the_scheme() {
        for (tags, scheme) in [
            ("O", Scheme::Iob2),
            ("B-P I-P O", Scheme::Iob2),
            ("I-P E-P O", Scheme::Ioe2),
            ("B-P E-P S-P", Scheme::Iobes),
            ("O S-P", Scheme::Iobes),
            ("B-P L-P", Scheme::Bilou),
        ] {
            assert_eq!(Scheme::of_marks(tags.split(' ')), scheme, "{tags}");
        }
    }
}
