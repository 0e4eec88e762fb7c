//! The sentence browser's data: gold and predictions of one run per arm, compact, with every error named.

use std::collections::{BTreeMap, BTreeSet};

use inerd_text::{Prediction, Sentence, Span};
use serde::Serialize;

use crate::outcome::{Outcome, compare};
use crate::view::View;

#[derive(Debug, Serialize)]
pub(super) struct Browser {
    types: Vec<String>,
    datasets: Vec<Dataset>,
}

#[derive(Debug, Serialize)]
struct Dataset {
    name: String,
    /// Whether the text is here; otherwise ids, offsets, types and counts are all.
    text: bool,
    arms: Vec<Arm>,
    sentences: Vec<Shown>,
}

#[derive(Debug, Serialize)]
struct Arm {
    name: String,
    seed: u64,
}

/// Offsets count UTF-16 units where the text is embedded, because that is how a browser counts; characters otherwise.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Type, start, end.
    gold: Vec<(usize, usize, usize)>,
    /// Parallel to the dataset's arms; `None` where the arm has no answer.
    arms: Vec<Option<Answer>>,
}

#[derive(Debug, Serialize)]
struct Answer {
    /// Type, start, end, outcome, confidence in percent.
    #[serde(rename = "p")]
    placed: Vec<(usize, usize, usize, Outcome, Option<u8>)>,
    /// Type, content (where text may be shown), outcome, confidence in percent.
    #[serde(rename = "u")]
    unplaced: Vec<(usize, Option<String>, Outcome, Option<u8>)>,
    /// Gold entities that no prediction overlaps.
    #[serde(rename = "m")]
    missed: Vec<usize>,
    /// Every prediction correct and nothing missed.
    #[serde(rename = "x")]
    exact: bool,
}

/// `None` where there are no sentences to show.
pub(super) fn browser(view: &View<'_>, with_text: bool) -> Option<Browser> {
    let mut types = Types::new(view, with_text);
    let mut datasets = Vec::new();
    for (index, name) in view.datasets.iter().enumerate() {
        let Some(gold) = view.input.gold.iter().find(|g| g.dataset == *name) else { continue };
        let text = with_text || gold.may_publish;
        // One run per arm keeps the page small: the first seed that has answers.
        let answered: Vec<_> = (view.rows.iter().enumerate())
            .filter_map(|(row, r)| {
                let cell = view.cells(row, index).iter().find(|c| !c.generations.is_empty())?;
                let by_id: BTreeMap<&str, &[Prediction]> =
                    cell.generations.iter().map(|g| (g.id.as_str(), g.predictions.as_slice())).collect();
                Some((Arm { name: r.name.clone(), seed: cell.seed }, by_id))
            })
            .collect();
        let sentences = gold.sentences.iter().map(|sentence| {
            let offsets = Offsets { text: &sentence.text, utf16: text };
            Shown {
                id: sentence.id.clone(),
                text: text.then(|| sentence.text.clone()),
                gold: (sentence.entities.iter())
                    .map(|e| (types.id(&e.kind), offsets.at(e.span.start), offsets.at(e.span.end)))
                    .collect(),
                arms: (answered.iter())
                    .map(|(_, by_id)| Some(answer(sentence, by_id.get(sentence.id.as_str())?, offsets, &mut types)))
                    .collect(),
            }
        });
        let sentences = sentences.collect();
        datasets.push(Dataset {
            name: name.clone(),
            text,
            sentences,
            arms: answered.into_iter().map(|(a, _)| a).collect(),
        });
    }
    (!datasets.is_empty()).then_some(Browser { types: types.names, datasets })
}

fn answer(sentence: &Sentence, predictions: &[Prediction], offsets: Offsets<'_>, types: &mut Types) -> Answer {
    let comparison = compare(&sentence.entities, predictions);
    let (exact, missed) = (comparison.exact(sentence.entities.len()), comparison.missed);
    let mut answer = Answer { placed: Vec::new(), unplaced: Vec::new(), missed, exact };
    for (prediction, (outcome, _)) in predictions.iter().zip(comparison.outcomes) {
        let kind = types.id(&prediction.kind);
        let confidence = prediction.confidence.map(|c| (100.0 * c).round().clamp(0.0, 100.0) as u8);
        match prediction.span.filter(|span| span.of(offsets.text).is_some()) {
            Some(Span { start, end }) => {
                answer.placed.push((kind, offsets.at(start), offsets.at(end), outcome, confidence));
            }
            None => {
                // What a model wrote can hold pieces of the text, so it is shown under the text's own terms.
                let surface = offsets.utf16.then(|| prediction.surface.clone());
                answer.unplaced.push((kind, surface, outcome, confidence));
            }
        }
    }
    answer
}

/// What a type is called that may not be shown: without a mask a model writes what it likes as a type, pieces of the
/// text too.
const INVENTED: &str = "(invented)";

#[derive(Debug)]
struct Types {
    names: Vec<String>,
    ids: BTreeMap<String, usize>,
    /// The types that may be named; `None` for all.
    known: Option<BTreeSet<String>>,
}

impl Types {
    fn new(view: &View<'_>, with_text: bool) -> Self {
        let hidden = !with_text && view.input.gold.iter().any(|g| !g.may_publish);
        let known = hidden.then(|| view.known_types().into_iter().map(str::to_owned).collect());
        Self { names: Vec::new(), ids: BTreeMap::new(), known }
    }

    fn id(&mut self, name: &str) -> usize {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        if self.known.as_ref().is_some_and(|known| name != INVENTED && !known.contains(name)) {
            return self.id(INVENTED);
        }
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }
}

#[derive(Debug, Clone, Copy)]
struct Offsets<'a> {
    text: &'a str,
    utf16: bool,
}

impl Offsets<'_> {
    /// The offset of a byte.
    fn at(self, byte: usize) -> usize {
        if self.text.is_ascii() {
            return byte;
        }
        let before = self.text.get(..byte).unwrap_or(self.text);
        if self.utf16 { before.encode_utf16().count() } else { before.chars().count() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_the_browsers_where_it_has_the_text() {
        let text = "Zoë 🦀 Kraków";
        assert_eq!(Offsets { text, utf16: true }.at(10), 7);
        assert_eq!(Offsets { text, utf16: false }.at(10), 6);
    }
}
