//! Tagging schemes: which one a file uses, and the mentions that its tags spell.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::report::Repair;

/// How tags mark the edges of mentions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// The bare type on every token (`person`); adjacent mentions of one type can't be told apart.
    Io,
    /// `I-` everywhere; `B-` only between adjacent mentions of one type.
    Iob1,
    /// `B-` on the first token of every mention; also called BIO.
    #[serde(alias = "bio")]
    Iob2,
    /// As IOB2, with `E-` on the last token and `S-` on single ones. BILOU is the same with `L-` and `U-`.
    #[serde(alias = "bioes", alias = "bilou")]
    Iobes,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Io => "IO",
            Self::Iob1 => "IOB1",
            Self::Iob2 => "IOB2",
            Self::Iobes => "IOBES",
        })
    }
}

/// The type of mentions in a file whose tags are bare marks (`B`, `I`, `O`).
const UNNAMED: &str = "Entity";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Outside,
    Begin,
    Inside,
    End,
    Single,
    /// A type without a mark.
    Plain,
}

/// What a tag is made of, throughout a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parts {
    /// A mark, a hyphen and a type: `B-person`.
    MarkAndType,
    /// A mark: `B`.
    Mark,
    /// A type, whatever it looks like: `person-artist`, `E-mail`.
    Type,
}

/// How the tags of a file are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tags {
    pub(crate) scheme: Scheme,
    parts: Parts,
}

fn mark(letter: &str) -> Option<Mark> {
    match letter {
        "B" => Some(Mark::Begin),
        "I" | "M" => Some(Mark::Inside),
        "E" | "L" => Some(Mark::End),
        "S" | "U" => Some(Mark::Single),
        _ => None,
    }
}

/// A mark and a type. A mark is one letter and a hyphen: `person-artist` has none.
fn mark_and_type(tag: &str) -> Option<(Mark, &str)> {
    let kind = tag.get(1..)?.strip_prefix('-').filter(|kind| !kind.is_empty())?;
    Some((mark(tag.get(..1)?)?, kind))
}

/// `O`, and what some files write in its place (`_`, `-`).
fn is_outside(tag: &str) -> bool {
    tag == "O" || !tag.contains(char::is_alphanumeric)
}

/// Whether a word is `O`, has a mark, or is one.
pub(crate) fn looks_like_tag(word: &str) -> bool {
    word == "O" || mark_and_type(word).is_some() || mark(word).is_some()
}

impl Tags {
    fn split(self, tag: &str) -> (Mark, &str) {
        if is_outside(tag) {
            return (Mark::Outside, "");
        }
        let read = match self.parts {
            Parts::MarkAndType => mark_and_type(tag),
            Parts::Mark => mark(tag).map(|mark| (mark, UNNAMED)),
            Parts::Type => None,
        };
        read.unwrap_or((Mark::Plain, tag))
    }

    /// Whether tags have marks, by which a tag can be told from any other word.
    pub(crate) fn has_marks(self) -> bool {
        self.parts != Parts::Type
    }

    /// Whether a tag is `O` or has a mark.
    pub(crate) fn knows(self, tag: &str) -> bool {
        self.split(tag).0 != Mark::Plain
    }

    /// The mentions that one sentence's tags spell. What the scheme forbids is repaired and handed to `repaired` with
    /// the token's position.
    pub(crate) fn mentions<'a>(
        self,
        tags: &[&'a str],
        mut repaired: impl FnMut(Repair, usize),
    ) -> Vec<TokenMention<'a>> {
        let Self { scheme, .. } = self;
        let mut found: Vec<TokenMention<'a>> = Vec::new();
        // The last mention in `found` can still grow.
        let mut open = false;
        // The type of the token before, for IOB1.
        let mut previous = "";
        for (at, &tag) in tags.iter().enumerate() {
            let (mark, kind) = self.split(tag);
            // In IO marks tell nothing.
            let mark = if scheme == Scheme::Io && mark != Mark::Outside { Mark::Plain } else { mark };
            let continues = open && found.last().is_some_and(|m| m.kind == kind);
            let goes_on = continues && matches!(mark, Mark::Inside | Mark::End | Mark::Plain);
            if open && !goes_on && scheme == Scheme::Iobes {
                repaired(Repair::UnclosedMention, at - 1);
            }
            match (mark, scheme) {
                (Mark::Outside, _) if tag != "O" => repaired(Repair::NoLabel, at),
                (Mark::Plain, Scheme::Iob1 | Scheme::Iob2 | Scheme::Iobes)
                | (Mark::End | Mark::Single, Scheme::Iob1 | Scheme::Iob2) => repaired(Repair::ForeignTag, at),
                (Mark::Inside, Scheme::Iob2 | Scheme::Iobes) | (Mark::End, Scheme::Iobes) if !goes_on => {
                    repaired(Repair::OrphanTag, at);
                }
                (Mark::Begin, Scheme::Iob1) if previous != kind => repaired(Repair::NeedlessBegin, at),
                _ => {}
            }
            if goes_on {
                if let Some(last) = found.last_mut() {
                    last.end = at + 1;
                }
            } else if mark != Mark::Outside {
                found.push(TokenMention { start: at, end: at + 1, kind });
            }
            open = matches!(mark, Mark::Begin | Mark::Inside | Mark::Plain);
            previous = kind;
        }
        if open && scheme == Scheme::Iobes {
            repaired(Repair::UnclosedMention, tags.len() - 1);
        }
        found
    }
}

/// Watches the tags of a file go by and says how they are to be read. What most tags do counts: a few that break the
/// rules are repaired, one by one.
#[derive(Debug, Default)]
pub(crate) struct Detector {
    /// Type and mark of the previous tag; `None` at a sentence's start and behind `O`.
    previous: String,
    open: bool,
    typed: usize,
    bare: usize,
    plain: usize,
    begins_fresh: usize,
    insides_fresh: usize,
    /// Mentions that end with `E`, `L`, `S` or `U`, and those that don't.
    closed: usize,
    unclosed: usize,
}

impl Detector {
    pub(crate) fn tag(&mut self, tag: &str) {
        let read = mark_and_type(tag);
        let alone = mark(tag).map(|mark| (mark, UNNAMED));
        let (mark, kind) = match read.or(alone) {
            _ if is_outside(tag) => return self.sentence_end(),
            Some(read) => read,
            None => {
                self.plain += 1;
                return self.sentence_end();
            }
        };
        self.typed += usize::from(read.is_some());
        self.bare += usize::from(read.is_none());
        let fresh = self.previous != kind;
        let goes_on = !fresh && matches!(mark, Mark::Inside | Mark::End);
        self.unclosed += usize::from(self.open && !goes_on);
        match mark {
            Mark::Begin => self.begins_fresh += usize::from(fresh),
            Mark::Inside => self.insides_fresh += usize::from(fresh),
            _ => self.closed += 1,
        }
        self.open = matches!(mark, Mark::Begin | Mark::Inside);
        self.previous.clear();
        self.previous.push_str(kind);
    }

    pub(crate) fn sentence_end(&mut self) {
        self.unclosed += usize::from(std::mem::take(&mut self.open));
        self.previous.clear();
    }

    /// Takes in what another one saw, of whole sentences.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.typed += other.typed;
        self.bare += other.bare;
        self.plain += other.plain;
        self.begins_fresh += other.begins_fresh;
        self.insides_fresh += other.insides_fresh;
        self.closed += other.closed;
        self.unclosed += other.unclosed;
    }

    /// How the tags are read; `scheme` where the card says which it is.
    ///
    /// IOB1 leaves a trace that IOB2 does not: mentions that begin with `I-`.
    pub(crate) fn tags(&self, scheme: Option<Scheme>) -> Tags {
        let most = self.typed.max(self.bare).max(self.plain);
        let parts = match most {
            0 => Parts::MarkAndType,
            _ if most == self.typed => Parts::MarkAndType,
            _ if most == self.bare => Parts::Mark,
            _ => Parts::Type,
        };
        let detected = if parts == Parts::Type {
            Scheme::Io
        } else if self.closed > self.unclosed {
            Scheme::Iobes
        } else if self.insides_fresh > self.begins_fresh {
            Scheme::Iob1
        } else {
            Scheme::Iob2
        };
        // A card that names a scheme with marks knows better than a count.
        let scheme = scheme.unwrap_or(detected);
        let parts = if scheme != Scheme::Io && parts == Parts::Type { Parts::MarkAndType } else { parts };
        Tags { scheme, parts }
    }
}

/// A mention as a range of token positions, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenMention<'a> {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(sentences: &[&[&str]]) -> Tags {
        let mut detector = Detector::default();
        for sentence in sentences {
            sentence.iter().for_each(|tag| detector.tag(tag));
            detector.sentence_end();
        }
        detector.tags(None)
    }

    fn detect(sentences: &[&[&str]]) -> Scheme {
        detected(sentences).scheme
    }

    type Found = (Vec<(usize, usize, String)>, Vec<(Repair, usize)>);

    fn read(tags: Tags, sentence: &[&str]) -> Found {
        let mut repairs = Vec::new();
        let found = tags.mentions(sentence, |repair, at| repairs.push((repair, at)));
        (found.iter().map(|m| (m.start, m.end, m.kind.to_owned())).collect(), repairs)
    }

    fn decode(tags: &[&str], scheme: Scheme) -> Found {
        let parts = if scheme == Scheme::Io { Parts::Type } else { Parts::MarkAndType };
        read(Tags { scheme, parts }, tags)
    }

    #[test]
    fn each_scheme_is_recognised() {
        assert_eq!(detect(&[&["O", "I-A", "B-A", "I-A"], &["I-B"]]), Scheme::Iob1);
        assert_eq!(detect(&[&["O", "B-A", "I-A", "B-A"], &["B-B"]]), Scheme::Iob2);
        assert_eq!(detect(&[&["B-A", "I-A"], &["I-B"]]), Scheme::Iob2);
        assert_eq!(detect(&[&["B-A", "I-A", "E-A", "S-B"]]), Scheme::Iobes);
        assert_eq!(detect(&[&["B-A", "I-A", "L-A", "U-B"]]), Scheme::Iobes);
        assert_eq!(detect(&[&["B-A", "M-A", "E-A", "O", "S-B"]]), Scheme::Iobes);
        assert_eq!(detect(&[&["person-artist", "person-artist", "O"]]), Scheme::Io);
        assert_eq!(detect(&[&["O"]]), Scheme::Iob2);
    }

    /// A slip of an annotator must not turn a file into one of another scheme, with a repair on every other line.
    #[test]
    fn a_few_tags_that_break_the_rules_do_not_change_the_scheme() {
        let slip = |many: &[&str], slip: &[&str]| detect(&[many, many, slip, many]);
        assert_eq!(slip(&["I-A", "I-A", "O"], &["B-A"]), Scheme::Iob1);
        assert_eq!(slip(&["B-A", "I-A", "O"], &["B-A", "E-A"]), Scheme::Iob2);
        assert_eq!(slip(&["B-A", "I-A", "O"], &["I-A"]), Scheme::Iob2);
        assert_eq!(slip(&["B-A", "E-A", "S-A"], &["B-A", "I-A"]), Scheme::Iobes);
        // A type that looks like a tag with a mark.
        assert_eq!(slip(&["name", "O", "name"], &["E-mail", "S-Bahn"]), Scheme::Io);
        let io = detected(&[&["name", "E-mail", "E-mail", "B-cell", "name", "O", "name"], &["name"]]);
        let mentions = [(0, 1, "name"), (1, 3, "E-mail"), (3, 4, "B-cell")].map(|(s, e, k)| (s, e, k.to_owned()));
        assert_eq!(read(io, &["name", "E-mail", "E-mail", "B-cell"]), (mentions.to_vec(), vec![]));
    }

    #[test]
    fn marks_without_types_are_read() {
        let tags = detected(&[&["B", "I", "O", "B"], &["O", "B"]]);
        assert_eq!(tags.scheme, Scheme::Iob2);
        let mentions = [(0, 2), (2, 3)].map(|(s, e)| (s, e, UNNAMED.to_owned()));
        assert_eq!(read(tags, &["B", "I", "B", "O"]), (mentions.to_vec(), vec![]));
        assert_eq!(detect(&[&["S", "O", "B", "E"]]), Scheme::Iobes);
    }

    /// One sentence, two adjacent mentions of one type and a third of another, in every scheme that can say so.
    #[test]
    fn the_same_mentions_in_every_scheme() {
        let gold = vec![(0, 2, "A".to_owned()), (2, 3, "A".to_owned()), (4, 5, "B".to_owned())];
        for (tags, scheme) in [
            (["I-A", "I-A", "B-A", "O", "I-B"], Scheme::Iob1),
            (["B-A", "I-A", "B-A", "O", "B-B"], Scheme::Iob2),
            (["B-A", "E-A", "S-A", "O", "S-B"], Scheme::Iobes),
            (["B-A", "L-A", "U-A", "O", "U-B"], Scheme::Iobes),
        ] {
            assert_eq!(detect(&[&tags]), scheme);
            assert_eq!(decode(&tags, scheme), (gold.clone(), Vec::new()), "{scheme}");
        }
        assert_eq!(decode(&["A", "A", "A", "O", "B"], Scheme::Io).0, [(0, 3, "A".to_owned()), (4, 5, "B".to_owned())]);
        // A card may say that marks mean nothing.
        let mut detector = Detector::default();
        detector.tag("I-A");
        assert_eq!(read(detector.tags(Some(Scheme::Io)), &["I-A", "B-A"]).0, [(0, 2, "A".to_owned())]);
    }

    #[test]
    fn what_a_scheme_forbids_is_repaired_and_reported() {
        let spans = |found: &Found| found.0.iter().map(|m| (m.0, m.1)).collect::<Vec<_>>();
        let (orphan, unclosed, foreign) = (Repair::OrphanTag, Repair::UnclosedMention, Repair::ForeignTag);

        let found = decode(&["I-A", "I-B", "O", "B-A", "I-B"], Scheme::Iob2);
        assert_eq!(spans(&found), [(0, 1), (1, 2), (3, 4), (4, 5)]);
        assert_eq!(found.1, [(orphan, 0), (orphan, 1), (orphan, 4)]);

        let found = decode(&["B-A", "O", "E-B", "B-A"], Scheme::Iobes);
        assert_eq!(spans(&found), [(0, 1), (2, 3), (3, 4)]);
        assert_eq!(found.1, [(unclosed, 0), (orphan, 2), (unclosed, 3)]);

        let found = decode(&["B-A", "E-A", "S-A", "A", "_"], Scheme::Iob2);
        assert_eq!(spans(&found), [(0, 2), (2, 3), (3, 4)]);
        assert_eq!(found.1, [(foreign, 1), (foreign, 2), (foreign, 3), (Repair::NoLabel, 4)]);

        let found = decode(&["B-A", "I-A", "B-A"], Scheme::Iob1);
        assert_eq!(spans(&found), [(0, 2), (2, 3)]);
        assert_eq!(found.1, [(Repair::NeedlessBegin, 0)]);
    }
}
