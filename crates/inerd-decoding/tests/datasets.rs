//! Real text of many kinds with every tokenizer at hand: no gold answer that the rules claim to allow is forbidden.

mod support;

#[path = "support/gold.rs"]
mod gold;

use std::sync::Arc;

use inerd_corpus::{cards, load};
use inerd_decoding::Tokenizer;
use support::Real;

/// Sentences of each split; `cargo run --release --example gold` takes all.
const MOST: usize = 40;

#[test]
fn no_gold_answer_of_any_dataset_is_forbidden() {
    let Some(shared) = support::shared() else { return };
    let tokenizers: Vec<(&str, Arc<dyn Tokenizer>)> = (gold::TOKENIZERS.iter())
        .filter_map(|&(folder, eos)| Some((folder, Real::shared(folder, eos)? as Arc<dyn Tokenizer>)))
        .collect();
    assert!(!tokenizers.is_empty());
    // Datasets that are not at hand can't be read.
    let corpora = cards().iter().filter_map(|card| load(card, Some(&shared.join("datasets"))).ok());
    let (mut sentences, mut unclaimed) = (0, 0);
    for corpus in corpora {
        for (folder, tokenizer) in &tokenizers {
            for walked in gold::walk(&corpus, tokenizer, MOST) {
                assert!(walked.refused.is_empty(), "{}, {folder}: {:#?}", corpus.name, walked.refused);
                sentences += walked.sentences;
                unclaimed += walked.unclaimed.len();
            }
        }
    }
    assert!(sentences > 10_000, "{sentences}");
    // Entities that cut a word are rare: a rule that calls many of them so has its words wrong.
    assert!(unclaimed * 200 < sentences, "{unclaimed} of {sentences}");
}
