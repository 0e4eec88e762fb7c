//! Whatever a system answers, scoring neither panics nor writes NaN, and its parts agree with each other.

use inerd_metrics::analysis::{Training, flips, mask_effect};
use inerd_metrics::{Convention, ScoreReport, align, score};
use inerd_text::{Entity, Generation, Prediction, Schema, Sentence, Span};
use proptest::collection::vec;
use proptest::prelude::*;

const TYPES: [&str; 3] = ["PER", "LOC", "ORG"];

/// A sentence of words with flat gold entities on its tokens; with or without the tokens.
fn sentences() -> impl Strategy<Value = Sentence> {
    let words = vec(prop::sample::select(vec!["Zoë", "met", "us", "business", "東京", "U.S.", ",", "a"]), 0..8);
    let entities = vec((0..3_usize, 0..2_usize, 1..3_usize), 0..4);
    (words, entities, any::<bool>()).prop_map(|(words, entities, with_tokens)| {
        let (mut text, mut tokens) = (String::new(), Vec::new());
        for word in words {
            if !text.is_empty() {
                text.push(' ');
            }
            tokens.push(Span::new(text.len(), text.len() + word.len()));
            text.push_str(word);
        }
        let (mut gold, mut at) = (Vec::new(), 0);
        for (kind, gap, length) in entities {
            let (first, end) = (at + gap, at + gap + length);
            if end <= tokens.len() {
                gold.push(Entity::new(TYPES[kind], tokens[first].start, tokens[end - 1].end));
                at = end;
            }
        }
        Sentence { id: String::new(), text, tokens: if with_tokens { tokens } else { Vec::new() }, entities: gold }
    })
}

/// Answers without regard to the sentence: any span, any surface, any confidence.
fn answers() -> impl Strategy<Value = Generation> {
    let place = prop::option::of((0..40_usize, 0..40_usize).prop_map(|(start, end)| Span::new(start, end)));
    let confidence = prop::option::of(prop_oneof![0.0..=1.0, Just(f64::NAN), Just(f64::INFINITY), Just(-1.0)]);
    let kind = prop::sample::select(vec!["PER", "LOC", "ORG", "ANIMAL", ""]);
    let surface = prop_oneof![Just("Zoë".to_owned()), Just("us".to_owned()), Just(String::new()), ".{0,4}"];
    let prediction = (kind, surface, place, confidence).prop_map(|(kind, surface, span, confidence)| Prediction {
        kind: kind.to_owned(),
        surface,
        span,
        confidence,
    });
    (vec(prediction, 0..6), any::<bool>(), vec(".{0,3}", 0..2)).prop_map(|(predictions, truncated, unparsable)| {
        Generation { predictions, truncated, unparsable, ..Generation::default() }
    })
}

/// The same entities as predictions.
fn as_answer(sentence: &Sentence) -> Generation {
    let prediction = |e: &Entity| Prediction {
        kind: e.kind.clone(),
        surface: sentence.surface(e).to_owned(),
        span: Some(e.span),
        confidence: Some(1.0),
    };
    Generation { predictions: sentence.entities.iter().map(prediction).collect(), ..Generation::default() }
}

proptest! {
    #[test]
    fn no_answer_breaks_the_report(pairs in vec((sentences(), answers(), answers()), 0..6), with_training: bool) {
        let gold: Vec<Sentence> = pairs.iter().map(|p| p.0.clone()).collect();
        let (first, second): (Vec<Generation>, Vec<Generation>) = pairs.iter().map(|p| (p.1.clone(), p.2.clone())).unzip();
        let schema = Schema::new(TYPES);
        let report = if with_training {
            ScoreReport::with_training(&gold, &first, &schema, &Training::new(&gold)).unwrap()
        } else {
            ScoreReport::new(&gold, &first, &schema).unwrap()
        };
        let json = report.to_json().unwrap();
        // JSON has no NaN: it would be written as null.
        prop_assert!(!json.contains("null"), "{json}");
        prop_assert_eq!(ScoreReport::from_json(&json).unwrap(), report.clone());
        for (convention, scores) in &report.scores {
            let figures = scores.per_type.values().map(|s| s.prf).chain([scores.micro.prf, scores.macro_, scores.weighted]);
            for prf in figures {
                for figure in [prf.precision, prf.recall, prf.f1] {
                    prop_assert!((0.0..=1.0).contains(&figure), "{convention}: {prf:?}");
                }
            }
            let total = report.per_sentence[convention].total().prf();
            prop_assert!((total.f1 - scores.micro.prf.f1).abs() < 1e-12, "{convention}");
        }
        let slices = &report.errors;
        for column in [&slices.by_length, &slices.by_type_frequency, &slices.by_density, &slices.by_position] {
            let sum = column.iter().map(|s| s.score.counts.tp).sum::<u64>();
            prop_assert_eq!(sum, report.scores[&Convention::Span].micro.counts.tp);
        }
        let all: u64 = flips(&gold, &first, &second).map(|f| f.both + f.neither + f.all.lost + f.all.gained).unwrap();
        prop_assert_eq!(all, report.scores[&Convention::Span].micro.support);
        let effect = mask_effect(&gold, &first, &second, &schema).unwrap();
        prop_assert_eq!(effect.all.total(), report.hallucinations.any.count);
    }

    #[test]
    fn gold_is_perfect_and_possible(gold in vec(sentences(), 1..6)) {
        let answers: Vec<Generation> = gold.iter().map(as_answer).collect();
        let schema = Schema::new(TYPES);
        let report = ScoreReport::new(&gold, &answers, &schema).unwrap();
        prop_assert_eq!(report.hallucinations.any.count, 0);
        for (convention, scores) in &report.scores {
            let perfect = if scores.micro.support == 0 { 0.0_f64 } else { 1.0 };
            prop_assert!((scores.micro.prf.f1 - perfect).abs() < 1e-15, "{convention}: {scores:?}");
        }
    }

    #[test]
    fn aligned_predictions_stand_where_they_say((sentence, answer) in (sentences(), answers())) {
        let mut predictions = answer.predictions;
        for prediction in &mut predictions {
            prediction.span = None;
        }
        align(&sentence, &mut predictions);
        for (index, prediction) in predictions.iter().enumerate() {
            if let Some(span) = prediction.span {
                prop_assert_eq!(span.of(&sentence.text), Some(prediction.surface.as_str()));
                prop_assert!(!predictions[..index].iter().any(|p| p.span == Some(span) && p.kind == prediction.kind));
            } else {
                let free = |(at, _): (usize, &str)| {
                    let span = Span::new(at, at + prediction.surface.len());
                    !predictions[..index].iter().filter_map(|p| p.span).any(|taken| taken.overlaps(span))
                };
                let whole = |(at, _): &(usize, &str)| {
                    let end = at + prediction.surface.len();
                    !sentence.text[..*at].ends_with(char::is_alphanumeric)
                        && !sentence.text[end..].starts_with(char::is_alphanumeric)
                };
                let occurrences = sentence.text.match_indices(prediction.surface.as_str());
                let left_out = occurrences.filter(whole).any(free);
                prop_assert!(prediction.surface.is_empty() || !left_out, "{}", prediction.surface);
            }
        }
    }

    #[test]
    fn order_of_sentences_does_not_count(pairs in vec((sentences(), answers()), 0..6)) {
        let (gold, answers): (Vec<Sentence>, Vec<Generation>) = pairs.iter().cloned().unzip();
        let (turned, turned_answers): (Vec<Sentence>, Vec<Generation>) = pairs.into_iter().rev().unzip();
        let schema = Schema::new(TYPES);
        for convention in Convention::ALL {
            let forth = score(convention, &gold, &answers, &schema).unwrap();
            let back = score(convention, &turned, &turned_answers, &schema).unwrap();
            prop_assert_eq!(forth, back);
        }
    }
}
