//! The real datasets, where they are at hand: counts as their catalogue has them, or the difference explained.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use inerd_corpus::{
    Card, Conll, Corpus, Counts, FileReport, Repair, Sameness, Separator, cards, conflicts, fingerprint, load, overlap,
    write_conll,
};
use inerd_text::Sentence;

/// The folder of real datasets, or `None` with a line that says so.
#[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "tests find the real data through the environment")]
fn datasets() -> Option<PathBuf> {
    let shared =
        std::env::var("INERD_SHARED").unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").into());
    let folder = PathBuf::from(shared).join("datasets");
    if !folder.is_dir() {
        eprintln!("skipped: no real datasets at hand");
        return None;
    }
    Some(folder)
}

/// A row of the catalogue's tables: sentences, tokens, entities, types, sentences without entity, longest.
type Row = [usize; 6];

/// Catalogue (part, split) → card and the beginning of the files' paths.
const ROWS: &[(&str, &str, &str, &str)] = &[
    ("gmb", "all", "gmb", ""),
    ("multiconer2", "en fine train90", "multiconer2-en", "en/en-train90"),
    ("multiconer2", "en fine train10", "multiconer2-en", "en/en-train10"),
    ("multiconer2", "en fine dev", "multiconer2-en", "en/en-dev"),
    ("multiconer2", "bn train", "multiconer2-bn", "bn/clean-bn-train90"),
    ("multiconer2", "bn dev", "multiconer2-bn", "bn/clean-bn-dev"),
    ("multiconer2", "hi clean train", "multiconer2-hi", "hi/clean-hi-train"),
    ("multiconer2", "hi dev", "multiconer2-hi", "hi/clean-hi-dev"),
    ("wnut17", "train", "wnut17", "wnut17train"),
    ("wnut17", "dev", "wnut17", "emerging.dev"),
    ("wnut17", "test", "wnut17", "emerging.test"),
    ("btc", "a", "btc", "data/BTC/CONLL-format/data/a"),
    ("btc", "b", "btc", "data/BTC/CONLL-format/data/b"),
    ("btc", "e", "btc", "data/BTC/CONLL-format/data/e"),
    ("btc", "f", "btc", "data/BTC/CONLL-format/data/f"),
    ("btc", "g", "btc", "data/BTC/CONLL-format/data/g"),
    ("btc", "h", "btc", "data/BTC/CONLL-format/data/h"),
    ("bc5cdr", "train", "bc5cdr", "data/BC5CDR-IOB/train"),
    ("bc5cdr", "devel", "bc5cdr", "data/BC5CDR-IOB/devel"),
    ("bc5cdr", "test", "bc5cdr", "data/BC5CDR-IOB/test"),
    ("ncbi-disease", "train", "ncbi-disease", "data/NCBI-disease-IOB/train"),
    ("ncbi-disease", "devel", "ncbi-disease", "data/NCBI-disease-IOB/devel"),
    ("ncbi-disease", "test", "ncbi-disease", "data/NCBI-disease-IOB/test"),
    ("bionlp13cg", "train", "bionlp13cg", "data/BioNLP13CG-IOB/train"),
    ("bionlp13cg", "devel", "bionlp13cg", "data/BioNLP13CG-IOB/devel"),
    ("bionlp13cg", "test", "bionlp13cg", "data/BioNLP13CG-IOB/test"),
    ("snips", "train_full", "snips", "*/train_"),
    ("snips", "validate", "snips", "*/validate_"),
    ("restaurant8k", "train_0 (full)", "restaurant8k", "span_extraction/restaurant8k/train_0"),
    ("restaurant8k", "test", "restaurant8k", "span_extraction/restaurant8k/test"),
    ("fin", "train(FIN5)", "fin", "data/SEC-filings/CONLL-format/data/train"),
    ("fin", "test(FIN3)", "fin", "data/SEC-filings/CONLL-format/data/test"),
    ("kpi_edgar", "train", "kpi-edgar", "derived/train"),
    ("kpi_edgar", "valid", "kpi-edgar", "derived/valid"),
    ("kpi_edgar", "test", "kpi-edgar", "derived/test"),
    ("stackoverflow", "train", "stackoverflow", "resources/annotated_ner_data/StackOverflow/train"),
    ("stackoverflow", "dev", "stackoverflow", "resources/annotated_ner_data/StackOverflow/dev"),
    ("stackoverflow", "test", "stackoverflow", "resources/annotated_ner_data/StackOverflow/test"),
    ("crossner_politics", "train", "crossner-politics", "politics/train"),
    ("crossner_politics", "dev", "crossner-politics", "politics/dev"),
    ("crossner_politics", "test", "crossner-politics", "politics/test"),
    ("crossner_science", "train", "crossner-science", "science/train"),
    ("crossner_science", "dev", "crossner-science", "science/dev"),
    ("crossner_science", "test", "crossner-science", "science/test"),
    ("hands_1k-WFB-g", "dev", "hands-wfb", "datasets/1k-WFB-g/fner_dev"),
    ("hands_1k-WFB-g", "test", "hands-wfb", "datasets/1k-WFB-g/fner_test"),
    ("hands_figer_gold", "all", "figer-gold", "datasets/figer_gold"),
    ("sgd domain.slot", "train", "sgd", "train"),
    ("sgd domain.slot", "dev", "sgd", "dev"),
    ("sgd domain.slot", "test", "sgd", "test"),
];

/// Rows of the catalogue whose files are not in the folder.
const ABSENT: &[&str] = &[
    "multiconer2/hi train",
    "multiconer2/fa dev",
    "multiconer2/fa train10",
    "polyai_dstc8",
    "stackoverflow/github",
    "crossner_ai",
    "crossner_literature",
    "crossner_music",
];

/// Counts that differ, with the reason.
const EXPLAINED: &[(&str, Row, &str)] = &[
    ("multiconer2/bn train", [8427, 112_501, 11305, 33, 0, 39], "the file at hand is nine tenths of what was counted"),
    ("multiconer2/hi dev", [484, 8149, 608, 33, 0, 38], "the file at hand is the cleaned subset of what was counted"),
    ("snips/train_full", [13784, 131_456, 35748, 39, 0, 39], TOKENS_OF_CHUNKS),
    ("snips/validate", [700, 6886, 1794, 39, 0, 26], TOKENS_OF_CHUNKS),
];

/// Decoding the training file of `PlayMusic` as Latin-1 garbles its accents, which adds tokens, too.
const TOKENS_OF_CHUNKS: &str = "the catalogue counts the tokens of each chunk; here they are those of the whole text";

fn catalogue(text: &str) -> BTreeMap<(String, String), Row> {
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|l| l.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let numbers: Vec<usize> = cells.iter().skip(2).filter_map(|c| c.parse().ok()).collect();
        if let (Ok(row), [part, split, ..]) = (Row::try_from(numbers), &*cells) {
            rows.insert(((*part).to_owned(), (*split).to_owned()), row);
        }
    }
    rows
}

fn row(found: &Counts) -> Row {
    [found.sentences, found.tokens, found.entities, found.types.len(), found.label_free, found.longest]
}

fn add(all: &mut Counts, more: &Counts) {
    all.sentences += more.sentences;
    all.tokens += more.tokens;
    all.entities += more.entities;
    all.label_free += more.label_free;
    all.longest = all.longest.max(more.longest);
    for (kind, count) in &more.types {
        *all.types.entry(kind.clone()).or_default() += count;
    }
}

/// Every row of the catalogue is met exactly, is explained, or its files are absent; every mention's span is valid.
#[test]
fn counts_are_those_of_the_catalogue() {
    let Some(folder) = datasets() else { return };
    let text = std::fs::read_to_string(folder.join("CATALOG.md")).unwrap();
    let mut rows = catalogue(&text);
    let mut corpora: BTreeMap<&str, Corpus> = BTreeMap::new();
    let mut failures = Vec::new();
    let mut page = PAGE.to_owned();
    for &(part, split, name, start) in ROWS {
        let corpus = corpora.entry(name).or_insert_with(|| {
            let corpus = load(&Card::find(name, None).unwrap(), Some(&folder)).unwrap();
            corpus.splits().iter().flat_map(|s| s.1).for_each(|s| s.validate().unwrap());
            corpus
        });
        let matches = |path: &str| match start.strip_prefix('*') {
            Some(inside) => path.contains(inside),
            None => path.starts_with(start),
        };
        let mut found = Counts::default();
        corpus.report.files.iter().filter(|f| matches(&f.path)).for_each(|f| add(&mut found, &f.found));
        let expected = rows.remove(&(part.to_owned(), split.to_owned())).unwrap();
        let key = format!("{part}/{split}");
        let explained = EXPLAINED.iter().find(|e| e.0 == key);
        if row(&found) != explained.map_or(expected, |e| e.1) {
            failures.push(format!("{key}: catalogue {expected:?}, found {:?}", row(&found)));
        }
        let verdict = explained.map_or_else(|| "equal".to_owned(), |e| format!("{expected:?}: {}", e.2));
        let cells: Vec<String> = row(&found).iter().map(usize::to_string).collect();
        writeln!(page, "| {part} | {split} | `{name}` | {} | {verdict} |", cells.join(" | ")).unwrap();
    }
    // The coarse English rows are the fine files with other names.
    for (split, file) in [("en coarse train90", 0), ("en coarse dev", 2)] {
        let coarse = load(&Card::find("multiconer2-en-coarse", None).unwrap(), Some(&folder)).unwrap();
        let sentences = if file == 0 { &coarse.train } else { &coarse.test };
        let expected = rows.remove(&("multiconer2".to_owned(), split.to_owned())).unwrap();
        let found = row(&Counts::of(sentences));
        if found != expected {
            failures.push(format!("{split}: catalogue {expected:?}, found {found:?}"));
        }
        let cells: Vec<String> = found.iter().map(usize::to_string).collect();
        writeln!(page, "| multiconer2 | {split} | `multiconer2-en-coarse` | {} | equal |", cells.join(" | ")).unwrap();
    }
    page += "\n## Rows of the catalogue whose files are not in the folder\n\n";
    for (part, split) in rows.keys() {
        writeln!(page, "- {part}, {split}").unwrap();
    }
    rows.retain(|(part, split), _| !ABSENT.iter().any(|a| format!("{part}/{split}").starts_with(a)));
    assert!(rows.is_empty(), "rows of the catalogue that no card answers: {rows:?}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));

    let mut types = String::new();
    // Types and their counts, where the catalogue's list covers the files at hand.
    for (section, names) in [
        ("gmb", &["gmb"][..]),
        ("wnut17", &["wnut17"]),
        ("btc", &["btc"]),
        ("bc5cdr", &["bc5cdr"]),
        ("ncbi-disease", &["ncbi-disease"]),
        ("bionlp13cg", &["bionlp13cg"]),
        ("snips", &["snips"]),
        ("fin", &["fin"]),
        ("kpi_edgar", &["kpi-edgar"]),
        ("hands_fner", &["hands-wfb", "figer-gold"]),
        ("sgd", &["sgd"]),
    ] {
        let mut found = Counts::default();
        names.iter().flat_map(|n| &corpora[n].report.files).for_each(|f| add(&mut found, &f.found));
        assert_eq!(found.types, listed_types(&text, section), "{section}");
        let sections = format!("- `{section}`: {} types\n", found.types.len());
        types += &sections;
    }
    page += &format!("\n## Mentions per type\n\nEqual to the catalogue's list, type by type:\n\n{types}");
    committed("docs/datasets.md", &page);
    // What a card names is what the data hold: no type got its name by rule.
    for (name, corpus) in &corpora {
        assert!(corpus.report.unnamed_types.is_empty(), "{name}: {:?}", corpus.report.unnamed_types);
    }
}

const PAGE: &str = "\
# The real datasets, counted\n
What the readers find in the files of the shared data folder, against that folder's own catalogue (`CATALOG.md`, counted
by other programs). A test reads everything, compares, and writes this page; `inerd data check` shows the same counts.
What stands in whose training data, and what is doubtful, is in [reports/datasets](../reports/datasets/check.md), with
GPT-2's tokenizer: `inerd data check NAMES --tokenizer tokenizer.json --context 1024 --report reports/datasets`.\n
Numbers are those of the files as they are: a card may drop boilerplate and artefacts afterwards. Where a number differs,
the last column gives the catalogue's numbers and the reason.\n
| part | split | card | sentences | tokens | mentions | types | label-free | longest | catalogue |
|---|---|---|---|---|---|---|---|---|---|
";

/// A page of the repository that a test writes. Where it differs the test fails; `INSTA_UPDATE=always` writes it anew.
#[expect(clippy::disallowed_methods, reason = "as for snapshots, the environment says what to do with a difference")]
fn committed(path: &str, contents: &str) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path);
    if std::fs::read_to_string(&path).is_ok_and(|there| there == contents) {
        return;
    }
    let update = std::env::var("INSTA_UPDATE").is_ok_and(|u| u == "always");
    assert!(update, "{} is not what the data give; INSTA_UPDATE=always writes it anew", path.display());
    std::fs::write(path, contents).unwrap();
}

/// The list `types (n): a 12, b 3` of the section that describes a folder.
fn listed_types(catalogue: &str, folder: &str) -> BTreeMap<String, usize> {
    let section = catalogue.split("\n## ").find(|s| s.contains(&format!("folder: `{folder}/`"))).unwrap();
    let line = section.lines().find(|l| l.starts_with("types (")).unwrap();
    let list = line.split_once("): ").unwrap().1;
    let pair = |item: &str| item.rsplit_once(' ').map(|(kind, count)| (kind.to_owned(), count.parse().unwrap()));
    list.split(", ").filter_map(pair).collect()
}

fn corpus(folder: &Path, name: &str) -> Corpus {
    load(&Card::find(name, None).unwrap(), Some(folder)).unwrap()
}

fn repaired(corpus: &Corpus, repair: Repair) -> usize {
    corpus.report.files.iter().filter_map(|f| f.repairs.get(&repair)).sum()
}

/// Positions in `left` that stand verbatim in `right`.
fn verbatim<'a>(left: impl IntoIterator<Item = &'a Sentence>, right: impl IntoIterator<Item = &'a Sentence>) -> usize {
    let (left, right): (Vec<_>, Vec<_>) = (left.into_iter().collect(), right.into_iter().collect());
    overlap(&left, &right, Sameness::Verbatim).len()
}

/// The oddities that the catalogue lists, one by one.
#[test]
fn oddities_are_met_as_the_catalogue_tells_them() {
    let Some(folder) = datasets() else { return };
    let folder = folder.as_path();

    // GMB: a byte that is an ellipsis in cp1252 and white space in Latin-1; no splits; the last sentence is cut.
    let gmb = corpus(folder, "gmb");
    let all = || gmb.train.iter().chain(&gmb.valid).chain(&gmb.test);
    assert_eq!(all().map(|s| s.text.matches('…').count()).sum::<usize>(), 4);
    assert_eq!((gmb.train.len(), gmb.valid.len(), gmb.test.len()), (38367, 4796, 4796));
    assert!(gmb.report.derived_splits[0].starts_with("47959 sentences divided"));
    assert_eq!(all().filter(|s| s.tokens.iter().any(|t| t.of(&s.text).unwrap().contains('\u{a0}'))).count(), 1);

    // MultiCoNER: every sentence has an entity; 11 development sentences stand in the training set.
    let multiconer = corpus(folder, "multiconer2-en");
    assert_eq!(verbatim(&multiconer.test, multiconer.train.iter().chain(&multiconer.valid)), 11);
    assert!(multiconer.schema.contains("Medication Or Vaccine"));

    // WNUT-17: separator lines that hold a tab glue nothing; no test sentence stands in the training set.
    let wnut = corpus(folder, "wnut17");
    assert_eq!((wnut.train.len(), verbatim(&wnut.test, &wnut.train)), (3394, 0));

    // BTC: blank tokens, and tokens with spaces: of the catalogue's 141 four hold one inside, 135 at an edge, which is
    // trimmed, and two are blank tokens of one space.
    let btc = corpus(folder, "btc");
    let spaced =
        |s: &Sentence| s.tokens.iter().filter(|t| t.of(&s.text).unwrap().contains(char::is_whitespace)).count();
    let all = btc.train.iter().chain(&btc.valid).chain(&btc.test);
    let (blank, trimmed) = (repaired(&btc, Repair::BlankToken), repaired(&btc, Repair::TrimmedToken));
    assert_eq!((blank, trimmed, all.map(spaced).sum::<usize>()), (6, 135, 4));

    // BC5CDR and NCBI: test sentences in training sets, their own and each other's.
    let (bc5cdr, ncbi) = (corpus(folder, "bc5cdr"), corpus(folder, "ncbi-disease"));
    assert_eq!(verbatim(&bc5cdr.test, &bc5cdr.train), 16);
    let shared: BTreeSet<&str> = bc5cdr.test.iter().map(|s| s.text.as_str()).collect();
    let shared: BTreeSet<&str> = ncbi.train.iter().map(|s| s.text.as_str()).filter(|t| shared.contains(t)).collect();
    assert_eq!(shared.len(), 3);
    // One name, two guidelines: most places that BC5CDR reads as a disease NCBI reads so, too, and not all.
    let clashes = conflicts(&[bc5cdr, ncbi]);
    let disease = clashes.iter().find(|c| c.kind == "Disease" && c.annotated == "bc5cdr").unwrap();
    assert!(disease.same_name && disease.agreed > disease.missing && disease.missing > 0, "{disease:?}");

    // FIN: IOB1, document marks, 11 test sentences in the training set.
    let fin = corpus(folder, "fin");
    assert!(fin.report.files.iter().all(|f| f.scheme.as_deref() == Some("IOB1") && f.repairs.is_empty()));
    let train: Vec<_> = fin.train.iter().chain(&fin.valid).collect();
    assert_eq!(verbatim(&fin.test, train), 11);

    // KPI-EDGAR: an artefact of annotation is dropped and counted.
    let kpi = corpus(folder, "kpi-edgar");
    assert_eq!(kpi.report.dropped_entities, [("delete".to_owned(), 36)].into());

    // StackOverflow: 11 tags continue nothing (7 in the training file, 3 and 1 in the others, counted by a script of
    // a dozen lines; the catalogue says 16); boilerplate goes.
    let so = corpus(folder, "stackoverflow");
    assert_eq!(repaired(&so, Repair::OrphanTag), 11);
    let all = || so.train.iter().chain(&so.valid).chain(&so.test);
    assert!(so.report.dropped_sentences > 5000, "{}", so.report.dropped_sentences);
    assert!(all().all(|s| !s.text.starts_with("Question_ID :") && !s.text.starts_with("Question_URL :")));

    // HAnDS: 135 mentions of the two files have several leaves.
    assert_eq!(repaired(&corpus(folder, "hands-wfb"), Repair::SeveralLabels), 135);

    // Restaurant-8k: a start of 0 is left out; test utterances stand in the training set.
    let restaurant = corpus(folder, "restaurant8k");
    let at_zero = |s: &&Sentence| s.entities.first().is_some_and(|e| e.span.start == 0);
    let train: Vec<_> = restaurant.train.iter().chain(&restaurant.valid).collect();
    assert!(train.iter().filter(|s| at_zero(s)).count() > 1200);
    // The catalogue's 170 don't tell upper from lower case; 140 are the same to the letter.
    let test: Vec<_> = restaurant.test.iter().collect();
    assert!(overlap(&test, &train, Sameness::Words).len() >= 170);
    assert_eq!(verbatim(&restaurant.test, train), 140);

    // SNIPS: accents of the file that is not UTF-8 are whole.
    let snips = corpus(folder, "snips");
    assert!(snips.train.iter().chain(&snips.valid).all(|s| !s.text.contains("Ã©") && !s.text.contains("Ãº")));
    assert!(snips.train.iter().chain(&snips.valid).any(|s| s.text.contains('\u{1f355}')));
}

/// JSON lines give every dataset back; columns every one that has tokens and no overlapping mentions.
#[test]
fn every_dataset_survives_writing_and_reading() {
    let Some(folder) = datasets() else { return };
    for card in cards().iter().filter(|c| !c.is_synthetic()) {
        // A dataset that is not at hand says how to get it.
        let corpus = match load(card, Some(&folder)) {
            Ok(corpus) => corpus,
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains("--data-dir or INERD_DATA"), "{error}");
                continue;
            }
        };
        assert_eq!(fingerprint(card, Some(&folder)).unwrap().len(), 32);
        // The largest set is written in part: the test is about kinds of text, not about their number.
        let all: Vec<Sentence> = corpus.splits().into_iter().flat_map(|(_, s)| s.iter().take(4000)).cloned().collect();
        let mut written = Vec::new();
        inerd_text::write_json_lines(&mut written, &all).unwrap();
        assert_eq!(inerd_text::read_json_lines::<Sentence>(written.as_slice()).unwrap(), all, "{}", card.name);

        let mut written = Vec::new();
        let lost = write_conll(&mut written, &all).unwrap();
        if lost > 0 || all.iter().any(|s| s.tokens.is_empty()) {
            continue;
        }
        let mut report = FileReport::default();
        let columns = Conll { separator: Separator::Tab, document: String::new(), ..Conll::default() };
        let back = columns.read(Path::new("written"), &String::from_utf8(written).unwrap(), &mut report).unwrap();
        for (back, sentence) in back.iter().zip(&all) {
            assert_eq!((&back.text, &back.entities), (&sentence.text, &sentence.entities), "{}", sentence.id);
        }
        assert_eq!(back.len(), all.len());
    }
}
