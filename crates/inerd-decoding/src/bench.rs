//! What the rules cost, on any tokenizer, sentences and types.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use inerd_text::{Schema, Sentence};
use serde::Serialize;

use crate::{Allowed, Codec, Error, FormatSettings, Granularity, Rules, Tokenizer};

/// Figures of one granularity. Times are wall-clock microseconds unless the name says otherwise; each operation's is
/// the least of three, so that a busy machine adds little.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DecodeFigures {
    /// The allowed set at one step of a gold answer.
    pub mask_us_mean: f64,
    pub mask_us_p50: f64,
    pub mask_us_p99: f64,
    /// Taking one token.
    pub accept_us: f64,
    /// From a sentence and the tokens of its prompt to the automaton.
    pub compile_ms_per_sentence: f64,
    /// Compile, spread over the tokens of the answers, mask and accept.
    pub all_in_us_per_token: f64,
    /// Mean size of the allowed set.
    pub allowed_per_mask: f64,
    /// Tokens of gold answers that the mask did not allow.
    pub gold_tokens_forbidden: u64,
    /// The process's peak so far, in megabytes.
    pub peak_mb: f64,
}

/// Both granularities.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DecodeBench {
    pub token_level: DecodeFigures,
    pub text_level: DecodeFigures,
}

/// Times in one measurement, so that the clock's own cost doesn't count.
const REPEATS: u32 = 16;

/// Measures the default rules (`exact`) along the gold answers. `peak_mb` reads the process's peak memory.
pub fn bench_decode(
    tokenizer: &Arc<dyn Tokenizer>,
    sentences: &[Sentence],
    types: &[String],
    peak_mb: impl Fn() -> f64,
) -> Result<DecodeBench, Error> {
    let codec = Codec::new(Arc::clone(tokenizer), FormatSettings::default(), Schema::new(types))?;
    let measure = |granularity| {
        let figures = bench_level(&codec, sentences, Rules::exact().at(granularity));
        DecodeFigures { peak_mb: peak_mb(), ..figures }
    };
    Ok(DecodeBench { token_level: measure(Granularity::Token), text_level: measure(Granularity::Text) })
}

fn bench_level(codec: &Codec, sentences: &[Sentence], rules: Rules) -> DecodeFigures {
    let mut figures = DecodeFigures::default();
    let (mut masks, mut accepts, mut compiles) = (Vec::new(), Vec::new(), Vec::new());
    let mut allowed = 0;
    // What is built once per vocabulary is no sentence's cost.
    black_box(codec.automaton("", &rules));
    for sentence in sentences {
        let prompt = codec.prompt(&sentence.text);
        let tokens = &prompt[codec.sentence_of(&prompt)];
        compiles.push(least(1, || (), |()| codec.automaton_for(&sentence.text, tokens, &rules)));
        let automaton = codec.automaton_for(&sentence.text, tokens, &rules);
        let mut state = automaton.start();
        let mut scratch = Vec::new();
        for token in codec.answer(sentence) {
            masks.push(least(REPEATS, || (), |()| black_box(automaton.allowed(&state, &mut scratch)) == Allowed::Any));
            allowed += automaton.allowed(&state, &mut scratch).count(codec.tokenizer().vocab_size());
            accepts.push(least(
                REPEATS,
                || state.clone(),
                |mut state| automaton.advance(&mut state, token).map(|()| state),
            ));
            if automaton.advance(&mut state, token).is_err() {
                figures.gold_tokens_forbidden += 1;
                break;
            }
        }
    }
    let steps = masks.len().max(1) as f64;
    let sum = |values: &[f64]| values.iter().sum::<f64>();
    figures.mask_us_mean = sum(&masks) / steps;
    figures.accept_us = sum(&accepts) / steps;
    figures.compile_ms_per_sentence = sum(&compiles) / sentences.len().max(1) as f64 / 1000.0;
    figures.all_in_us_per_token = sum(&compiles) / steps + figures.mask_us_mean + figures.accept_us;
    figures.allowed_per_mask = allowed as f64 / steps;
    masks.sort_by(f64::total_cmp);
    let quantile = |q: f64| masks.get(((masks.len() as f64 - 1.0) * q).round() as usize).copied().unwrap_or(0.0);
    figures.mask_us_p50 = quantile(0.5);
    figures.mask_us_p99 = quantile(0.99);
    figures
}

/// The least of three measurements of one operation, each a mean over `repeats`, in microseconds.
fn least<I, O>(repeats: u32, mut input: impl FnMut() -> I, mut operation: impl FnMut(I) -> O) -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..3 {
        let inputs: Vec<I> = (0..repeats).map(|_| input()).collect();
        let mut outputs = Vec::with_capacity(inputs.len());
        let begin = Instant::now();
        for input in inputs {
            outputs.push(black_box(operation(input)));
        }
        let elapsed = begin.elapsed();
        drop(outputs);
        least = least.min(elapsed.as_secs_f64() * 1e6 / f64::from(repeats));
    }
    least
}
