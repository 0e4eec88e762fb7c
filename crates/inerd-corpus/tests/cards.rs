//! The shipped cards: every set that was promised, and nothing left unsaid.

use std::fs;

use inerd_corpus::{Card, Corpus, Split, cards, fetch, load};

/// The sets of the paper, `CrossNER`'s domains, the MIT sets, and those that experiments read.
const PROMISED: &[&str] = &[
    "conll2003",
    "conllpp",
    "ontonotes5",
    "few-nerd",
    "wnut17",
    "jnlpba",
    "ncbi-disease",
    "finer-ord",
    "bc5cdr",
    "crossner-ai",
    "crossner-literature",
    "crossner-music",
    "crossner-politics",
    "crossner-science",
    "mit-movie",
    "mit-movie-trivia",
    "mit-restaurant",
    "gmb",
    "multiconer2-en",
    "multiconer2-bn",
    "multiconer2-hi",
    "btc",
    "bionlp13cg",
    "snips",
    "restaurant8k",
    "fin",
    "kpi-edgar",
    "stackoverflow",
    "hands-wfb",
    "figer-gold",
    "sgd",
];

#[test]
fn every_promised_card_says_everything() {
    for name in PROMISED {
        Card::find(name, None).unwrap_or_else(|e| panic!("{e}"));
    }
    for card in cards().iter().filter(|c| !c.is_synthetic()) {
        let Card { name, .. } = card;
        let told = [
            &card.title,
            &card.description,
            &card.domain,
            &card.licence,
            &card.licence_source,
            &card.homepage,
            &card.citation,
        ];
        assert!(told.iter().all(|field| !field.is_empty()), "{name} leaves a field empty");
        assert!(!card.language.is_empty() && !card.types.is_empty() && card.reader.is_some(), "{name}");
        for file in &card.files {
            // An address, or the way by hand; a checksum, or the word that there is none.
            assert!(!card.manual.is_empty() || card.url(file).starts_with("https://"), "{name}: {}", file.path);
            assert!(!file.sha256.is_empty() || card.notes.to_lowercase().contains("checksum"), "{name}: {}", file.path);
        }
        let held_out = |f: &inerd_corpus::DataFile| matches!(f.split, Split::Test | Split::All);
        assert!(card.files.iter().any(held_out), "{name} has nothing to test on");
        for words in card.types.values() {
            let written = words.chars().next().is_some_and(|c| c.is_uppercase() || c.is_numeric());
            assert!(written && words.trim() == words && !words.contains([':', ';']), "{name}: `{words}`");
        }
    }
}

#[test]
fn a_licence_that_forbids_a_download_is_said_with_the_way_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["conll2003", "conllpp", "ontonotes5"] {
        let card = Card::find(name, None).unwrap();
        let error = fetch(&card, folder.path(), &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("can't be downloaded automatically") && error.contains("https://"), "{error}");
    }
    // What was put there by hand is verified.
    let conll = folder.path().join("conll2003");
    fs::create_dir_all(&conll).unwrap();
    for file in ["eng.train", "eng.testa", "eng.testb"] {
        fs::write(conll.join(file), "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\n").unwrap();
    }
    let fetched = fetch(&Card::find("conll2003", None).unwrap(), folder.path(), &mut |_| {}).unwrap();
    assert!(fetched.iter().all(|f| f.present && !f.verified && f.sha256.len() == 64));
}

/// The first sentence of a card's layout, as its source writes it.
fn read(name: &str, contents: &str) -> Corpus {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::find(name, None).unwrap();
    for file in &card.files {
        let path = folder.path().join(card.folder()).join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    load(&card, Some(folder.path())).unwrap()
}

/// The layouts of the sets that are not at hand, sentences of our own in them.
#[test]
fn cards_read_the_layout_of_their_source() {
    let mentions = |name: &str, contents: &str| {
        let corpus = read(name, contents);
        assert!(corpus.report.unnamed_types.is_empty(), "{name}: {:?}", corpus.report.unnamed_types);
        let sentence = corpus.test.first().unwrap().clone();
        sentence.entities.iter().map(|e| format!("{}: {}", e.kind, sentence.surface(e))).collect::<Vec<_>>()
    };
    let few_nerd = "Ada\tperson-artist/author\nDam\tperson-artist/author\nmet\tO\nBonn\tlocation-GPE\nFC\t\
                    organization-sportsteam\n\n";
    let expected = ["Artist Or Author: Ada Dam", "Geopolitical Entity: Bonn", "Sports Team: FC"];
    let found = mentions("few-nerd", few_nerd);
    assert_eq!(found.len(), 3);
    assert!(found.iter().zip(expected).all(|(f, e)| f.ends_with(e.split_once(": ").unwrap().1)), "{found:?}");
    assert_eq!(mentions("few-nerd-coarse", few_nerd), ["Person: Ada Dam", "Location: Bonn", "Organization: FC"]);
    let conll = "-DOCSTART- -X- O O\n\nAda NNP I-NP I-PER\nof IN I-PP O\nBonn NNP I-NP I-LOC\nBonn NNP B-NP B-LOC\n\n";
    assert_eq!(mentions("conll2003", conll), ["Person: Ada", "Location: Bonn", "Location: Bonn"]);
    let twice = conll.replace("I-PER", "B-PER").replace("I-LOC", "B-LOC");
    assert_eq!(mentions("conllpp", &twice), ["Person: Ada", "Location: Bonn", "Location: Bonn"]);
    assert_eq!(mentions("ontonotes5", "Ada B-PERSON\nran O\n"), ["Person: Ada"]);
    assert_eq!(mentions("jnlpba", "IL-2\tB-DNA\ngene\tI-DNA\nin\tO\n\n"), ["DNA: IL-2 gene"]);
    let finer = "gold_label,gold_token,doc_idx,sent_idx\n5,Acme,0,0\n6,Inc,0,0\n0,rose,0,0\n1,Ada,0,1\n";
    assert_eq!(mentions("finer-ord", finer), ["Organization: Acme Inc"]);
    assert_eq!(mentions("mit-movie", "O\tfilms\nB-ACTOR\tada\nI-ACTOR\tdam\n\n"), ["Actor: ada dam"]);
    assert_eq!(mentions("mit-restaurant", "O\tcheap\nB-Dish\tsoup\n"), ["Dish: soup"]);
    assert_eq!(mentions("mit-movie-trivia", "B-Actor\tada\nO\tin\n"), ["Actor: ada"]);
    for domain in ["ai", "literature", "music", "politics", "science"] {
        let found = mentions(&format!("crossner-{domain}"), "Ada\tB-person\nsang\tO\n\n");
        assert_eq!(found, ["Person: Ada"]);
    }
}
