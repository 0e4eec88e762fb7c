//! What all sentences of a codec share: separators, type names and their tokens.

use inerd_text::Schema;

use crate::chain::ContentStyle;
use crate::tokenizer::{Speller, bytes_of};
use crate::trie::TypeTrie;
use crate::{Error, FormatSettings, Layout};

/// An answer is any number of records and end-of-sequence; a record is
/// `literal 0, first slot, literal 1, second slot, literal 2`, where one slot is the type and the other the content.
/// In the inline layout the records stand within the sentence.
#[derive(Debug)]
pub(crate) struct Grammar {
    pub(crate) layout: Layout,
    /// The literals as text, without white space around them.
    pub(crate) marks: [String; 3],
    pub(crate) literals: [Vec<u32>; 3],
    pub(crate) type_first: bool,
    pub(crate) style: ContentStyle,
    pub(crate) trie: TypeTrie,
    /// The name of every type as it is written, and its tokens, by type id.
    pub(crate) written: Vec<String>,
    pub(crate) names: Vec<Vec<u32>>,
    /// What an answer may begin with, where the first slot is the type: a type or end-of-sequence.
    pub(crate) types_or_end: Vec<u32>,
    pub(crate) eos: u32,
    /// The tokens that decode to nothing or to one space, sorted; without end-of-sequence and the separators.
    pub(crate) blanks: Vec<u32>,
}

impl Grammar {
    pub(crate) fn new(speller: &Speller, format: &FormatSettings, schema: &Schema) -> Result<Self, Error> {
        let layout = format.layout;
        let json = layout == Layout::Json;
        let type_first = layout != Layout::ContentFirst;
        let style = ContentStyle { leading_space: !json, escaped: json };
        let settings = match layout {
            Layout::Paper | Layout::ContentFirst => [("", ""), ("tcs", format.tcs.as_str()), ("es", &format.es)],
            Layout::Inline => [("open", format.open.as_str()), ("tcs", &format.tcs), ("close", &format.close)],
            Layout::Json => [("", r#"{"type": ""#), ("", r#"", "text": ""#), ("", "\"}\n")],
        };
        let mut literals = [const { Vec::new() }; 3];
        for ((setting, mark), literal) in settings.into_iter().zip(&mut literals) {
            if json {
                speller.spell(mark, literal);
            } else if let Some(id) = speller.tokenizer().special(mark) {
                literal.push(id);
            } else if !mark.trim().is_empty() {
                speller.spell(&format!(" {}", mark.trim()), literal);
            }
            if !setting.is_empty() && (literal.is_empty() || mark.trim().is_empty()) {
                return Err(Error::Separator { setting, separator: mark.to_owned() });
            }
            // A vocabulary with gaps spells an unknown character as something else: no parser could find it again.
            let spelled = bytes_of(speller.tokenizer(), literal);
            if !spelled.is_empty() && spelled.trim_ascii() != mark.trim().as_bytes() {
                let setting = if setting.is_empty() { "layout" } else { setting };
                return Err(Error::Separator { setting, separator: mark.trim().to_owned() });
            }
        }
        let marks = settings.map(|(_, mark)| mark.trim().to_owned());
        let [_, tcs, es] = &literals;
        if tcs == es {
            return Err(Error::Format { reason: format!("the separators are the same, `{}`", marks[1]) });
        }
        let written = format.written(schema);
        let mut names = Vec::with_capacity(schema.len());
        for (kind, written) in schema.types().iter().zip(&written) {
            if written.is_empty() {
                return Err(Error::EmptyType { kind: kind.clone() });
            }
            let mut name = Vec::new();
            speller.spell(&style.led(written), &mut name);
            names.push(name);
        }
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_unstable_by_key(|&i| &names[i]);
        for pair in order.windows(2) {
            if names[pair[0]] == names[pair[1]] {
                let [first, second] = [pair[0], pair[1]].map(|i| schema.types()[i].clone());
                return Err(Error::SameName { written: written[pair[0]].clone(), first, second });
            }
        }
        let closer = literals[if type_first { 1 } else { 2 }].first().copied().unwrap_or_default();
        let trie = TypeTrie::new(&names, closer);
        let eos = speller.tokenizer().eos();
        let mut types_or_end = trie.allowed(TypeTrie::ROOT).to_vec();
        insert(&mut types_or_end, eos);
        let tokenizer = speller.tokenizer();
        let blank =
            |&id: &u32| id != eos && !literals.contains(&vec![id]) && matches!(tokenizer.token_bytes(id), b"" | b" ");
        let blanks = (0..tokenizer.vocab_size() as u32).filter(blank).collect();
        Ok(Self { layout, marks, literals, type_first, style, trie, written, names, types_or_end, eos, blanks })
    }

    /// Which slot (0 or 1) holds the type.
    pub(crate) const fn type_slot(&self) -> usize {
        if self.type_first { 0 } else { 1 }
    }
}

/// Inserts into a sorted list without repeats.
pub(crate) fn insert(sorted: &mut Vec<u32>, token: u32) {
    if let Err(at) = sorted.binary_search(&token) {
        sorted.insert(at, token);
    }
}
