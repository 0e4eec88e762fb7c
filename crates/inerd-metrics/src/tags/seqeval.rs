use super::{BadTag, Ended, Reader};

/// seqeval's default mode. It joins all sentences by an `O`, and so carries its state across them; only tags with
/// prefixes that it does not know (`U`, `L`) make a difference of that.
#[derive(Debug)]
pub(crate) struct Seqeval<'a> {
    prefix: char,
    kind: &'a str,
    begin: usize,
    /// Tokens read so far, over all sentences and the `O` between them.
    position: usize,
}

impl Default for Seqeval<'_> {
    fn default() -> Self {
        Self { prefix: 'O', kind: "", begin: 0, position: 0 }
    }
}

impl<'a> Seqeval<'a> {
    fn step(&mut self, prefix: char, kind: &'a str) -> Ended<'a> {
        let (before, other_type) = (self.prefix, self.kind != kind);
        let ends = match before {
            'E' | 'S' => true,
            'B' | 'I' => other_type || matches!(prefix, 'B' | 'S' | 'O'),
            'O' | '.' => false,
            _ => other_type,
        };
        let begins = match prefix {
            'B' | 'S' => true,
            'I' | 'E' => other_type || matches!(before, 'E' | 'S' | 'O'),
            'O' | '.' => false,
            _ => other_type,
        };
        let ended = ends.then_some((self.kind, self.begin));
        if begins {
            self.begin = self.position;
        }
        (self.prefix, self.kind) = (prefix, kind);
        self.position += 1;
        ended
    }
}

impl<'a> Seqeval<'a> {
    /// Reads `L` (last) and `U` (unit), which seqeval does not know, as `E` and `S`.
    pub(crate) fn read_any_scheme(&mut self, tag: &'a str) -> Result<Ended<'a>, BadTag> {
        let (prefix, rest) = split_prefix(tag)?;
        let known = match prefix {
            'L' if rest.starts_with('-') => 'E',
            'U' if rest.starts_with('-') => 'S',
            other => other,
        };
        Ok(self.split(known, rest))
    }

    fn split(&mut self, prefix: char, rest: &'a str) -> Ended<'a> {
        // `-PER` and `PER` name the same type; a tag without a type has the type `_`.
        let kind = rest.split_once('-').map_or(rest, |(_, kind)| kind);
        self.step(prefix, if kind.is_empty() { "_" } else { kind })
    }
}

impl<'a> Reader<'a> for Seqeval<'a> {
    fn read(&mut self, tag: &'a str) -> Result<Ended<'a>, BadTag> {
        let (prefix, rest) = split_prefix(tag)?;
        Ok(self.split(prefix, rest))
    }

    fn end_sentence(&mut self) -> Ended<'a> {
        self.step('O', "_")
    }
}

/// The first character and what follows.
pub(crate) fn split_prefix(tag: &str) -> Result<(char, &str), BadTag> {
    let mut chars = tag.chars();
    let prefix = chars.next().ok_or(BadTag("a tag is at least one character long"))?;
    Ok((prefix, chars.as_str()))
}
