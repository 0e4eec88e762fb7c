//! The rules one by one: the authors' defects and their repair, the audit, the search.

mod support;

use std::sync::Arc;

use inerd_decoding::{
    Allowed, Codec, FormatSettings, Granularity, Layout, MaskAudit, Rule, RuleSettings, Rules, Search, Tokenizer,
    n_best_confidence,
};
use inerd_text::{Entity, Schema, Sentence};
use support::Toy;

/// Words behind a space are tokens; so are the pieces of "Yorkshire".
fn codec(types: &[&str]) -> Codec {
    let pieces = [
        " Cell", " Type", " Line", " Person", " City", " :", " ;", " New", "New", " York", "York", "shire", " and",
        " in",
    ];
    Codec::new(Toy::new(&pieces, &["<eos>"], false), FormatSettings::default(), Schema::new(types.iter().copied()))
        .unwrap()
}

fn ids(codec: &Codec, text: &str) -> Vec<u32> {
    codec.tokenizer().encode(text)
}

fn id(codec: &Codec, text: &str) -> u32 {
    let ids = ids(codec, text);
    assert_eq!(ids.len(), 1, "{text}");
    ids[0]
}

/// What is allowed behind an answer's beginning; `None` where the beginning itself is refused.
fn behind(codec: &Codec, text: &str, rules: Rules, beginning: &str) -> Option<Vec<String>> {
    let automaton = codec.automaton(text, &rules);
    let mut state = automaton.start();
    let mut scratch = Vec::new();
    for token in ids(codec, beginning) {
        if !automaton.allowed(&state, &mut scratch).contains(token) {
            return None;
        }
        automaton.advance(&mut state, token).unwrap();
    }
    let Allowed::Only(tokens) = automaton.allowed(&state, &mut scratch) else {
        return Some(vec!["anything".to_owned()]);
    };
    let word = |&t: &u32| String::from_utf8_lossy(codec.tokenizer().token_bytes(t)).into_owned();
    Some(tokens.iter().map(word).collect())
}

fn accepts(codec: &Codec, text: &str, rules: Rules, answer: &str) -> bool {
    behind(codec, text, rules, answer).is_some_and(|next| next.contains(&String::new()))
}

#[test]
fn authors_code_masks_by_a_low_score_that_can_win() {
    let codec = codec(&["Person"]);
    for (rules, wins) in [(Rules::paper_code(), true), (Rules::exact(), false)] {
        let automaton = codec.automaton("New York", &rules);
        // Every allowed token scores below the mask's value.
        let mut scores = vec![-2000.0; codec.tokenizer().vocab_size()];
        scores[id(&codec, "shire") as usize] = 5.0;
        automaton.mask(&automaton.start(), &mut scores);
        let forbidden = scores[id(&codec, " and") as usize];
        assert_eq!(forbidden > scores[id(&codec, " Person") as usize], wins, "{rules:?}");
        assert_eq!(forbidden.is_finite(), wins);
    }
}

#[test]
fn authors_code_skips_the_mask_before_a_blank() {
    let codec = codec(&["Person"]);
    for (rules, skips) in [(Rules::paper_code(), true), (Rules::exact(), false)] {
        let automaton = codec.automaton("New York", &rules);
        let mut scores = vec![0.0; codec.tokenizer().vocab_size()];
        scores[usize::from(b' ')] = 1.0;
        automaton.mask(&automaton.start(), &mut scores);
        assert_eq!(scores[id(&codec, "shire") as usize].to_bits() == 0, skips, "{rules:?}");
    }
}

#[test]
fn authors_code_begins_a_type_with_any_of_its_words() {
    let codec = codec(&["Cell Type", "Person"]);
    assert!(behind(&codec, "New York", Rules::paper_code(), "").unwrap().contains(&" Type".to_owned()));
    assert_eq!(behind(&codec, "New York", Rules::exact(), "").unwrap(), [" Cell", " Person", ""]);
}

#[test]
fn authors_code_never_writes_cell_type_beside_cell_line() {
    let codec = codec(&["Cell Type", "Cell Line"]);
    assert_eq!(behind(&codec, "New York", Rules::paper_code(), " Cell").unwrap(), [" Line"]);
    for rules in [Rules::exact(), Rules::paper()] {
        assert_eq!(behind(&codec, "New York", rules, " Cell").unwrap(), [" Type", " Line"]);
    }
}

/// Whether a type's name can be written to its end.
fn reaches(codec: &Codec, rules: Rules, kind: &str) -> bool {
    behind(codec, "New York", rules, &format!(" {kind}")).is_some_and(|next| next.contains(&" :".to_owned()))
}

#[test]
fn authors_code_never_writes_some_of_the_types_of_few_nerd() {
    let card = inerd_corpus::Card::find("few-nerd", None).unwrap();
    let types: Vec<&str> = card.types.values().map(String::as_str).collect();
    // Every word of a name is a token.
    let words: Vec<String> = types.iter().flat_map(|name| name.split(' ')).map(|word| format!(" {word}")).collect();
    let tokenizer = Toy::new(&[words, vec![" :".to_owned()]].concat(), &["<eos>"], false);
    let codec = Codec::new(tokenizer, FormatSettings::default(), Schema::new(types.iter().copied())).unwrap();
    assert_eq!(codec.schema().len(), 66);
    let lost = |rules| types.iter().filter(|kind| !reaches(&codec, rules, kind)).count();
    // Nine with the names that the authors use; the card's are a little longer.
    assert_eq!(lost(Rules::paper_code()), 12);
    assert_eq!((lost(Rules::paper()), lost(Rules::exact())), (0, 0));
}

#[test]
fn authors_code_chains_pairs_into_a_content_that_the_text_does_not_hold() {
    let codec = codec(&["City"]);
    let text = "in New York and York City";
    let answer = " City : New York City ;";
    for (rules, passes) in [(Rules::paper_code(), true), (Rules::paper(), true), (Rules::exact(), false)] {
        assert_eq!(accepts(&codec, text, rules, answer), passes, "{rules:?}");
        assert!(accepts(&codec, text, rules, " City : New York ;"));
    }
    assert!(!accepts(&codec, text, Rules::exact().at(Granularity::Text), answer));
}

#[test]
fn authors_code_begins_a_content_inside_a_word() {
    let codec = codec(&["City"]);
    let text = "in Yorkshire";
    assert!(behind(&codec, text, Rules::paper_code(), " City :").unwrap().contains(&"shire".to_owned()));
    assert_eq!(behind(&codec, text, Rules::exact(), " City :shire"), None);
    // The rule that repairs it is `word-boundary`.
    assert!(behind(&codec, text, Rules::exact(), " City : York").is_some_and(|next| next == ["shire"]));
    let cut = behind(&codec, text, Rules::exact().without(Rule::WordBoundary), " City : York").unwrap();
    assert!(cut.contains(&" ;".to_owned()), "{cut:?}");
}

#[test]
fn authors_code_leaves_order_overlap_repeats_and_length_open() {
    let codec = codec(&["City"]);
    let text = "in New York and York City";
    let answers = [
        (" City : York City ; City : New York ;", Rule::Ordered),
        (" City : New York ; City : in New York ;", Rule::NoOverlap),
        (" City : New York ; City : New York ;", Rule::NoRepeat),
        (" City : in New York and ;", Rule::MaxSpan),
        (" City : New York ; City : York ; City : York City ;", Rule::MaxEntities),
    ];
    for (answer, rule) in answers {
        assert!(accepts(&codec, text, Rules::paper_code(), answer), "{answer}");
        assert!(accepts(&codec, text, Rules::exact(), answer), "{answer}");
        let rules = match rule {
            Rule::MaxSpan => Rules::exact().with_max_span(3),
            Rule::MaxEntities => Rules::exact().with_max_entities(2),
            rule => Rules::exact().with(rule),
        };
        assert!(!accepts(&codec, text, rules, answer), "{rule:?}");
        assert!(accepts(&codec, text, rules, " City : New York ; City : York City ;"), "{rule:?}");
    }
}

#[test]
fn no_repeat_counts_what_the_text_holds() {
    let codec = codec(&["City", "Person"]);
    let rules = Rules::exact().with(Rule::NoRepeat);
    let text = "York and York";
    assert!(accepts(&codec, text, rules, " City : York ; City : York ; Person : York ;"));
    // A third one can't end there; it can still become another content.
    assert_eq!(behind(&codec, text, rules, " City : York ; City : York ; City : York").unwrap(), [" and"]);
    // A type with nothing left to say is not begun.
    assert_eq!(behind(&codec, "York", rules, " City : York ;").unwrap(), [" Person", ""]);
    assert_eq!(behind(&codec, "York", rules, " City : York ; Person : York ;").unwrap(), [""]);
}

#[test]
fn every_kind_of_bad_rules_is_named() {
    for (names, message) in [
        (vec!["exakt"], "unknown rule `exakt`; did you mean `exact`?"),
        (vec!["structure", "word-boundary"], "`word-boundary` needs `span`"),
        (vec!["exact", "max-span"], "`max-span` needs a limit"),
        (vec!["exact", "max-span=0"], "a number above 0"),
        (vec!["exact", "types=3"], "takes no limit"),
        (vec!["paper-code", "span"], "stands alone"),
    ] {
        let error = RuleSettings::new(&names).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let settings: RuleSettings = serde_json::from_str(r#"["exact", "no-overlap", "max-span=3"]"#).unwrap();
    assert_eq!(settings.rules(), Rules::exact().with(Rule::NoOverlap).with_max_span(3));
    assert_eq!(serde_json::to_string(&RuleSettings::default()).unwrap(), r#""exact""#);
    assert_eq!("paper".parse::<RuleSettings>().unwrap().rules(), Rules::paper());
    assert!(serde_json::from_str::<FormatSettings>(r#"{"tsc": ":"}"#).is_err());
}

#[test]
fn the_audit_books_each_removal_to_one_rule() {
    let codec = codec(&["City", "Person"]);
    let text = "in New York and York City";
    let rules = Rules::exact().with_max_entities(1);
    let vocabulary = codec.tokenizer().vocab_size();
    let tokens = ids(&codec, text);
    let mut walk = codec.audit(text, &tokens, &rules);
    let mut audit = MaskAudit::default();
    let automaton = codec.automaton_for(text, &tokens, &rules);
    let mut state = automaton.start();
    let mut scratch = Vec::new();
    let mut removed = 0.0;
    let uniform = vec![1.0 / vocabulary as f32; vocabulary];
    for token in ids(&codec, " City : New York ;") {
        walk.observe(&uniform, &mut audit);
        let allowed = automaton.allowed(&state, &mut scratch).count(vocabulary);
        removed += 1.0 - allowed as f64 / vocabulary as f64;
        walk.advance(token);
        automaton.advance(&mut state, token).unwrap();
    }
    walk.observe(&uniform, &mut audit);
    removed += 1.0 - 1.0 / vocabulary as f64;
    assert_eq!(audit.steps, 6);
    let total: f64 = audit.rules.iter().map(|r| r.mass_removed).sum();
    assert!((total - removed).abs() < 1e-5, "{total} {removed}");
    let row = |rule: Rule| audit.rules.iter().find(|r| r.rule == rule.name()).unwrap();
    // The free argmax, byte 0, is refused at once: by `types` where a type is due, by `copy` in a content.
    assert_eq!(row(Rule::Types).argmax_removed, 3);
    assert_eq!(row(Rule::Copy).argmax_removed, 3);
    assert_eq!(row(Rule::MaxEntities).fired, 1);
    let mut twice = audit.clone();
    twice.merge(&audit);
    assert_eq!((twice.steps, twice.rules[1].fired), (12, audit.rules[1].fired * 2));
}

/// A model whose scores depend on the whole answer so far, in no simple way.
fn score(answer: &[u32], token: u32) -> f32 {
    let mut hash = u64::from(token) + 1;
    for &t in answer {
        hash = (hash ^ u64::from(t)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
    }
    (hash.wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 40) as f32 / (1 << 22) as f32
}

/// Runs a search; the caller's side, which follows parents as a cache would.
fn search(codec: &Codec, text: &str, rules: Rules, search: Search) -> Vec<inerd_decoding::Hypothesis> {
    let automaton = codec.automaton(text, &rules);
    let mut beams: Vec<Vec<u32>> = vec![Vec::new()];
    let rows = search.run(&automaton, |asked| {
        let next: Vec<Vec<u32>> = asked.iter().map(|c| [beams[c.parent].as_slice(), &c.tokens].concat()).collect();
        let row = |(answer, c): (&Vec<u32>, &inerd_decoding::Continuation)| match &c.wanted {
            Some(tokens) => tokens.iter().map(|&t| score(answer, t)).collect(),
            None => (0..codec.tokenizer().vocab_size() as u32).map(|t| score(answer, t)).collect(),
        };
        let rows = next.iter().zip(asked).map(row).collect();
        beams = next;
        Ok::<Vec<Vec<f32>>, ()>(rows)
    });
    rows.unwrap()
}

/// All answers of at most `max` tokens, with their masked log-probability.
fn exhaustive(codec: &Codec, text: &str, rules: Rules, max: usize) -> Vec<(f64, Vec<u32>)> {
    let automaton = codec.automaton(text, &rules);
    let mut open = vec![(0.0, Vec::new(), automaton.start())];
    let mut done = Vec::new();
    while let Some((total, answer, state)) = open.pop() {
        let mut scratch = Vec::new();
        let Allowed::Only(tokens) = automaton.allowed(&state, &mut scratch) else { panic!("not a list") };
        let sum: f64 = tokens.iter().map(|&t| f64::from(score(&answer, t)).exp()).sum();
        for &token in tokens {
            let total = total + (f64::from(score(&answer, token)).exp() / sum).ln();
            let mut state = state.clone();
            automaton.advance(&mut state, token).unwrap();
            let answer = [answer.as_slice(), &[token]].concat();
            if automaton.is_final(&state) {
                done.push((total, answer));
            } else if answer.len() < max {
                open.push((total, answer, state));
            }
        }
    }
    done.sort_by(|a, b| b.0.total_cmp(&a.0));
    done
}

#[test]
fn a_wide_beam_finds_the_best_answers_of_an_exhaustive_search() {
    let codec = codec(&["City", "Cell Type", "Cell Line"]);
    let rules = Rules::exact().with_max_entities(2);
    let expected = exhaustive(&codec, "New York", rules, 30);
    assert!(expected.len() > 50);
    let found = search(&codec, "New York", rules, Search { beams: 500, n_best: 5, max_tokens: 30 });
    assert_eq!(found.len(), 5);
    for (hypothesis, (total, answer)) in found.iter().zip(&expected) {
        assert_eq!(&hypothesis.tokens, answer);
        assert!(hypothesis.finished && (hypothesis.log_probability - total).abs() < 1e-4);
        let product: f64 = hypothesis.probabilities.iter().map(|&p| f64::from(p).ln()).sum();
        assert!((product - total).abs() < 1e-4);
    }
}

#[test]
fn one_beam_is_greedy_and_the_limit_cuts_off() {
    let codec = codec(&["City", "Cell Type", "Cell Line"]);
    let text = "in New York and York City";
    let [greedy] = &search(&codec, text, Rules::exact(), Search { beams: 1, n_best: 1, max_tokens: 50 })[..] else {
        panic!()
    };
    let automaton = codec.automaton(text, &Rules::exact());
    let mut state = automaton.start();
    let mut scratch = Vec::new();
    for (at, &token) in greedy.tokens.iter().enumerate() {
        let Allowed::Only(tokens) = automaton.allowed(&state, &mut scratch) else { panic!() };
        let best = tokens
            .iter()
            .copied()
            .max_by(|&a, &b| score(&greedy.tokens[..at], a).total_cmp(&score(&greedy.tokens[..at], b)));
        assert_eq!(best, Some(token));
        automaton.advance(&mut state, token).unwrap();
    }
    let [cut] = &search(&codec, text, Rules::none(), Search { beams: 1, n_best: 1, max_tokens: 7 })[..] else {
        panic!()
    };
    assert!(cut.tokens.len() <= 7);
}

#[test]
fn n_best_confidence_is_the_share_of_probability() {
    let codec = codec(&["City", "Person"]);
    let text = "in New York and York City";
    let read = |answer: &str| codec.decode(text, &ids(&codec, answer), None).predictions;
    let answers = [
        (0.5_f64.ln(), read(" City : New York ;")),
        (0.25_f64.ln(), read(" City : New York ; Person : York City ;")),
        (0.25_f64.ln(), read(" Person : York City ;")),
    ];
    let confidences: Vec<(String, f64)> =
        n_best_confidence(&answers).into_iter().map(|p| (p.surface, p.confidence.unwrap())).collect();
    assert_eq!(confidences.len(), 2);
    assert_eq!(confidences[0].0, "New York");
    assert!((confidences[0].1 - 0.75).abs() < 1e-9 && (confidences[1].1 - 0.5).abs() < 1e-9);
}

#[test]
fn formats_as_they_look() {
    let text = "Ada (b. London)";
    let sentence = Sentence {
        text: text.to_owned(),
        entities: vec![Entity::new("PersonName", 0, 3), Entity::new("City", 8, 14)],
        ..Sentence::default()
    };
    let written = |format: FormatSettings| {
        let codec =
            Codec::new(Toy::new::<&str>(&[], &["<eos>", "<TCS>"], false), format, Schema::new(["PersonName", "City"]))
                .unwrap();
        let parsed = codec.decode(text, &codec.answer(&sentence), None);
        assert_eq!(parsed.predictions.len(), 2);
        parsed.output
    };
    let layout = |layout| FormatSettings { layout, ..FormatSettings::default() };
    assert_eq!(written(layout(Layout::Paper)), " PersonName : Ada ; City : London ;");
    assert_eq!(written(layout(Layout::ContentFirst)), " Ada : PersonName ; London : City ;");
    assert_eq!(
        written(layout(Layout::Json)),
        "{\"type\": \"PersonName\", \"text\": \"Ada\"}\n{\"type\": \"City\", \"text\": \"London\"}\n"
    );
    assert_eq!(written(layout(Layout::Inline)), " [ PersonName : Ada ] (b. [ City : London ])");
    let format = FormatSettings {
        tcs: "<TCS>".to_owned(),
        type_names: inerd_decoding::TypeNames::Normalised,
        entity_order: inerd_decoding::EntityOrder::Type,
        ..FormatSettings::default()
    };
    assert_eq!(written(format), " city<TCS> London ; person name<TCS> Ada ;");
}

#[test]
fn the_prompt_can_list_types_and_name_the_corpus() {
    let tokenizer: Arc<dyn Tokenizer> = Toy::new::<&str>(&[], &["<eos>", "<s>"], false);
    let format = FormatSettings {
        begin: "<s>".to_owned(),
        cue: "wnut".to_owned(),
        types_in_prompt: true,
        ..FormatSettings::default()
    };
    let codec = Codec::new(Arc::clone(&tokenizer), format, Schema::new(["A", "B"])).unwrap();
    let prompt = codec.prompt("Hi");
    assert_eq!(prompt[0], 257);
    assert_eq!(prompt[1..], tokenizer.encode("wnut\nA, B\nHi\n"));
    assert_eq!(prompt[codec.sentence_of(&prompt)], tokenizer.encode("Hi"));
}

#[test]
fn a_large_set_of_types_and_a_long_text_work() {
    let types: Vec<String> = (0..10_000).map(|i| format!("Type {i} of many")).collect();
    let codec = Codec::new(
        Toy::new(&[" Type", " of", " many"], &["<eos>"], false),
        FormatSettings::default(),
        Schema::new(types),
    )
    .unwrap();
    // Repetition is the hard case for sorting.
    let text = "New York and ".repeat(8_000);
    let automaton = codec.automaton(&text, &Rules::exact());
    let mut state = automaton.start();
    let mut scratch = Vec::new();
    for token in ids(&codec, " Type 9999 of many : York and New York ;") {
        assert!(automaton.allowed(&state, &mut scratch).contains(token));
        automaton.advance(&mut state, token).unwrap();
    }
}

#[test]
fn the_readme_holds_the_table_of_rules() {
    assert!(include_str!("../README.md").contains(&Rule::markdown()), "README.md should hold:\n{}", Rule::markdown());
}
