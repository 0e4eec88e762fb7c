//! Decoding's hot path asks the allocator for nothing.

mod support;

use inerd_decoding::{Automaton, Codec, FormatSettings, Granularity, Layout, Rules};
use inerd_text::{Entity, Schema, Sentence};
use support::Toy;

/// Everything that decoding asks of an automaton at one step, along an answer.
fn walk(automaton: &Automaton, answer: &[u32], scratch: &mut Vec<u32>, run: &mut Vec<u32>) {
    let mut state = automaton.start();
    for &token in answer {
        assert!(automaton.allowed(&state, scratch).contains(token));
        run.clear();
        automaton.forced(&state, scratch, run);
        automaton.advance(&mut state, token).expect("allowed");
    }
    assert!(automaton.is_final(&state));
}

#[test]
fn a_step_allocates_nothing() {
    let text = "(Ada Lovelace) met Babbage 's sister in London, New York and New London.";
    let entity = |kind: &str, surface: &str| {
        let start = text.find(surface).unwrap();
        Entity::new(kind, start, start + surface.len())
    };
    let entities =
        vec![entity("Person", "Ada Lovelace"), entity("Cell Type", "Babbage 's sister"), entity("City", "New York")];
    let sentence = Sentence { text: text.to_owned(), entities, ..Sentence::default() };
    let pieces = [" Ada", "Ada", " Love", "lace", " :", " ;", " Cell", " Type", " New", " York", " City", " [", " ]"];
    let tokenizer = Toy::new(&pieces, &["<eos>"], false);
    for layout in [Layout::Paper, Layout::ContentFirst, Layout::Json, Layout::Inline] {
        let format = FormatSettings { layout, ..FormatSettings::default() };
        let schema = Schema::new(["Person", "Cell Type", "Cell Line", "City"]);
        let codec = Codec::new(tokenizer.clone(), format, schema).unwrap();
        let answer = codec.answer(&sentence);
        for granularity in [Granularity::Token, Granularity::Text] {
            for rules in [Rules::exact(), Rules::paper(), Rules::exact().with_max_span(4).with_max_entities(8)] {
                let automaton = codec.automaton(text, &rules.at(granularity));
                let (mut scratch, mut run) = (Vec::new(), Vec::new());
                // The lists grow to their size once.
                walk(&automaton, &answer, &mut scratch, &mut run);
                let counted = allocation_counter::measure(|| walk(&automaton, &answer, &mut scratch, &mut run));
                assert_eq!(counted.count_total, 0, "{layout:?}, {rules:?}, {granularity:?}: {counted:?}");
            }
        }
    }
}
