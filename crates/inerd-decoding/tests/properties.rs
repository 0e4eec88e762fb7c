//! What holds for every sentence, set of types, tokenizer, format and set of rules.

mod support;

use proptest::prelude::*;
use support::inline::inline_masks_equal_the_reference;
use support::properties::{
    accepted_answers_parse, any_output_is_read, gold_answers_are_accepted, masks_equal_the_reference,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_accepted_answer_parses(seed: u64) {
        accepted_answers_parse(seed);
    }

    #[test]
    fn every_gold_answer_is_accepted(seed: u64) {
        gold_answers_are_accepted(seed);
    }

    #[test]
    fn every_output_is_read(seed: u64) {
        any_output_is_read(seed);
    }

    #[test]
    fn masks_equal_those_of_a_brute_force_search(seed: u64) {
        masks_equal_the_reference(seed);
        inline_masks_equal_the_reference(seed);
    }
}
