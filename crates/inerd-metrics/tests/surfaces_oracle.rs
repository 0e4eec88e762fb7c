//! Scores of random answers equal those of the generative systems' own scripts to the last digit.
//! `oracle/README.md` says how the expected results were made.

mod common;

use common::{Random, bits, fnv};
use inerd_metrics::{Convention, Matches, Score, Scores, score};
use inerd_text::{Entity, Generation, Prediction, Schema, Sentence, Span};

const EXPECTED: &str = include_str!("oracle/surfaces.txt");
const WORDS: [&str; 16] =
    ["the", "The", "Bank", "bank", "us", "US", "business", "A", "an", "Zoë", "U.S.", "New", "York", ",", "-", "東京"];
const TYPES: [&str; 3] = ["PER", "LOC", "ORG"];
const ANSWERED: [&str; 4] = ["PER", "LOC", "ORG", "ANIMAL"];
const INVENTED: [&str; 9] = ["Bonk", "ban", "new York", " us", "business,", "the", "", "U.S", "york new"];
const CONVENTIONS: [Convention; 9] = [
    Convention::Authors,
    Convention::UniversalNer,
    Convention::Gner,
    Convention::Gollie,
    Convention::Padellm,
    Convention::NervaluateStrict,
    Convention::NervaluateExact,
    Convention::NervaluatePartial,
    Convention::NervaluateType,
];

fn draw_sentence(random: &mut Random) -> (Sentence, Generation) {
    let words: Vec<&str> = (0..=random.below(8)).map(|_| *random.pick(&WORDS)).collect();
    let (mut text, mut tokens) = (String::new(), Vec::new());
    for word in &words {
        if !text.is_empty() {
            text.push(' ');
        }
        tokens.push(Span::new(text.len(), text.len() + word.len()));
        text.push_str(word);
    }
    let (mut entities, mut at) = (Vec::new(), 0);
    while at < words.len() {
        if random.below(2) == 1 {
            let end = words.len().min(at + 1 + random.below(2));
            entities.push(Entity::new(*random.pick(&TYPES), tokens[at].start, tokens[end - 1].end));
            at = end;
        } else {
            at += 1;
        }
    }
    let mut predictions = Vec::new();
    for gold in &entities {
        let choice = random.below(8);
        if choice == 0 {
            continue;
        }
        let mut kind = gold.kind.clone();
        if choice == 1 {
            (*random.pick(&ANSWERED)).clone_into(&mut kind);
        }
        let mut span = gold.span;
        if choice == 2 {
            let characters = 1 + random.below(3);
            span.start = text[..span.start].char_indices().rev().take(characters).last().map_or(0, |(start, _)| start);
        }
        let surface = text[span.start..span.end].to_owned();
        predictions.push(Prediction {
            kind: kind.clone(),
            surface: surface.clone(),
            span: Some(span),
            confidence: None,
        });
        if choice == 3 {
            predictions.push(Prediction { kind, surface, span: None, confidence: None });
        }
        if choice == 4 {
            let (kind, surface) = ((*random.pick(&TYPES)).to_owned(), (*random.pick(&INVENTED)).to_owned());
            predictions.push(Prediction { kind, surface, span: None, confidence: None });
        }
    }
    let sentence = Sentence { id: String::new(), text, tokens, entities };
    (sentence, Generation { predictions, ..Generation::default() })
}

fn draw(case: u64) -> (Vec<Sentence>, Vec<Generation>) {
    let mut random = Random::new(case);
    (0..=random.below(3)).map(|_| draw_sentence(&mut random)).unzip()
}

fn text(scores: &Scores) -> String {
    let line = |name: &str, score: &Score| {
        let figures = bits(&[score.prf.precision, score.prf.recall, score.prf.f1]);
        let counts = score.counts;
        match score.matches {
            None => format!("{name} {} {} {} {figures}", counts.tp, counts.fp, counts.fn_),
            Some(Matches { correct, incorrect, partial, missed, spurious }) => {
                format!("{name} {correct} {incorrect} {partial} {missed} {spurious} {figures}")
            }
        }
    };
    let mut lines: Vec<String> = scores.per_type.iter().map(|(kind, score)| line(kind, score)).collect();
    lines.push(line("micro", &scores.micro));
    lines.join("\n")
}

#[test]
fn random_answers_score_as_their_own_tools_score_them() {
    let schema = Schema::new(TYPES);
    for (case, line) in (0..).zip(EXPECTED.lines()) {
        let (gold, predicted) = draw(case);
        // nervaluate takes positions only.
        let mut placed = predicted.clone();
        for generation in &mut placed {
            generation.predictions.retain(|p| p.span.is_some());
        }
        for (convention, expected) in CONVENTIONS.into_iter().zip(line.split(' ')) {
            let answers = if convention.name().starts_with("nervaluate") { &placed } else { &predicted };
            let text = text(&score(convention, &gold, answers, &schema).unwrap());
            assert_eq!(fnv(&text), expected, "case {case}, {convention}, {gold:?}, {predicted:?}:\n{text}");
        }
    }
}
