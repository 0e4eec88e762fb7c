//! The walk from a sentence to its answer, through the automaton, and back.

mod support;

use std::sync::Arc;

use inerd_decoding::{
    Allowed, Automaton, Codec, Error, FormatSettings, Granularity, Layout, Occurrence, Rules, Tokenizer,
};
use inerd_text::{Entity, Schema, Sentence};
use support::{Real, Toy};

fn sentence(text: &str, entities: &[(&str, &str)]) -> Sentence {
    // The first occurrence of each surface, from the end of the entity before it where there is one.
    let mut from = 0;
    let entities = entities
        .iter()
        .map(|(kind, surface)| {
            let start = text[from..].find(surface).map_or_else(|| text.find(surface).unwrap(), |at| from + at);
            from = start + surface.chars().next().map_or(1, char::len_utf8);
            Entity::new(*kind, start, start + surface.len())
        })
        .collect();
    let mut sentence = Sentence { text: text.to_owned(), entities, ..Sentence::default() };
    sentence.entities.sort();
    sentence
}

/// Walks along `ids`; the token that was refused.
fn refused(automaton: &Automaton, ids: &[u32]) -> Option<usize> {
    let mut state = automaton.start();
    let mut scratch = Vec::new();
    for (at, &id) in ids.iter().enumerate() {
        let allowed = automaton.allowed(&state, &mut scratch).contains(id);
        assert_eq!(allowed, automaton.advance(&mut state, id).is_ok());
        if !allowed {
            return Some(at);
        }
    }
    assert!(automaton.is_final(&state));
    assert_eq!(automaton.allowed(&state, &mut scratch), Allowed::Only(&[]));
    None
}

fn hard_sentences() -> Vec<Sentence> {
    vec![
        sentence(
            "Ada Lovelace met Babbage in London.",
            &[("Person", "Ada Lovelace"), ("Person", "Babbage"), ("Location", "London")],
        ),
        sentence("Nothing here.", &[]),
        sentence(
            "(Ada) said \"London\" [sic]: Ada's B2B-deal, U.S.-led.",
            &[("Person", "Ada"), ("Location", "London"), ("Person", "Ada"), ("Cell Type", "B2B"), ("Location", "U.S.")],
        ),
        sentence(
            "Mission : Impossible ; Fallout and AT&T ; IBM.",
            &[("Cell Line", "Mission : Impossible ; Fallout"), ("Cell Type", "AT&T"), ("Cell", "IBM")],
        ),
        sentence(
            "The Bank of England is in England.",
            &[("Organisation", "Bank of England"), ("Location", "England"), ("Location", "England")],
        ),
        sentence(
            "東京タワーと Москва, São Paulo 🦀 क्षेत्र.",
            &[
                ("Location", "東京"),
                ("Location", "Москва"),
                ("Location", "São Paulo"),
                ("Person", "🦀"),
                ("Location", "क्षेत्र"),
            ],
        ),
        sentence(
            "Alzheimer's disease , McDonald 's",
            &[("Cell", "Alzheimer's disease"), ("Organisation", "McDonald 's")],
        ),
        sentence("New  York\tCity\nand so ).", &[("Location", "New  York\tCity"), ("Cell", ").")]),
        sentence(
            "Once upon a time, Tom and Lily played together with the big dog named Max.",
            &[("Person", "Tom"), ("Person", "Lily"), ("Animal", "dog named Max")],
        ),
    ]
}

fn schema() -> Schema {
    Schema::new(["Person", "Location", "Organisation", "Cell", "Cell Type", "Cell Line", "Animal"])
}

fn check(tokenizer: Arc<dyn Tokenizer>, name: &str) {
    let layouts = [Layout::Paper, Layout::ContentFirst, Layout::Json, Layout::Inline];
    for layout in layouts {
        let format = FormatSettings { layout, occurrence: Occurrence::InOrder, ..FormatSettings::default() };
        let codec = match Codec::new(Arc::clone(&tokenizer), format, schema()) {
            Ok(codec) => codec,
            // Its vocabulary has no braces: the layout is refused, never written wrongly.
            Err(Error::Separator { .. }) if name == "tinystories-656k" && layout != Layout::Paper => continue,
            Err(error) => panic!("{name}, {layout:?}: {error}"),
        };
        let name = format!("{name}, {layout:?}");
        for sentence in hard_sentences() {
            let ids = codec.answer(&sentence);
            for rules in [Rules::exact(), Rules::exact().at(Granularity::Text), Rules::none(), Rules::paper()] {
                let automaton = codec.automaton(&sentence.text, &rules);
                let refused = refused(&automaton, &ids);
                assert_eq!(refused, None, "{name}: {rules:?}: {:?}", codec.decode(&sentence.text, &ids, None));
            }
            let parsed = codec.decode(&sentence.text, &ids, Some(&vec![0.5; ids.len()]));
            assert!(!parsed.truncated && parsed.unparsable.is_empty(), "{name}: {parsed:?}");
            let mut got: Vec<Entity> = (parsed.predictions.iter())
                .map(|p| Entity { kind: p.kind.clone(), span: p.span.unwrap_or_else(|| panic!("{name}: {parsed:?}")) })
                .collect();
            got.sort();
            // Where the vocabulary has gaps, contents that differ may be written alike.
            if !parsed.output.contains('\u{fffd}') {
                assert_eq!(got, sentence.entities, "{name}: {:?}", parsed.output);
            }
            assert!(parsed.predictions.iter().all(|p| p.confidence.is_some_and(|c| c > 0.0 && c < 1.0)));
        }
    }
}

#[test]
fn toy_tokenizers_whose_tokens_span_words() {
    check(Toy::new::<&str>(&[], &["<eos>"], false), "bytes");
    let pieces =
        ["Ada", " Ada", " Lovelace", "Lovelace met", " London", "London.", " Person", " :", " ;", ".", "dog named Max"];
    check(Toy::new(&pieces, &["<eos>"], false), "words");
    check(Toy::new(&pieces, &["<eos>"], true), "words behind a space");
}

#[test]
fn gpt2() {
    let Some(tokenizer) = Real::shared("tokenizers/gpt2", "<|endoftext|>") else { return };
    check(tokenizer.clone(), "gpt2");
    let codec = Codec::new(tokenizer.clone(), FormatSettings::default(), schema()).unwrap();
    let [ada, none, ..] = &hard_sentences()[..] else { unreachable!() };
    assert_eq!(
        codec.decode("", &codec.answer(ada), None).output,
        " Person : Ada Lovelace ; Person : Babbage ; Location : London ;"
    );
    assert_eq!(codec.answer(none), [tokenizer.eos()]);
    assert_eq!(codec.prompt(&ada.text), tokenizer.encode("Ada Lovelace met Babbage in London.\n"));
    let answer = codec.answer(ada);
    assert_eq!(answer[..12], tokenizer.encode(" Person : Ada Lovelace ; Person : Babbage ; Location : London ;")[..12]);
}

#[test]
fn pruned_gpt2() {
    let Some(tokenizer) = Real::shared("tinystories-3m-chat-gpt2/hf", "<|endoftext|>") else { return };
    check(tokenizer, "tinystories-3m");
}

#[test]
fn sentence_piece_with_byte_fallback() {
    let Some(tokenizer) = Real::shared("stories260k/hf", "</s>") else { return };
    check(tokenizer, "stories260k");
}

#[test]
fn tokens_that_span_several_words_and_text_that_can_not_be_spelled() {
    let Some(tokenizer) = Real::shared("tinystories-656k/hf", "<|end_story|>") else { return };
    check(tokenizer, "tinystories-656k");
}
