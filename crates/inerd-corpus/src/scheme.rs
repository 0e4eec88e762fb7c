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
    /// `B-` on the first token of every mention.
    Iob2,
    /// As IOB2, with `E-` on the last token and `S-` on single ones. BILOU is the same with `L-` and `U-`.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Outside,
    Begin,
    Inside,
    End,
    Single,
    /// A type without a prefix.
    Plain,
}

/// Splits a tag into its mark and its type. A prefix is one letter and a hyphen: `person-artist` has none.
fn split(tag: &str) -> (Mark, &str) {
    if tag == "O" {
        return (Mark::Outside, "");
    }
    match (tag.get(..2), tag.get(2..)) {
        (Some("B-"), Some(kind)) if !kind.is_empty() => (Mark::Begin, kind),
        (Some("I-" | "M-"), Some(kind)) if !kind.is_empty() => (Mark::Inside, kind),
        (Some("E-" | "L-"), Some(kind)) if !kind.is_empty() => (Mark::End, kind),
        (Some("S-" | "U-"), Some(kind)) if !kind.is_empty() => (Mark::Single, kind),
        _ => (Mark::Plain, tag),
    }
}

/// Watches the tags of a file go by and says which scheme they follow.
#[derive(Debug, Default)]
pub(crate) struct Detector {
    /// Type of the previous tag; empty at a sentence's start and after `O`.
    previous: String,
    plain: usize,
    begins_fresh: usize,
    insides_fresh: usize,
    ends: usize,
}

impl Detector {
    pub(crate) fn tag(&mut self, tag: &str) {
        let (mark, kind) = split(tag);
        let fresh = self.previous != kind;
        match mark {
            Mark::Outside => {}
            Mark::Plain => self.plain += 1,
            Mark::Begin => self.begins_fresh += usize::from(fresh),
            Mark::Inside => self.insides_fresh += usize::from(fresh),
            Mark::End | Mark::Single => self.ends += 1,
        }
        self.previous.clear();
        self.previous.push_str(kind);
    }

    pub(crate) fn sentence_end(&mut self) {
        self.previous.clear();
    }

    /// IOB1 leaves a trace that IOB2 never does: mentions that begin with `I-`, and no `B-` except behind a mention of
    /// the same type.
    pub(crate) fn scheme(&self) -> Scheme {
        if self.ends > 0 {
            Scheme::Iobes
        } else if self.plain > self.begins_fresh + self.insides_fresh {
            Scheme::Io
        } else if self.insides_fresh > 0 && self.begins_fresh == 0 {
            Scheme::Iob1
        } else {
            Scheme::Iob2
        }
    }
}

/// A mention as a range of token positions, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenMention<'a> {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: &'a str,
}

/// The mentions that one sentence's tags spell. What the scheme forbids is repaired and handed to `repaired` with the
/// token's position.
pub(crate) fn mentions<'a>(
    tags: &[&'a str],
    scheme: Scheme,
    mut repaired: impl FnMut(Repair, usize),
) -> Vec<TokenMention<'a>> {
    let mut found: Vec<TokenMention<'a>> = Vec::new();
    // The last mention in `found` can still grow.
    let mut open = false;
    for (at, tag) in tags.iter().enumerate() {
        let (mark, kind) = split(tag);
        let continues = open && found.last().is_some_and(|m| m.kind == kind);
        let goes_on = continues && matches!(mark, Mark::Inside | Mark::End | Mark::Plain);
        if open && !goes_on && scheme == Scheme::Iobes {
            repaired(Repair::UnclosedMention, at - 1);
        }
        if goes_on {
            if let Some(last) = found.last_mut() {
                last.end = at + 1;
            }
        } else if mark != Mark::Outside {
            let orphan = matches!(
                (mark, scheme),
                (Mark::Inside, Scheme::Iob2 | Scheme::Iobes) | (Mark::End, _) | (Mark::Plain, Scheme::Iob2)
            );
            if orphan {
                repaired(Repair::OrphanTag, at);
            }
            found.push(TokenMention { start: at, end: at + 1, kind });
        }
        open = matches!(mark, Mark::Begin | Mark::Inside | Mark::Plain);
    }
    if open && scheme == Scheme::Iobes {
        repaired(Repair::UnclosedMention, tags.len() - 1);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(sentences: &[&[&str]]) -> Scheme {
        let mut detector = Detector::default();
        for sentence in sentences {
            sentence.iter().for_each(|tag| detector.tag(tag));
            detector.sentence_end();
        }
        detector.scheme()
    }

    fn decode(tags: &[&str], scheme: Scheme) -> (Vec<(usize, usize, String)>, Vec<(Repair, usize)>) {
        let mut repairs = Vec::new();
        let found = mentions(tags, scheme, |repair, at| repairs.push((repair, at)));
        (found.iter().map(|m| (m.start, m.end, m.kind.to_owned())).collect(), repairs)
    }

    #[test]
    fn each_scheme_is_recognised() {
        assert_eq!(detect(&[&["O", "I-A", "B-A", "I-A"], &["I-B"]]), Scheme::Iob1);
        assert_eq!(detect(&[&["O", "B-A", "I-A", "B-A"], &["B-B"]]), Scheme::Iob2);
        assert_eq!(detect(&[&["B-A", "I-A"], &["I-B"]]), Scheme::Iob2);
        assert_eq!(detect(&[&["B-A", "I-A", "E-A", "S-B"]]), Scheme::Iobes);
        assert_eq!(detect(&[&["B-A", "I-A", "L-A", "U-B"]]), Scheme::Iobes);
        assert_eq!(detect(&[&["person-artist", "person-artist", "O"]]), Scheme::Io);
        assert_eq!(detect(&[&["O"]]), Scheme::Iob2);
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
            assert_eq!(decode(&tags, scheme), (gold.clone(), Vec::new()), "{scheme}");
        }
        assert_eq!(decode(&["A", "A", "A", "O", "B"], Scheme::Io).0, [(0, 3, "A".to_owned()), (4, 5, "B".to_owned())]);
    }

    #[test]
    fn what_a_scheme_forbids_is_repaired_and_reported() {
        let (found, repairs) = decode(&["I-A", "I-B", "O", "B-A", "I-B"], Scheme::Iob2);
        assert_eq!(found.iter().map(|m| (m.0, m.1)).collect::<Vec<_>>(), [(0, 1), (1, 2), (3, 4), (4, 5)]);
        assert_eq!(repairs, [(Repair::OrphanTag, 0), (Repair::OrphanTag, 1), (Repair::OrphanTag, 4)]);

        let (found, repairs) = decode(&["B-A", "O", "E-B", "B-A"], Scheme::Iobes);
        assert_eq!(found.iter().map(|m| (m.0, m.1)).collect::<Vec<_>>(), [(0, 1), (2, 3), (3, 4)]);
        let unclosed = Repair::UnclosedMention;
        assert_eq!(repairs, [(unclosed, 0), (Repair::OrphanTag, 2), (unclosed, 3)]);
    }
}
