//! How the cost of the default rules grows with the sentence and with the set of types:
//! `growth TOKENIZER.json EOS TEXT`. TEXT is any English text.
//!
//! Each figure is the least of three measurements.

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use inerd_decoding::{Codec, FormatSettings, Granularity, Rules, Tokenizer};
use inerd_text::{Entity, Schema, Sentence};

/// Microseconds.
fn least<T>(mut work: impl FnMut() -> T) -> f64 {
    let once = |_| {
        let begin = Instant::now();
        black_box(work());
        begin.elapsed().as_secs_f64() * 1e6
    };
    (0..3).map(once).fold(f64::INFINITY, f64::min)
}

/// Mean over the answer's steps of mask and step together.
fn step(codec: &Codec, sentence: &Sentence, tokens: &[u32], rules: &Rules) -> f64 {
    let automaton = codec.automaton_for(&sentence.text, tokens, rules);
    let answer = codec.answer(sentence);
    let mut scratch = Vec::new();
    let walk = || {
        let mut state = automaton.start();
        for &token in &answer {
            assert!(automaton.allowed(&state, &mut scratch).contains(token), "gold is allowed");
            automaton.advance(&mut state, token).expect("allowed");
        }
    };
    least(walk) / answer.len() as f64
}

/// The first words of a text with an entity at every twentieth word.
fn sentence(text: &str, words: usize, types: &[String]) -> Sentence {
    let mut sentence = Sentence::default();
    for (i, word) in text.split_whitespace().cycle().take(words).enumerate() {
        if i > 0 {
            sentence.text.push(' ');
        }
        let start = sentence.text.len();
        sentence.text.push_str(word);
        if i % 20 == 10 && i / 20 < 50 {
            sentence.entities.push(Entity::new(&types[i * 7 % types.len()], start, sentence.text.len()));
        }
    }
    sentence
}

#[expect(clippy::print_stdout, reason = "the result of a command")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [tokenizer, eos, text] = arguments.as_slice() else { panic!("usage: growth TOKENIZER.json EOS TEXT") };
    let tokenizer: Arc<dyn Tokenizer> = support::Real::load(Path::new(tokenizer), eos);
    let text = std::fs::read_to_string(text).expect("the text");
    println!("{:>8} {:>9} | {:^44} | {:^44}", "", "", "token level", "text level");
    println!(
        "{:>8} {:>9} | {:>14} {:>14} {:>14} | {:>14} {:>14} {:>14}",
        "types", "tokens", "compile, µs", "per token, µs", "step, µs", "compile, µs", "per token, µs", "step, µs"
    );
    for (count, words) in [
        (18, 10),
        (18, 30),
        (18, 100),
        (18, 300),
        (18, 1_000),
        (18, 10_000),
        (18, 80_000),
        (1, 30),
        (100, 30),
        (1_000, 30),
        (10_000, 30),
        (10_000, 80_000),
    ] {
        let types: Vec<String> = (0..count).map(|i| format!("Type {i} of {}", i % 97)).collect();
        let codec =
            Codec::new(Arc::clone(&tokenizer), FormatSettings::default(), Schema::new(&types)).expect("a codec");
        let sentence = sentence(&text, words, &types);
        let tokens = tokenizer.encode(&sentence.text);
        let level = |granularity| {
            let rules = Rules::exact().at(granularity);
            // What is built once per vocabulary is no sentence's cost.
            black_box(codec.automaton("", &rules));
            let compile = least(|| codec.automaton_for(&sentence.text, &tokens, &rules));
            let per_token = compile / tokens.len() as f64;
            format!("{compile:>14.1} {per_token:>14.3} {:>14.3}", step(&codec, &sentence, &tokens, &rules))
        };
        let [token, text] = [Granularity::Token, Granularity::Text].map(level);
        println!("{count:>8} {:>9} | {token} | {text}", tokens.len());
    }
}
