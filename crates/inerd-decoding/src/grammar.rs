//! What all sentences of a codec share: separators, type names and their tokens.

use inerd_text::Schema;

use crate::spans::ContentStyle;
use crate::tokenizer::Speller;
use crate::trie::TypeTrie;
use crate::{Error, FormatSettings, Layout};

/// An answer is any number of records and end-of-sequence; a record is
/// `literal 0, first slot, literal 1, second slot, literal 2`, where one slot is the type and the other the content.
#[derive(Debug)]
pub(crate) struct Grammar {
    /// The literals as text, without white space around them.
    pub(crate) marks: [String; 3],
    pub(crate) literals: [Vec<u32>; 3],
    pub(crate) type_first: bool,
    pub(crate) style: ContentStyle,
    pub(crate) trie: TypeTrie,
    /// The tokenised name of every type, by id.
    pub(crate) names: Vec<Vec<u32>>,
    /// What an answer may begin with, where the first slot is the type: a type or end-of-sequence.
    pub(crate) types_or_end: Vec<u32>,
    pub(crate) eos: u32,
}

impl Grammar {
    pub(crate) fn new(speller: &Speller, format: &FormatSettings, schema: &Schema) -> Result<Self, Error> {
        let json = format.layout == Layout::Json;
        let type_first = format.layout != Layout::ContentFirst;
        let style = ContentStyle { leading_space: !json, escaped: json };
        let (marks, literals) = if json {
            let marks = ["{\"type\": \"", "\", \"text\": \"", "\"}\n"];
            (marks.map(str::to_owned), marks.map(|mark| spelled(speller, mark)))
        } else {
            let separator = |setting, mark: &str| match speller.tokenizer().special(mark) {
                Some(id) => Ok(vec![id]),
                None if mark.trim().is_empty() => Err(Error::Separator { setting, separator: mark.to_owned() }),
                None => Ok(spelled(speller, &format!(" {}", mark.trim()))),
            };
            let literals = [Vec::new(), separator("tcs", &format.tcs)?, separator("es", &format.es)?];
            (["", format.tcs.trim(), format.es.trim()].map(str::to_owned), literals)
        };
        for (setting, at) in [("tcs", 1), ("es", 2)] {
            if literals[at].is_empty() {
                return Err(Error::Separator { setting, separator: marks[at].clone() });
            }
        }
        let mut names = Vec::with_capacity(schema.len());
        for kind in schema.types() {
            let written = kind.trim();
            if written.is_empty() {
                return Err(Error::EmptyType { kind: kind.clone() });
            }
            let lead = if json { "" } else { " " };
            names.push(spelled(speller, &format!("{lead}{}", style.render(written))));
        }
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_unstable_by_key(|&i| &names[i]);
        for pair in order.windows(2) {
            if names[pair[0]] == names[pair[1]] {
                let [first, second] = [pair[0], pair[1]].map(|i| schema.types()[i].clone());
                return Err(Error::SameName { written: first.trim().to_owned(), first, second });
            }
        }
        let closer = literals[if type_first { 1 } else { 2 }][0];
        let trie = TypeTrie::new(&names, closer);
        let eos = speller.tokenizer().eos();
        let mut types_or_end = trie.allowed(TypeTrie::ROOT).to_vec();
        insert(&mut types_or_end, eos);
        Ok(Self { marks, literals, type_first, style, trie, names, types_or_end, eos })
    }

    /// Which slot (0 or 1) holds the type.
    pub(crate) const fn type_slot(&self) -> usize {
        if self.type_first { 0 } else { 1 }
    }
}

fn spelled(speller: &Speller, piece: &str) -> Vec<u32> {
    let mut out = Vec::new();
    speller.spell(piece, &mut out);
    out
}

/// Inserts into a sorted list without repeats.
pub(crate) fn insert(sorted: &mut Vec<u32>, token: u32) {
    if let Err(at) = sorted.binary_search(&token) {
        sorted.insert(at, token);
    }
}
