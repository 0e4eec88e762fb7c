//! The shipped synthetic corpora: the same everywhere, valid, learnable in principle and not solvable by a list of names.

use std::collections::BTreeSet;

use inerd_corpus::synth::{Synthesis, generate};
use inerd_corpus::{Card, CheckOptions, Corpus, Counts, Gazetteer, Sameness, Stats, cards, check, fingerprint, load};
use inerd_text::Sentence;

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
        assert!(score.f1 < 0.7, "{}: {score:?}", corpus.name);
        // Hardly a mention of an encyclopedia recurs; elsewhere a list must find something, else nothing is learnable.
        assert!(score.f1 > 0.1 || corpus.name.starts_with("synth-wiki"), "{}: {score:?}", corpus.name);
    }
}

fn recipe(grammar: &str, change: impl FnOnce(&mut Synthesis)) -> Corpus {
    let mut recipe =
        Synthesis { grammar: grammar.to_owned(), train: 300, valid: 50, test: 300, ..Synthesis::default() };
    change(&mut recipe);
    generate("knobs", &recipe).unwrap()
}

#[test]
fn eight_domains_are_shipped() {
    let grammars: BTreeSet<String> =
        cards().iter().filter_map(|c| Some(c.synthesis.as_ref()?.grammar.clone())).collect();
    let expected = ["biomed", "dialogue", "finance", "legal", "news", "social", "software", "wiki"];
    assert_eq!(grammars.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn the_hierarchy_is_cut_at_any_number_of_types() {
    for count in [2, 6, 7, 20, 50, 100, 199, 200] {
        let corpus = recipe("wiki", |r| (r.types, r.train) = (Some(count), 1500));
        assert_eq!(corpus.schema.len(), count);
        let used = Counts::of(&corpus.train).types.len();
        assert!(used * 10 >= count * 9, "{used} of {count} types stand in the training set");
    }
}

#[test]
fn what_a_grammar_cannot_give_is_refused() {
    for (grammar, types) in [("news", 50), ("wiki", 0), ("wiki", 5000)] {
        let recipe = Synthesis { grammar: grammar.to_owned(), types: Some(types), train: 1, ..Synthesis::default() };
        let error = generate("x", &recipe).map(|corpus| corpus.name).unwrap_err().to_string();
        assert!(error.contains(&format!("with {types} types: the grammar `{grammar}` has 1 to ")), "{error}");
    }
    // Every domain can be cut down to two types.
    for grammar in ["biomed", "dialogue", "finance", "legal", "news", "social", "software", "wiki"] {
        assert_eq!(recipe(grammar, |r| r.types = Some(2)).schema.len(), 2, "{grammar}");
    }
}

#[test]
fn hard_edges_make_longer_mentions() {
    for grammar in ["biomed", "dialogue", "finance", "legal", "news", "social", "software", "wiki"] {
        let words = |boundary| {
            let corpus = recipe(grammar, |r| r.boundary = boundary);
            let surfaces = corpus.train.iter().flat_map(|s| s.entities.iter().map(|e| s.surface(e)));
            let (count, words) = surfaces.fold((0, 0), |(n, w), s| (n + 1, w + s.split(' ').count()));
            words as f64 / f64::from(count)
        };
        assert!(words(1.0) > words(0.0) + 0.2, "{grammar}: {} {}", words(1.0), words(0.0));
    }
}

#[test]
fn every_knob_turns() {
    let overlapping = |corpus: &Corpus| {
        let nested = |s: &&Sentence| s.entities.windows(2).any(|w| w[0].span.overlaps(w[1].span));
        corpus.train.iter().filter(nested).count()
    };
    assert_eq!(overlapping(&recipe("news", |r| (r.nesting, r.boundary) = (0.0, 0.5))), 0);
    assert!(overlapping(&recipe("news", |r| (r.nesting, r.boundary) = (1.0, 0.5))) > 20);

    // Two of the five types stand in the test set only.
    let unseen = recipe("news", |r| r.unseen_types = 0.4);
    let trained = Counts::of(&unseen.train).types.len();
    assert!((1..=3).contains(&trained), "{trained}");
    assert_eq!(Counts::of(&unseen.test).types.len(), 5);

    let seen = |unseen| Stats::of(&recipe("social", |r| r.unseen = unseen)).seen_mentions;
    assert!(seen(0.0) > seen(0.9) + 0.05, "{} {}", seen(0.0), seen(0.9));

    let ambiguous = |ambiguity| {
        let corpus = recipe("news", |r| r.ambiguity = ambiguity);
        let options = CheckOptions { writing: None, context: None, sameness: Sameness::Words };
        check(&corpus, &options).ambiguous_surfaces.count
    };
    assert!(ambiguous(0.5) > ambiguous(0.0));

    let share = |corpus: &Corpus| Counts::of(&corpus.train).label_free;
    assert_eq!(share(&recipe("legal", |r| (r.label_free, r.length) = (0.0, 1.0))), 0);
    assert_eq!(share(&recipe("legal", |r| (r.label_free, r.length) = (1.0, 1.0))), 300);

    let tokens = |length| Counts::of(&recipe("finance", |r| r.length = length).train).tokens;
    assert!(tokens(3.0) > 2 * tokens(1.0));

    let german = |corpus: &Corpus| {
        corpus.train.iter().filter(|s| s.text.contains(" die ") || s.text.starts_with("die ")).count()
    };
    assert_eq!(german(&recipe("news", |r| r.second_language = 0.0)), 0);
    assert!(german(&recipe("news", |r| r.second_language = 1.0)) > 30);

    let vocabulary = |noise| {
        let corpus = recipe("software", |r| r.noise = noise);
        corpus.train.iter().flat_map(|s| s.text.split(' ')).map(str::to_owned).collect::<BTreeSet<_>>().len()
    };
    assert!(vocabulary(0.2) > vocabulary(0.0) + 100);
}

/// A corpus is part of experiments' identities: other sentences need another generator version.
#[test]
fn the_generator_writes_what_it_wrote() {
    let news = load(&Card::find("synth-news", None).unwrap(), None).unwrap();
    let texts: Vec<&str> = news.train.iter().take(3).map(|s| s.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "Velberg Bank and Rasko Holding rejected a deal in Elmfield .",
            "nobody was hurt , doctors said and the vote was moved to Saturday .",
            "Pelini called the Stanton Bill a success for South Kirkstad .",
        ]
    );
}
