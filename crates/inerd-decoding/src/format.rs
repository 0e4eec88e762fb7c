use std::collections::BTreeMap;

use inerd_text::Schema;
use serde::{Deserialize, Serialize};

/// How an answer is laid out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `Person : Ada Lovelace ; Location : London ;`
    #[default]
    Paper,
    /// `Ada Lovelace : Person ; London : Location ;`
    ContentFirst,
    /// `{"type": "Person", "text": "Ada Lovelace"}`, one line per entity.
    Json,
    /// The sentence again, with `[ Person : Ada Lovelace ] lives in [ Location : London ].` Nested entities nest; of
    /// entities that cross, the one written second is left out.
    Inline,
}

/// In which order an answer names the entities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntityOrder {
    /// By place in the sentence.
    #[default]
    Text,
    /// By type as the schema sorts them, then by place.
    Type,
    /// Shuffled, per sentence, from the format's seed and the sentence's text.
    Random,
}

/// How the name of a type is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TypeNames {
    /// As the schema has it.
    #[default]
    Raw,
    /// In lower-case words: `CellType` and `CELL_TYPE` become `cell type`.
    Normalised,
    /// As the format's `descriptions` say; types without one stay raw.
    Described,
    /// `A`, `B`, … by place in the schema: names that say nothing, as a control.
    Symbols,
}

/// Which occurrence of a surface a parsed entity is given. Name it beside every score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occurrence {
    /// The leftmost one that shares nothing with an earlier entity.
    #[default]
    LeftmostFree,
    /// The same, searched first from the place of the entity before it: exact for answers in text order.
    InOrder,
}

/// How sentences and entities become text. The defaults are the paper's first format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct FormatSettings {
    pub layout: Layout,
    /// Ends the prompt. A special token where the tokenizer knows one of this name.
    pub combine: String,
    /// Type-content separator; a special token where the tokenizer knows one of this name.
    pub tcs: String,
    /// Entity separator; a special token where the tokenizer knows one of this name.
    pub es: String,
    /// Begins an entity in the inline layout.
    pub open: String,
    /// Ends an entity in the inline layout.
    pub close: String,
    /// A special token in front of everything (`<s>`); empty for none.
    pub begin: String,
    pub entity_order: EntityOrder,
    /// Of the random order.
    pub seed: u64,
    pub type_names: TypeNames,
    /// Type to description.
    pub descriptions: BTreeMap<String, String>,
    /// The prompt begins with a line that lists the types.
    pub types_in_prompt: bool,
    /// A line that the prompt begins with, such as the corpus's name; empty for none.
    pub cue: String,
    pub occurrence: Occurrence,
}

impl Default for FormatSettings {
    fn default() -> Self {
        Self {
            layout: Layout::Paper,
            combine: "\n".to_owned(),
            tcs: ":".to_owned(),
            es: ";".to_owned(),
            open: "[".to_owned(),
            close: "]".to_owned(),
            begin: String::new(),
            entity_order: EntityOrder::Text,
            seed: 0,
            type_names: TypeNames::Raw,
            descriptions: BTreeMap::new(),
            types_in_prompt: false,
            cue: String::new(),
            occurrence: Occurrence::LeftmostFree,
        }
    }
}

impl FormatSettings {
    /// The names of all types as they are written, by type id.
    pub fn written(&self, schema: &Schema) -> Vec<String> {
        let name = |(id, kind): (usize, &String)| match self.type_names {
            TypeNames::Raw => kind.trim().to_owned(),
            TypeNames::Normalised => normalised(kind),
            TypeNames::Described => self.descriptions.get(kind).unwrap_or(kind).trim().to_owned(),
            TypeNames::Symbols => symbol(id),
        };
        schema.types().iter().enumerate().map(name).collect()
    }
}

fn normalised(kind: &str) -> String {
    let mut out = String::new();
    let mut last = ' ';
    for c in kind.chars() {
        let new_word = c.is_uppercase() && last.is_lowercase();
        let c = if c == '_' || c == '-' || c == '/' { ' ' } else { c };
        if (new_word || c.is_whitespace()) && !out.ends_with(' ') && !out.is_empty() {
            out.push(' ');
        }
        if !c.is_whitespace() {
            out.extend(c.to_lowercase());
        }
        last = c;
    }
    out.trim_end().to_owned()
}

/// 0 is `A`, 25 `Z`, 26 `AA`.
fn symbol(id: usize) -> String {
    let mut letters = Vec::new();
    let mut rest = id + 1;
    while rest > 0 {
        letters.push(char::from(b'A' + ((rest - 1) % 26) as u8));
        rest = (rest - 1) / 26;
    }
    letters.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_types() {
        for (kind, written) in
            [("CellType", "cell type"), ("CELL_TYPE", "cell type"), ("person", "person"), ("a--B", "a b")]
        {
            assert_eq!(normalised(kind), written);
        }
        assert_eq!([0, 25, 26, 701, 702].map(symbol), ["A", "Z", "AA", "ZZ", "AAA"]);
    }
}
