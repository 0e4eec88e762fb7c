//! Types that clash when corpora are merged: one name under two guidelines, one surface under two types.

use std::collections::{BTreeMap, HashMap};

use inerd_text::Sentence;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Corpus;
use crate::check::mentions;
use crate::sheet::Sheet;
use crate::tokens::tokenize;

/// What one corpus does with the surfaces that another annotates as a type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The type, as `annotated` has it.
    pub kind: String,
    pub annotated: String,
    pub other: String,
    /// Whether `other` has a type of this name.
    pub same_name: bool,
    /// Places in the training text of `other` that read like one of the surfaces.
    pub places: usize,
    /// … that `other` annotates with the same type …
    pub agreed: usize,
    /// … with another type (which, and how often) …
    pub retyped: BTreeMap<String, usize>,
    /// … or not at all, though it has a type of this name.
    pub missing: usize,
    /// Surfaces that are retyped or missing, the most frequent first.
    pub examples: Vec<String>,
}

/// Compares the guidelines of every two corpora by the surfaces that both hold.
///
/// Names are compared as they stand: rename types first (see [`crate::Merge::rename_types`]). A pair is reported where
/// the other corpus has a type of the same name, or gives a surface another type.
pub fn conflicts(corpora: &[Corpus]) -> Vec<Conflict> {
    let of = |annotated: &Corpus| {
        let surfaces = surfaces(&annotated.train);
        let others = corpora.iter().filter(|o| o.name != annotated.name);
        others.flat_map(|other| compare(annotated, &surfaces, other)).collect::<Vec<_>>()
    };
    corpora.par_iter().map(of).collect::<Vec<_>>().concat()
}

/// Surface → its types in a corpus, only where it has exactly one.
fn surfaces(sentences: &[Sentence]) -> HashMap<&str, &str> {
    let mut mentions = mentions(sentences);
    mentions.dedup();
    mentions.chunk_by(|a, b| a.0 == b.0).filter(|kinds| kinds.len() == 1).flatten().copied().collect()
}

#[derive(Default)]
struct Tally<'a> {
    places: usize,
    agreed: usize,
    retyped: BTreeMap<String, usize>,
    missing: usize,
    against: BTreeMap<&'a str, usize>,
}

fn compare(annotated: &Corpus, surfaces: &HashMap<&str, &str>, other: &Corpus) -> Vec<Conflict> {
    let longest = surfaces.keys().map(|s| tokenize(s).len()).max().unwrap_or(0).min(8);
    let mut tallies: BTreeMap<&str, Tally<'_>> = BTreeMap::new();
    for sentence in &other.train {
        let tokens = if sentence.tokens.is_empty() { tokenize(&sentence.text) } else { sentence.tokens.clone() };
        for (first, start) in tokens.iter().enumerate() {
            for end in tokens.iter().skip(first).take(longest) {
                let span = inerd_text::Span::new(start.start, end.end);
                let Some((&surface, &kind)) = span.of(&sentence.text).and_then(|s| surfaces.get_key_value(s)) else {
                    continue;
                };
                let gold = sentence.entities.iter().find(|e| e.span == span);
                // Inside a longer mention the surface is a part of something else, no disagreement.
                if gold.is_none() && sentence.entities.iter().any(|e| e.span.overlaps(span)) {
                    continue;
                }
                let same_name = other.schema.contains(kind);
                if gold.is_none() && !same_name {
                    continue;
                }
                let tally = tallies.entry(kind).or_default();
                tally.places += 1;
                match gold {
                    Some(entity) if entity.kind == kind => tally.agreed += 1,
                    Some(entity) => *tally.retyped.entry(entity.kind.clone()).or_default() += 1,
                    None => tally.missing += 1,
                }
                if gold.is_none_or(|e| e.kind != kind) {
                    *tally.against.entry(surface).or_default() += 1;
                }
            }
        }
    }
    let conflict = |(kind, tally): (&str, Tally<'_>)| {
        let mut against: Vec<(&str, usize)> = tally.against.into_iter().collect();
        against.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        Conflict {
            kind: kind.to_owned(),
            annotated: annotated.name.clone(),
            other: other.name.clone(),
            same_name: other.schema.contains(kind),
            places: tally.places,
            agreed: tally.agreed,
            retyped: tally.retyped,
            missing: tally.missing,
            examples: against.into_iter().take(5).map(|(s, n)| format!("{s} ({n})")).collect(),
        }
    };
    tallies.into_iter().map(conflict).filter(|c| c.same_name || !c.retyped.is_empty()).collect()
}

/// The conflicts as a table, the largest disagreement first.
pub fn conflict_sheet(conflicts: &[Conflict]) -> Sheet {
    let header =
        ["type", "annotated in", "other corpus", "same name", "places", "agreed", "retyped", "missing", "examples"];
    let mut sheet = Sheet::new("types that clash on merge", &header);
    let mut sorted: Vec<&Conflict> = conflicts.iter().collect();
    sorted.sort_by_key(|c| std::cmp::Reverse(c.places - c.agreed));
    for c in sorted {
        let retyped = c.retyped.iter().map(|(kind, n)| format!("{kind} {n}")).collect::<Vec<_>>().join(", ");
        sheet.row([
            c.kind.clone(),
            c.annotated.clone(),
            c.other.clone(),
            if c.same_name { "yes" } else { "no" }.to_owned(),
            c.places.to_string(),
            c.agreed.to_string(),
            retyped,
            c.missing.to_string(),
            c.examples.join(", "),
        ]);
    }
    sheet
}

#[cfg(test)]
mod tests {
    use inerd_text::{Entity, Schema};

    use super::*;

    fn corpus(name: &str, types: &[&str], sentences: &[(&str, &[(&str, usize, usize)])]) -> Corpus {
        let sentence = |&(text, entities): &(&str, &[(&str, usize, usize)])| Sentence {
            text: text.to_owned(),
            entities: entities.iter().map(|&(k, s, e)| Entity::new(k, s, e)).collect(),
            ..Sentence::default()
        };
        let train = sentences.iter().map(sentence).collect();
        Corpus { name: name.to_owned(), schema: Schema::new(types.iter().copied()), train, ..Corpus::default() }
    }

    #[test]
    fn one_name_under_two_guidelines() {
        let a = corpus("a", &["Disease"], &[("severe pain and fever", &[("Disease", 7, 11), ("Disease", 16, 21)])]);
        let b = corpus(
            "b",
            &["Disease", "Symptom"],
            &[("pain is no disease", &[]), ("fever fever", &[("Disease", 0, 5), ("Symptom", 6, 11)])],
        );
        let found = conflicts(&[a, b]);
        let first = &found[0];
        assert_eq!((&*first.kind, &*first.annotated, &*first.other), ("Disease", "a", "b"));
        assert_eq!((first.places, first.agreed, first.missing), (3, 1, 1));
        assert_eq!(first.retyped, [("Symptom".to_owned(), 1)].into());
        assert_eq!(conflict_sheet(&found).rows[0][7], "1");
    }
}
