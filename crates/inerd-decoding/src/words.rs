//! Where an entity may begin and end.
//!
//! A *unit* is the smallest piece that the rule `word-boundary` leaves whole: a run of letters and digits, or a single
//! other character. That is on purpose finer than the words of most corpora (`New-York` has three units, `U.S.` four):
//! a rule that claims to allow every whole-word entity has to err on the side of too many boundaries.

use inerd_text::Span;
use unicode_segmentation::UnicodeSegmentation;

/// One unit with the white space in front of it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Where the white space before the unit begins; equals `start` where there is none.
    pub(crate) space: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Space,
    Word,
    /// Stands alone: punctuation, symbols, emoji, and every character of a script that writes no spaces.
    Single,
}

/// The units of a text, in order. White space at the end belongs to none.
pub(crate) fn units(text: &str) -> Vec<Unit> {
    let mut units = Vec::with_capacity(text.len() / 4 + 1);
    let mut builder = Builder { units: &mut units, space: 0, last: Class::Space };
    if text.is_ascii() {
        for (at, byte) in text.bytes().enumerate() {
            let class = if byte.is_ascii_alphanumeric() {
                Class::Word
            } else if byte.is_ascii_whitespace() || byte == 0x0b {
                Class::Space
            } else {
                Class::Single
            };
            builder.push(class, at, at + 1);
        }
    } else {
        // Grapheme clusters, so that a combining mark or a joined emoji is never cut.
        for (at, cluster) in text.grapheme_indices(true) {
            builder.push(class_of(cluster), at, at + cluster.len());
        }
    }
    join_contractions(text, &mut units);
    units
}

struct Builder<'a> {
    units: &'a mut Vec<Unit>,
    space: usize,
    last: Class,
}

impl Builder<'_> {
    fn push(&mut self, class: Class, start: usize, end: usize) {
        match class {
            Class::Space => {}
            Class::Word if self.last == Class::Word => {
                if let Some(unit) = self.units.last_mut() {
                    unit.end = end;
                }
                self.space = end;
            }
            Class::Word | Class::Single => {
                self.units.push(Unit { space: self.space, start, end });
                self.space = end;
            }
        }
        self.last = class;
    }
}

fn class_of(cluster: &str) -> Class {
    let Some(first) = cluster.chars().next() else { return Class::Space };
    if first.is_whitespace() {
        Class::Space
    } else if first.is_alphanumeric() && !writes_no_spaces(first) {
        Class::Word
    } else {
        Class::Single
    }
}

/// Han, kana, Thai, Lao, Tibetan, Myanmar, Khmer: here every character may begin or end an entity.
fn writes_no_spaces(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0FFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x2E80..=0x31FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF
        | 0xA000..=0xA4CF | 0xF900..=0xFAFF | 0xFF66..=0xFF9F | 0x20000..=0x3FFFF)
}

/// An English contraction (`'s`, `'ll`, …) is one unit: tokenizers keep it as one token, and no entity ends inside it.
/// Behind a script that writes no spaces it is none: there the mark opens a quotation.
fn join_contractions(text: &str, units: &mut Vec<Unit>) {
    let piece = |unit: &Unit| text.get(unit.start..unit.end).unwrap_or_default();
    if !text.contains(['\'', '\u{2019}']) {
        return;
    }
    let mut at = 1;
    while at + 1 < units.len() {
        let (before, mark, suffix) = (units[at - 1], units[at], units[at + 1]);
        let joined = matches!(piece(&mark), "'" | "\u{2019}")
            && before.end == mark.start
            && mark.end == suffix.start
            && class_of(piece(&before)) == Class::Word
            && matches!(piece(&suffix), "s" | "t" | "re" | "ve" | "m" | "ll" | "d" | "S" | "T");
        if joined {
            units[at].end = suffix.end;
            units.remove(at + 1);
        }
        at += 1;
    }
}

/// Whether no unit is cut at either end of the span, whose ends lie on character boundaries.
pub(crate) fn is_whole(units: &[Unit], start: usize, end: usize) -> bool {
    units.binary_search_by_key(&start, |u| u.start).is_ok() && units.binary_search_by_key(&end, |u| u.end).is_ok()
}

/// Every place where the text holds `piece`, overlapping ones included.
pub(crate) fn occurrences(text: &str, piece: &str) -> Vec<Span> {
    let mut found = Vec::new();
    let Some(first) = piece.chars().next() else { return found };
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(piece)) {
        let start = from + at;
        found.push(Span::new(start, start + piece.len()));
        from = start + first.len_utf8();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<&str> {
        units(text).iter().map(|u| &text[u.start..u.end]).collect()
    }

    #[test]
    fn units_of_many_scripts() {
        assert_eq!(pieces("Ada's (B2B) co-op."), ["Ada", "'s", "(", "B2B", ")", "co", "-", "op", "."]);
        assert_eq!(pieces("'Ada Lovelace'"), ["'", "Ada", "Lovelace", "'"]);
        assert_eq!(pieces("東's"), ["東", "'", "s"]);
        assert_eq!(pieces("東京タワー"), ["東", "京", "タ", "ワ", "ー"]);
        assert_eq!(pieces("क्षेत्र में"), ["क्षेत्र", "में"]);
        assert_eq!(pieces("e\u{301}te 👩‍👩‍👧🦀"), ["e\u{301}te", "👩‍👩‍👧", "🦀"]);
        assert_eq!(pieces(" \n "), [""; 0]);
    }

    #[test]
    fn white_space_belongs_to_the_unit_behind_it() {
        let spaces: Vec<_> = units("a  b c ").iter().map(|u| u.start - u.space).collect();
        assert_eq!(spaces, [0, 2, 1]);
    }
}
