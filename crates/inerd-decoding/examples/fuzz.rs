//! `fuzz [--minutes M] [--from SEED]`: every property of the crate on one random case after the other, until one fails
//! or the time is over. A case (tokenizer, format, types, sentence, rules, answer) is a function of its seed, so a
//! finding is repeated by `--from` with the seed that it names.
//!
//! `cargo run --release -p inerd-decoding --example fuzz -- --minutes 10`

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

fn argument(name: &str) -> Option<u64> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1).map(|value| value.parse().unwrap_or_else(|_| panic!("{name} takes a number, not `{value}`")))
}

#[expect(clippy::print_stdout, reason = "the result of a command")]
fn main() {
    let time = Duration::from_secs(60 * argument("--minutes").unwrap_or(10));
    let first = argument("--from").unwrap_or(0);
    let begin = Instant::now();
    let mut seed = first;
    while begin.elapsed() < time {
        // So that a finding names its seed.
        let outcome = std::panic::catch_unwind(|| support::properties::all(seed));
        assert!(outcome.is_ok(), "seed {seed}: repeat with --from {seed}");
        seed += 1;
    }
    println!("{} cases ({first} to {seed}) in {} s without a finding", seed - first, begin.elapsed().as_secs());
}
