//! What reading found and what it repaired: nothing is changed silently.

use std::collections::BTreeMap;

use inerd_text::Sentence;
use serde::{Deserialize, Serialize};

use crate::tokens::tokenize;

/// The share of a report that is listed line by line; the counts are always complete.
const LISTED: usize = 1000;

/// Counts over a list of sentences.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub sentences: usize,
    /// The source's own tokens, blank ones included, or those of [`crate::tokenize`] where the source has none.
    pub tokens: usize,
    pub entities: usize,
    /// Sentences without an entity.
    pub label_free: usize,
    /// Tokens of the longest sentence.
    pub longest: usize,
    /// Entities per type.
    pub types: BTreeMap<String, usize>,
}

impl Counts {
    pub fn of<'a>(sentences: impl IntoIterator<Item = &'a Sentence>) -> Self {
        let mut counts = Self::default();
        for sentence in sentences {
            counts.add(sentence, 0);
        }
        counts
    }

    /// Counts one more sentence; `blank` tokens stood in the source but not in the sentence.
    pub fn add(&mut self, sentence: &Sentence, blank: usize) {
        let own = sentence.tokens.len() + blank;
        let tokens = if own == 0 { tokenize(&sentence.text).len() } else { own };
        self.sentences += 1;
        self.tokens += tokens;
        self.entities += sentence.entities.len();
        self.label_free += usize::from(sentence.entities.is_empty());
        self.longest = self.longest.max(tokens);
        for entity in &sentence.entities {
            match self.types.get_mut(&entity.kind) {
                Some(count) => *count += 1,
                None => drop(self.types.insert(entity.kind.clone(), 1)),
            }
        }
    }
}

/// A kind of irregularity that a reader met, and what it did about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Repair {
    /// An inside or end tag without a mention to continue: a new mention was begun.
    OrphanTag,
    /// A mention that the scheme says must be closed was not: closed at its last token.
    UnclosedMention,
    /// A tag of another scheme than the file's (`S-` in IOB2, a type without a mark): read as that scheme means it.
    ForeignTag,
    /// A begin tag where IOB1 has an inside tag: a mention was begun all the same.
    NeedlessBegin,
    /// A tag without a letter or digit, such as `_`: read as `O`.
    NoLabel,
    /// A line that begins with `#` and is no row like the others: taken for a comment.
    CommentLine,
    /// A token of white space only: left out of the text.
    BlankToken,
    /// White space at the edge of a token: the token was trimmed.
    TrimmedToken,
    /// White space at the edge of a mention: the mention was trimmed.
    TrimmedMention,
    /// A mention of nothing but white space: left out.
    BlankMention,
    /// A line break inside a sentence: became a space.
    LineBreak,
    /// The same type on the same span twice: kept once.
    RepeatedMention,
    /// A mention made of several pieces: refused.
    Discontinuous,
    /// A mention that crosses a sentence's end: refused.
    CrossesSentence,
    /// A sentence of nothing but white space: left out.
    EmptySentence,
    /// Several labels on one mention: the most specific was kept.
    SeveralLabels,
}

impl Repair {
    /// What was done, for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::OrphanTag => "tag continues a mention that was not begun; a new mention was begun",
            Self::UnclosedMention => "mention was not closed; closed at its last token",
            Self::ForeignTag => "tag of another scheme read as that scheme means it",
            Self::NeedlessBegin => "begin tag where the scheme has an inside tag; a new mention was begun",
            Self::NoLabel => "tag without a letter read as O",
            Self::CommentLine => "line taken for a comment",
            Self::BlankToken => "blank token left out",
            Self::TrimmedToken => "white space at a token's edge trimmed",
            Self::TrimmedMention => "white space at a mention's edge trimmed",
            Self::BlankMention => "blank mention left out",
            Self::LineBreak => "line break inside a sentence became a space",
            Self::RepeatedMention => "mention given twice kept once",
            Self::Discontinuous => "discontinuous mention refused",
            Self::CrossesSentence => "mention across a sentence's end refused",
            Self::EmptySentence => "blank sentence left out",
            Self::SeveralLabels => "several labels on one mention; the most specific was kept",
        }
    }
}

/// Where a repair was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    pub repair: Repair,
    /// 1-based line (or record) of the source.
    pub line: usize,
    /// The document, where the source is a folder of documents.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub document: String,
}

/// What one file held.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Relative to the dataset's folder, as the card writes it.
    pub path: String,
    pub split: String,
    /// The tagging scheme, where the format has one.
    pub scheme: Option<String>,
    /// As the reader found it, before the card dropped or renamed anything.
    pub found: Counts,
    /// How often each repair was made.
    pub repairs: BTreeMap<Repair, usize>,
    /// The first repairs, with their lines.
    pub listed: Vec<Repaired>,
}

impl FileReport {
    pub fn repaired(&mut self, repair: Repair, line: usize) {
        *self.repairs.entry(repair).or_default() += 1;
        if self.listed.len() < LISTED {
            self.listed.push(Repaired { repair, line, document: String::new() });
        }
    }

    /// Takes in the report of one document of a folder.
    pub(crate) fn absorb(&mut self, document: &str, part: Self) {
        let Counts { sentences, tokens, entities, label_free, longest, types } = part.found;
        self.found.sentences += sentences;
        self.found.tokens += tokens;
        self.found.entities += entities;
        self.found.label_free += label_free;
        self.found.longest = self.found.longest.max(longest);
        for (kind, count) in types {
            *self.found.types.entry(kind).or_default() += count;
        }
        for (repair, count) in part.repairs {
            *self.repairs.entry(repair).or_default() += count;
        }
        let room = LISTED.saturating_sub(self.listed.len());
        let listed = part.listed.into_iter().take(room);
        self.listed.extend(listed.map(|repaired| Repaired { document: document.to_owned(), ..repaired }));
    }
}

/// What was read for a corpus and what the card changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadReport {
    pub files: Vec<FileReport>,
    /// Types that the card does not name, with their counts; they got a name by rule.
    pub unnamed_types: BTreeMap<String, usize>,
    /// Entities of types that the card drops.
    pub dropped_entities: BTreeMap<String, usize>,
    /// Sentences that the card drops (boilerplate).
    pub dropped_sentences: usize,
    /// How splits without a file of their own were made.
    pub derived_splits: Vec<String>,
}
