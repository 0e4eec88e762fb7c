//! How fast scores and resampling are: `cargo run --release -p inerd-metrics --example speed`.
//!
//! One thread; CPU time as the kernel counts it where it tells (Linux), else wall time. Every figure is the best of
//! five, because other work on the machine can only add to it.
#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use inerd_metrics::statistics::{
    Exchange, Over, Replicate, Resampling, Statistic, approximate_randomisation, paired_bootstrap,
};
use inerd_metrics::{Convention, Scheme, ScoreReport, SentenceCounts, TagRules, score, score_spans, score_tags};
use inerd_text::{Entity, Generation, Prediction, Schema, Sentence, Span};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SENTENCES: usize = 100_000;
const TYPES: [&str; 4] = ["Person", "Location", "Organization", "Miscellaneous"];

struct Corpus {
    gold: Vec<Sentence>,
    predicted: Vec<Generation>,
    gold_tags: Vec<Vec<String>>,
    predicted_tags: Vec<Vec<String>>,
}

/// Sentences of 10 to 40 tokens with about one entity in eight tokens, and answers of which some are wrong.
fn corpus() -> Corpus {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut below = |n: u32| random.next_u32() % n;
    let mut corpus =
        Corpus { gold: Vec::new(), predicted: Vec::new(), gold_tags: Vec::new(), predicted_tags: Vec::new() };
    for id in 0..SENTENCES {
        let length = 10 + below(31) as usize;
        let mut text = String::new();
        let mut tokens: Vec<Span> = Vec::with_capacity(length);
        for _ in 0..length {
            if !text.is_empty() {
                text.push(' ');
            }
            let start = text.len();
            (0..=below(8)).for_each(|_| text.push(char::from(b'a' + below(26) as u8)));
            tokens.push(Span::new(start, text.len()));
        }
        let mut sides = [(Vec::new(), vec!["O".to_owned(); length]), (Vec::new(), vec!["O".to_owned(); length])];
        let mut at = 0;
        while at < length {
            if below(8) != 0 {
                at += 1;
                continue;
            }
            let end = length.min(at + 1 + below(3) as usize);
            let kind = TYPES[below(4) as usize];
            for (side, (entities, tags)) in sides.iter_mut().enumerate() {
                let verdict = if side == 0 { 9 } else { below(10) };
                if verdict == 0 {
                    continue;
                }
                let kind = if verdict == 1 { TYPES[below(4) as usize] } else { kind };
                entities.push(Entity::new(kind, tokens[at].start, tokens[end - 1].end));
                for (i, tag) in tags[at..end].iter_mut().enumerate() {
                    *tag = format!("{}-{kind}", if i == 0 { "B" } else { "I" });
                }
            }
            at = end;
        }
        let [(entities, gold_tags), (answered, predicted_tags)] = sides;
        let predictions = answered.into_iter().map(|e| Prediction {
            surface: text[e.span.start..e.span.end].to_owned(),
            kind: e.kind,
            span: Some(e.span),
            confidence: None,
        });
        corpus.predicted.push(Generation {
            id: id.to_string(),
            predictions: predictions.collect(),
            ..Generation::default()
        });
        corpus.gold.push(Sentence { id: id.to_string(), text, tokens, entities });
        corpus.gold_tags.push(gold_tags);
        corpus.predicted_tags.push(predicted_tags);
    }
    corpus
}

/// Nanoseconds that this thread has spent on a processor.
fn cpu_time() -> Option<Duration> {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(line.split(' ').next()?.parse().ok()?))
}

fn best_of_five<T>(mut work: impl FnMut() -> T) -> f64 {
    let once = |work: &mut dyn FnMut() -> T| {
        let (wall, cpu) = (Instant::now(), cpu_time());
        black_box(work());
        let spent = cpu_time().zip(cpu).and_then(|(after, before)| after.checked_sub(before));
        spent.filter(|s| !s.is_zero()).unwrap_or_else(|| wall.elapsed()).as_secs_f64()
    };
    (0..5).map(|_| once(&mut work)).fold(f64::INFINITY, f64::min)
}

fn replicates(counts: &[SentenceCounts]) -> Vec<Replicate<'_>> {
    counts.iter().zip(["1", "2", "3", "4", "5"]).map(|(counts, unit)| Replicate { counts, unit }).collect()
}

fn main() {
    let Corpus { gold, predicted, gold_tags, predicted_tags } = corpus();
    let schema = Schema::new(TYPES);
    let rate = |what: &str, seconds: f64| {
        println!("{what:<44} {:>12.0} sentences per CPU second", SENTENCES as f64 / seconds);
    };
    rate("span F1 from spans", best_of_five(|| score_spans(&gold, &predicted)));
    let rules = [
        TagRules::Conlleval,
        TagRules::Seqeval,
        TagRules::SeqevalStrict(Scheme::Iob2),
        TagRules::Nervaluate(Convention::NervaluateStrict),
    ];
    for rules in rules {
        let seconds = best_of_five(|| score_tags(rules, &gold_tags, &predicted_tags));
        rate(&format!("{rules} from tag strings"), seconds);
    }
    for convention in Convention::ALL {
        rate(&format!("{convention} from answers"), best_of_five(|| score(convention, &gold, &predicted, &schema)));
    }
    rate("the whole score report", best_of_five(|| ScoreReport::new(&gold, &predicted, &schema)));

    // Two arms, five seeds each, ten thousand sentences.
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut column = |most: u32| (0..10_000).map(|_| random.next_u32() % most).collect::<Vec<u32>>();
    let counts: Vec<SentenceCounts> =
        (0..10).map(|_| SentenceCounts { tp: column(4), fp: column(2), fn_: column(2) }).collect();
    let (baseline, other) = (replicates(&counts[..5]), replicates(&counts[5..]));
    let seconds = |what: &str, seconds: f64| println!("{what:<44} {seconds:>12.2} CPU seconds");
    println!("10,000 resamples of 10,000 sentences × 5 seeds × 2 arms:");
    for over in [Over::Sentences, Over::SeedsAndSentences] {
        let settings = Resampling { over, ..Resampling::default() };
        let spent = best_of_five(|| paired_bootstrap(&baseline, &other, Statistic::F1, &settings));
        seconds(&format!("  paired bootstrap over {over:?}"), spent);
    }
    let settings = Resampling::default();
    let randomised = || approximate_randomisation(&baseline, &other, Statistic::F1, Exchange::Sentences, &settings);
    seconds("  approximate randomisation", best_of_five(randomised));
}
