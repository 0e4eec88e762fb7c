//! Under the null, p-values are uniform; where there is an effect, tests find it as often as theory says; intervals
//! cover as often as they claim. Simulated.

use inerd_metrics::SentenceCounts;
use inerd_metrics::statistics::{
    Exchange, Over, Replicate, Resampling, Statistic, approximate_randomisation, bootstrap, paired_bootstrap, power,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SENTENCES: usize = 200;
const EXPERIMENTS: u64 = 400;

/// How an arm behaves: the probability that an entity is found, and how that deviates over units.
#[derive(Clone, Copy)]
struct Arm {
    recall: f64,
    over_units: f64,
}

fn uniform(random: &mut ChaCha8Rng) -> f64 {
    f64::from(random.next_u32()) / 2_f64.powi(32)
}

/// Sum of twelve uniform numbers: close enough to a normal one.
fn normal(random: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| uniform(random)).sum::<f64>() - 6.0
}

/// Counts of `units` models on the same sentences. Each entity has its own difficulty, which all models share.
fn simulate(random: &mut ChaCha8Rng, difficulty: &[[f64; 3]], arm: Arm, units: usize) -> Vec<SentenceCounts> {
    let one = |random: &mut ChaCha8Rng| {
        let recall = arm.recall + arm.over_units * normal(random);
        let mut counts = SentenceCounts::default();
        for entities in difficulty {
            let found = entities.iter().filter(|d| uniform(random) < recall + **d).count() as u32;
            counts.tp.push(found);
            counts.fn_.push(3 - found);
            counts.fp.push(u32::from(uniform(random) < 0.3));
        }
        counts
    };
    (0..units).map(|_| one(random)).collect()
}

fn difficulty(random: &mut ChaCha8Rng) -> Vec<[f64; 3]> {
    (0..SENTENCES).map(|_| [0; 3].map(|_| 0.4 * (uniform(random) - 0.5))).collect()
}

const NAMES: [&str; 12] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"];

fn replicates(counts: &[SentenceCounts], first: usize) -> Vec<Replicate<'_>> {
    counts.iter().zip(&NAMES[first..]).map(|(counts, unit)| Replicate { counts, unit }).collect()
}

/// p-values of `test` over many experiments with two arms of `units` models each. The arms' units have different names
/// where `shared_names` is false, so that nothing is paired.
fn p_values(
    purpose: u64,
    arms: [Arm; 2],
    units: usize,
    shared_names: bool,
    test: impl Fn(&[Replicate<'_>], &[Replicate<'_>], u64) -> f64,
) -> Vec<f64> {
    let run = |experiment| {
        let mut random = ChaCha8Rng::seed_from_u64(1_000_000 * purpose + experiment);
        let difficulty = difficulty(&mut random);
        let [old, new] = arms.map(|arm| simulate(&mut random, &difficulty, arm, units));
        test(&replicates(&old, 0), &replicates(&new, if shared_names { 0 } else { units }), experiment)
    };
    (0..EXPERIMENTS).map(run).collect()
}

fn rejected(p_values: &[f64], alpha: f64) -> f64 {
    p_values.iter().filter(|p| **p <= alpha).count() as f64 / p_values.len() as f64
}

/// Kolmogorov's distance to the uniform distribution stays below its 1 % bound.
fn assert_uniform(mut p_values: Vec<f64>) {
    p_values.sort_by(f64::total_cmp);
    let n = p_values.len() as f64;
    let distance = |(i, p): (usize, &f64)| (p - i as f64 / n).abs().max((p - (i + 1) as f64 / n).abs());
    let largest = p_values.iter().enumerate().map(distance).fold(0.0, f64::max);
    assert!(largest < 1.628 / n.sqrt(), "distance {largest}, of 0.05: {}", rejected(&p_values, 0.05));
}

/// A share of the experiments that should be `expected`, within three of its standard errors.
fn assert_share(found: f64, expected: f64) {
    let error = (expected * (1.0 - expected) / EXPERIMENTS as f64).sqrt();
    assert!((found - expected).abs() < 3.0 * error, "found {found}, expected {expected} ± {error}");
}

fn settings(seed: u64, over: Over) -> Resampling {
    Resampling { resamples: 399, level: 0.95, seed, over }
}

fn by_bootstrap(over: Over) -> impl Fn(&[Replicate<'_>], &[Replicate<'_>], u64) -> f64 {
    move |old, new, seed| paired_bootstrap(old, new, Statistic::F1, &settings(seed, over)).unwrap().p_value
}

fn by_randomisation(exchange: Exchange) -> impl Fn(&[Replicate<'_>], &[Replicate<'_>], u64) -> f64 {
    move |old, new, seed| {
        let settings = settings(seed, Over::Sentences);
        approximate_randomisation(old, new, Statistic::F1, exchange, &settings).unwrap().p_value
    }
}

const EVEN: Arm = Arm { recall: 0.6, over_units: 0.0 };
const NOISY: Arm = Arm { recall: 0.6, over_units: 0.02 };

#[test]
fn under_the_null_the_paired_bootstrap_over_sentences_is_uniform() {
    assert_uniform(p_values(1, [EVEN; 2], 1, true, by_bootstrap(Over::Sentences)));
}

#[test]
fn under_the_null_exchanging_sentences_is_uniform() {
    assert_uniform(p_values(2, [EVEN; 2], 2, true, by_randomisation(Exchange::Sentences)));
}

#[test]
fn under_the_null_exchanging_units_is_uniform() {
    // 252 assignments: p-values are steps of 1/126, fine enough for the distance.
    assert_uniform(p_values(3, [NOISY; 2], 5, false, by_randomisation(Exchange::Units)));
}

#[test]
fn under_the_null_the_bootstrap_over_seeds_and_sentences_is_uniform() {
    assert_uniform(p_values(4, [NOISY; 2], 5, false, by_bootstrap(Over::SeedsAndSentences)));
    assert_uniform(p_values(5, [NOISY; 2], 5, true, by_bootstrap(Over::SeedsAndSentences)));
}

#[test]
fn sentences_alone_do_not_vouch_for_a_method() {
    // Training noise is invisible to a test that draws sentences only: it rejects a true null far too often.
    let noisy = Arm { recall: 0.6, over_units: 0.06 };
    let found = rejected(&p_values(6, [noisy; 2], 3, true, by_bootstrap(Over::Sentences)), 0.05);
    assert!(found > 0.2, "{found}");
    let both = rejected(&p_values(6, [noisy; 2], 3, false, by_bootstrap(Over::SeedsAndSentences)), 0.05);
    assert!(both < 0.08, "{both}");
}

#[test]
fn power_is_as_claimed() {
    // The deviation of one model's F1, seeds and sentences together, measured on many.
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let f1 = |random: &mut ChaCha8Rng, arm| {
        let difficulty = difficulty(random);
        simulate(random, &difficulty, arm, 1)[0].total().prf().f1
    };
    let better = Arm { recall: 0.63, over_units: 0.02 };
    let sample = |random: &mut ChaCha8Rng, arm| -> Vec<f64> { (0..4000).map(|_| f1(random, arm)).collect() };
    let (old, new) = (sample(&mut random, NOISY), sample(&mut random, better));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let variance = |values: &[f64]| mean(&values.iter().map(|x| (x - mean(values)).powi(2)).collect::<Vec<_>>());
    let deviation = f64::midpoint(variance(&old), variance(&new)).sqrt();
    let claimed = power(5, mean(&new) - mean(&old), deviation, 0.05);
    let arms = [NOISY, better];
    assert!(claimed > 0.3 && claimed < 0.95, "{claimed}: a power that says something");
    assert_share(rejected(&p_values(8, arms, 5, false, by_bootstrap(Over::SeedsAndSentences)), 0.05), claimed);
}

#[test]
fn intervals_cover_the_truth() {
    // The expected F1 of the arm, from a very large sample.
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut total = 0.0;
    for _ in 0..4000 {
        let difficulty = difficulty(&mut random);
        total += simulate(&mut random, &difficulty, NOISY, 1)[0].total().prf().f1;
    }
    let truth = total / 4000.0;
    let covered = (0..EXPERIMENTS).filter(|experiment| {
        let mut random = ChaCha8Rng::seed_from_u64(10_000_000 + experiment);
        let difficulty = difficulty(&mut random);
        let counts = simulate(&mut random, &difficulty, NOISY, 5);
        let settings = settings(*experiment, Over::SeedsAndSentences);
        let estimate = bootstrap(&replicates(&counts, 0), Statistic::F1, &settings).unwrap();
        estimate.low <= truth && truth <= estimate.high
    });
    assert_share(covered.count() as f64 / EXPERIMENTS as f64, 0.95);
}

#[test]
fn replicates_of_one_prefix_are_one_unit() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let difficulty = difficulty(&mut random);
    let counts = simulate(&mut random, &difficulty, NOISY, 4);
    let independent = replicates(&counts, 0);
    let shared: Vec<Replicate<'_>> =
        counts.iter().zip(["a", "a", "b", "b"]).map(|(counts, unit)| Replicate { counts, unit }).collect();
    let settings = Resampling { resamples: 200, ..Resampling::default() };
    assert_eq!(bootstrap(&independent, Statistic::F1, &settings).unwrap().n, 4);
    assert_eq!(bootstrap(&shared, Statistic::F1, &settings).unwrap().n, 2);
    // One unit leaves sentences only, and the result says so.
    let alone: Vec<Replicate<'_>> = counts.iter().map(|counts| Replicate { counts, unit: "a" }).collect();
    let estimate = bootstrap(&alone, Statistic::F1, &settings).unwrap();
    assert_eq!((estimate.n, estimate.over), (1, Over::Sentences));
}

#[test]
fn degenerate_arms_give_figures_and_not_nan() {
    let empty = SentenceCounts::default();
    let nothing = SentenceCounts { tp: vec![0; 3], fp: vec![0; 3], fn_: vec![0; 3] };
    for counts in [&empty, &nothing] {
        for units in [&NAMES[..1], &NAMES[..3]] {
            let arm: Vec<Replicate<'_>> = units.iter().map(|unit| Replicate { counts, unit }).collect();
            let settings = Resampling { resamples: 20, ..Resampling::default() };
            let estimate = bootstrap(&arm, Statistic::F1, &settings).unwrap();
            assert_eq!((estimate.value, estimate.low, estimate.high), (0.0, 0.0, 0.0));
            let difference = paired_bootstrap(&arm, &arm, Statistic::F1, &settings).unwrap();
            assert_eq!((difference.value, difference.p_value), (0.0, 1.0));
            for exchange in [Exchange::Sentences, Exchange::Units] {
                let random = approximate_randomisation(&arm, &arm, Statistic::F1, exchange, &settings).unwrap();
                assert_eq!((random.value, random.p_value), (0.0, 1.0));
            }
        }
    }
    assert!(bootstrap(&[], Statistic::F1, &Resampling::default()).is_err());
    let arm = [Replicate { counts: &nothing, unit: "0" }];
    let other = [Replicate { counts: &empty, unit: "0" }];
    assert!(paired_bootstrap(&arm, &other, Statistic::F1, &Resampling::default()).is_err());
}
