use super::seqeval::split_prefix;
use super::{BadTag, Ended, Reader, Scheme};

/// seqeval's strict mode: an entity counts where it begins, continues and ends as its scheme wants it; anything else
/// is as if it were not there.
///
/// The tables are seqeval's, with its gaps: under IOB1 a `B` after `O` begins nothing.
#[derive(Debug)]
pub(crate) struct Strict<'a> {
    scheme: Scheme,
    prefix: char,
    kind: &'a str,
    /// Type of the first token and its position, where an entity is open.
    open: Ended<'a>,
    position: usize,
}

impl<'a> Strict<'a> {
    pub(crate) fn new(scheme: Scheme) -> Self {
        Self { scheme, prefix: 'O', kind: "_", open: None, position: 0 }
    }

    fn step(&mut self, prefix: char, kind: &'a str) -> Ended<'a> {
        let (before, same) = (self.prefix, self.kind == kind);
        let mut ended = None;
        if let Some(entity) = self.open
            && !self.scheme.continues(before, prefix, same)
        {
            ended = Some(entity).filter(|_| self.scheme.ends(before, prefix, same));
            self.open = None;
        }
        if self.open.is_none() && self.scheme.begins(before, prefix, same) {
            self.open = Some((kind, self.position));
        }
        (self.prefix, self.kind) = (prefix, kind);
        self.position += 1;
        ended
    }
}

impl<'a> Reader<'a> for Strict<'a> {
    fn read(&mut self, tag: &'a str) -> Result<Ended<'a>, BadTag> {
        let (prefix, rest) = split_prefix(tag)?;
        if !self.scheme.prefixes().contains(prefix) {
            return Err(BadTag("its prefix is not one of the scheme's"));
        }
        let kind = rest.trim_matches('-');
        Ok(self.step(prefix, if kind.is_empty() { "_" } else { kind }))
    }

    fn end_sentence(&mut self) -> Ended<'a> {
        self.step('O', "_")
    }
}

/// What may stand beside what: the prefix before, the prefix now, and whether their types are the same.
impl Scheme {
    fn prefixes(self) -> &'static str {
        match self {
            Self::Iob1 | Self::Iob2 => "IOB",
            Self::Ioe1 | Self::Ioe2 => "IOE",
            Self::Iobes => "IOBES",
            Self::Bilou => "BILOU",
        }
    }

    fn begins(self, before: char, now: char, same: bool) -> bool {
        match (self, before, now) {
            (Self::Iob1, 'O' | 'B', 'I')
            | (Self::Iob2, _, 'B')
            | (Self::Ioe1, 'O' | 'E', 'I')
            | (Self::Ioe2, 'O' | 'E', 'I' | 'E')
            | (Self::Iobes, _, 'B' | 'S')
            | (Self::Bilou, _, 'B' | 'U') => true,
            (Self::Iob1, 'I' | 'B', 'B') | (Self::Ioe1, 'E', 'E') => same,
            (Self::Iob1 | Self::Ioe1, 'I', 'I') | (Self::Ioe2, 'I', 'I' | 'E') => !same,
            _ => false,
        }
    }

    fn continues(self, before: char, now: char, same: bool) -> bool {
        same && match self {
            Self::Iob1 | Self::Iob2 => matches!((before, now), ('B' | 'I', 'I')),
            Self::Ioe1 | Self::Ioe2 => matches!((before, now), ('I', 'I' | 'E')),
            Self::Iobes => matches!((before, now), ('B' | 'I', 'I' | 'E')),
            Self::Bilou => matches!((before, now), ('B' | 'I', 'I' | 'L')),
        }
    }

    fn ends(self, before: char, now: char, same: bool) -> bool {
        match (self, before, now) {
            (Self::Iob1 | Self::Iob2, 'B' | 'I', 'O')
            | (Self::Iob1 | Self::Iob2, 'I', 'B')
            | (Self::Iob2, 'B', 'B')
            | (Self::Ioe1, 'I', 'O')
            | (Self::Ioe2, 'E', _)
            | (Self::Iobes, 'S' | 'E', _)
            | (Self::Bilou, 'U' | 'L', _) => true,
            (Self::Iob1, 'B', 'B') | (Self::Ioe1, 'E', 'I' | 'E') => same,
            (Self::Iob1 | Self::Iob2, 'I' | 'B', 'I') | (Self::Ioe1, 'I', 'I' | 'E') => !same,
            _ => false,
        }
    }
}
