//! Cases known by hand, shared by the unit tests.

use inerd_text::{Entity, Generation, Prediction, Sentence, Span};

/// A sentence with gold entities given as `(type, surface, start byte)`.
pub(crate) fn sentence(id: &str, text: &str, entities: &[(&str, &str, usize)]) -> Sentence {
    let entities = entities.iter().map(|&(kind, surface, start)| {
        assert_eq!(&text[start..start + surface.len()], surface);
        Entity::new(kind, start, start + surface.len())
    });
    let word = |w: &str| {
        let start = w.as_ptr() as usize - text.as_ptr() as usize;
        Span::new(start, start + w.len())
    };
    Sentence {
        id: id.into(),
        text: text.into(),
        tokens: text.split_whitespace().map(word).collect(),
        entities: entities.collect(),
    }
}

/// An answer given as `(type, surface, start byte where it was aligned)`.
pub(crate) fn answer(sentence: &Sentence, predictions: &[(&str, &str, Option<usize>)]) -> Generation {
    let predictions = predictions.iter().map(|&(kind, surface, start)| Prediction {
        kind: kind.into(),
        surface: surface.into(),
        span: start.map(|s| Span::new(s, s + surface.len())),
        confidence: None,
    });
    Generation { id: sentence.id.clone(), predictions: predictions.collect(), ..Generation::default() }
}

/// The handbook's worked case: two of three mentions found, one that is not in the text.
pub(crate) fn japan() -> (Sentence, Generation) {
    let gold = sentence(
        "japan",
        "Japan beat Syria ; Japan lead .",
        &[("LOC", "Japan", 0), ("LOC", "Syria", 11), ("LOC", "Japan", 19)],
    );
    let predicted = answer(&gold, &[("LOC", "Japan", Some(0)), ("LOC", "Syria", Some(11)), ("LOC", "Jordan", None)]);
    (gold, predicted)
}
