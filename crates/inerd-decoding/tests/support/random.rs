//! Random cases: a tokenizer, a format, types, a sentence with entities, and rules, all from one seed.

use inerd_decoding::{Codec, EntityOrder, FormatSettings, Granularity, Layout, Occurrence, Rule, Rules, TypeNames};
use inerd_text::{Entity, Schema, Sentence};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;

use super::Toy;

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) codec: Codec,
    pub(crate) sentence: Sentence,
    pub(crate) rules: Rules,
    pub(crate) rng: ChaCha8Rng,
}

const WORDS: [&str; 22] = [
    "a", "b", "ab", "New", "York", "City", "(", ")", ".", ":", ";", "[", "]", "\"", "\\", "'s", "é", "東", "京",
    "Person", "Cell", "🦀",
];
const SPACES: [&str; 6] = [" ", " ", " ", "", "", "  "];
const TYPES: [&str; 8] = ["Person", "Cell", "Cell Type", "Cell Line", "CellLine", "a", "ORG", "Cell Type Two"];

impl Case {
    pub(crate) fn new(seed: u64, words: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rng = &mut rng;
        let mut text = String::new();
        let mut starts = Vec::new();
        let mut ends = Vec::new();
        for _ in 0..rng.random_range(0..=words) {
            text.push_str(SPACES.choose(rng).unwrap());
            starts.push(text.len());
            text.push_str(WORDS.choose(rng).unwrap());
            ends.push(text.len());
        }
        // Pieces of what will be written, so that tokens cross words and separators.
        let sample = format!(
            " {text} {} : ; [ ] Person : {text} ; Cell Type Line {{\"type\": \"\", \"text\": \"\"}}\n",
            TYPES.join(" ")
        );
        let chars: Vec<char> = sample.chars().collect();
        let pieces: Vec<String> = (0..rng.random_range(0..60))
            .map(|_| {
                let from = rng.random_range(0..chars.len());
                chars[from..(from + rng.random_range(2..7)).min(chars.len())].iter().collect()
            })
            .collect();
        let specials: &[&str] = if rng.random_bool(0.3) { &["<eos>", ":", ";", "[", "]"] } else { &["<eos>"] };
        let tokenizer = Toy::new(&pieces, specials, rng.random_bool(0.3));
        let kinds: Vec<&str> = TYPES.iter().copied().filter(|_| rng.random_bool(0.4)).collect();
        let schema = Schema::new(kinds.iter().copied());
        let mut entities = Vec::new();
        if !kinds.is_empty() && !starts.is_empty() {
            for _ in 0..rng.random_range(0..4) {
                let from = rng.random_range(0..starts.len());
                let to = rng.random_range(from..(from + 3).min(ends.len()));
                entities.push(Entity::new(*kinds.choose(rng).unwrap(), starts[from], ends[to]));
            }
        }
        entities.sort();
        entities.dedup();
        let sentence = Sentence { id: seed.to_string(), text, tokens: Vec::new(), entities };
        let format = FormatSettings {
            layout: *[Layout::Paper, Layout::ContentFirst, Layout::Json, Layout::Inline].choose(rng).unwrap(),
            entity_order: *[EntityOrder::Text, EntityOrder::Text, EntityOrder::Type, EntityOrder::Random]
                .choose(rng)
                .unwrap(),
            seed,
            type_names: *[TypeNames::Raw, TypeNames::Raw, TypeNames::Symbols].choose(rng).unwrap(),
            types_in_prompt: rng.random_bool(0.2),
            cue: if rng.random_bool(0.2) { "news".to_owned() } else { String::new() },
            occurrence: Occurrence::InOrder,
            ..FormatSettings::default()
        };
        let codec = Codec::new(tokenizer, format, schema).unwrap();
        let rules = rules(rng);
        let rng = rng.clone();
        Self { codec, sentence, rules, rng }
    }
}

/// A random set of rules that holds together.
fn rules(rng: &mut ChaCha8Rng) -> Rules {
    let mut rules = Rules::none();
    for doc in Rule::TABLE {
        if doc.needs.iter().all(|&needs| rules.contains(needs)) && rng.random_bool(0.6) {
            rules = match doc.rule {
                Rule::MaxSpan => rules.with_max_span(rng.random_range(1..4)),
                Rule::MaxEntities => rules.with_max_entities(rng.random_range(1..4)),
                rule => rules.with(rule),
            };
        }
    }
    rules.at(if rng.random_bool(0.5) { Granularity::Token } else { Granularity::Text })
}

/// The same rules with those that make an answer well-formed.
pub(crate) fn strict(rules: Rules) -> Rules {
    rules.with(Rule::Structure).with(Rule::Types).with(Rule::Copy).with(Rule::Bigram).with(Rule::Span)
}
