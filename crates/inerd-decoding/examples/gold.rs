//! `gold DATA [--why]`: walks the gold answers of every dataset below DATA, with every tokenizer of the shared models
//! (`INERD_SHARED`), under `exact` at both levels, and prints how many were refused. `--why` names each sentence whose
//! answer the rules don't claim to allow.

#[path = "../tests/support/mod.rs"]
mod support;

#[path = "../tests/support/gold.rs"]
mod gold;

use std::path::PathBuf;
use std::sync::Arc;

use inerd_corpus::{cards, load};
use inerd_decoding::Tokenizer;
use support::Real;

#[expect(clippy::print_stdout, reason = "the result of a command")]
fn main() {
    let data = PathBuf::from(std::env::args().nth(1).expect("usage: gold DATA [--why]"));
    let why = std::env::args().any(|argument| argument == "--why");
    let tokenizers: Vec<(&str, Arc<dyn Tokenizer>)> = (gold::TOKENIZERS.iter())
        .filter_map(|&(folder, eos)| Some((folder, Real::shared(folder, eos)? as Arc<dyn Tokenizer>)))
        .collect();
    println!("{:<24}{:<30}{:<7}sentences   tokens  refused  unclaimed", "dataset", "tokenizer", "level");
    for card in cards() {
        let Ok(corpus) = load(card, Some(&data)) else { continue };
        for (folder, tokenizer) in &tokenizers {
            for (level, walked) in ["token", "text"].iter().zip(gold::walk(&corpus, tokenizer, usize::MAX)) {
                println!("{:<24}{folder:<30}{level:<7} {walked}", corpus.name);
                for report in walked.refused.iter().chain(walked.unclaimed.iter().filter(|_| why)) {
                    println!("    {report}");
                }
            }
        }
    }
}
