//! The shipped synthetic corpora: the same everywhere, valid, learnable in principle and not solvable by a list of names.

use std::collections::BTreeSet;

use inerd_corpus::{Card, Corpus, Gazetteer, cards, fingerprint, load};

fn synthetic() -> Vec<Corpus> {
    cards().iter().filter(|c| c.is_synthetic()).map(|c| load(c, None).unwrap()).collect()
}

#[test]
fn sizes_ids_and_spans_are_right() {
    for corpus in synthetic() {
        let card = Card::find(&corpus.name, None).unwrap();
        let recipe = card.synthesis.unwrap();
        assert_eq!(
            (corpus.train.len(), corpus.valid.len(), corpus.test.len()),
            (recipe.train, recipe.valid, recipe.test)
        );
        let mut ids = BTreeSet::new();
        for (split, sentences) in corpus.splits() {
            for sentence in sentences {
                sentence.validate().unwrap();
                assert!(ids.insert(&sentence.id) && sentence.id.starts_with(&format!("{}/{split}/", corpus.name)));
                assert!(sentence.entities.iter().all(|e| corpus.schema.contains(&e.kind)), "{sentence:?}");
                assert!(
                    !sentence.text.contains(['\n', '{', '[']) && !sentence.text.contains("  "),
                    "{}",
                    sentence.text
                );
            }
        }
    }
}

#[test]
fn the_same_card_gives_the_same_corpus() {
    for card in cards().iter().filter(|c| c.is_synthetic()) {
        assert_eq!(load(card, None).unwrap(), load(card, None).unwrap());
        let mut other = card.clone();
        other.synthesis.as_mut().unwrap().seed += 1;
        assert_ne!(load(card, None).unwrap().train, load(&other, None).unwrap().train);
        assert_ne!(fingerprint(card, None).unwrap(), fingerprint(&other, None).unwrap());
    }
}

/// A list of the training mentions must not solve the test set: unseen names, unseen combinations and ambiguity are
/// what the corpora are for.
#[test]
fn a_gazetteer_stays_under_70() {
    for corpus in synthetic() {
        let score = Gazetteer::learn(&corpus.train).score(&corpus.test);
        assert!((0.1..0.7).contains(&score.f1), "{}: {score:?}", corpus.name);
    }
}
