//! Read, write, read: for every format, through the files that `inerd data convert` writes and the card that
//! `inerd data add` drafts for them.

use std::fs;
use std::path::Path;

use inerd_corpus::{Card, Corpus, Format, convert, draft, load};
use inerd_text::Sentence;

/// Name, options of the reader, file name, contents. Every sentence holds what is not ASCII.
const FORMATS: &[(&str, &str, &str, &str)] = &[
    ("iob2", "conll", "a.conll", "Zoë\tB-per\nvan\tI-per\nmet\tO\nBö\tB-per\nLu\tB-per\n\t\nin\tO\nKraków\tB-loc\n"),
    ("iob1", "conll", "a.txt", "-DOCSTART- O\n\nZoë I-per\nBö B-per\nin O\nKraków I-loc\n"),
    ("iobes", "conll", "a.txt", "Zoë\tB-per\nBö\tE-per\nin\tO\nKraków\tS-loc\r\n\r\nß\tO\r\n"),
    ("bilou", "conll", "a.txt", "Zoë U-per\nBö B-per\nLu L-per\n"),
    ("io", "conll", "train.txt", "Zoë\tper-a/b\nBö\tper-a/b\nin\tO\nKraków\tloc\n\nä\tO\n"),
    (
        "jsonl",
        "jsonl",
        "a.jsonl",
        "{\"text\": \"Zoë 🦀 Kraków!\", \"entities\": [{\"type\": \"loc\", \"start\": 6, \"end\": 12}, [0, 3, \"per\"], [0, 5, \"per\"]]}\n",
    ),
    (
        "tokens",
        "jsonl",
        "a.jsonl",
        "{\"tokens\": [\"Zoë\", \"in\", \"Kraków\"], \"entities\": [[0, 1, \"per\"], [2, 3, \"loc\"]]}\n",
    ),
    (
        "tags",
        "jsonl]\ntags = \"ner_tags\"\n[splits",
        "a.jsonl",
        "{\"tokens\": [\"Zoë\", \"ä\"], \"ner_tags\": [\"B-per\", \"I-per\"]}\n",
    ),
    (
        "hands",
        "jsonl]\nentities = \"mentions\"\ntype = \"labels\"\n[splits",
        "a.json",
        "{\"tokens\": [\"Zoë\", \"UW\"], \"mentions\": [{\"start\": 0, \"end\": 2, \"labels\": [\"/org\", \"/org/school\"]}, {\"start\": 1, \"end\": 2, \"labels\": [\"/org\"]}]}\n",
    ),
    ("brat", "brat", "a.txt", "Zoë of the Universität Bonn\n\nKraków, too\n"),
    (
        "gmb",
        "csv",
        "a.csv",
        "Sentence #,Word,POS,Tag\r\nSentence: 1,Zoë,NNP,B-per\r\n,\"\"\"\",``,O\r\nSentence: 2,Kraków,NNP,B-geo\r\n",
    ),
    (
        "snips",
        "snips",
        "a.json",
        "{\"Play\": [{\"data\": [{\"text\": \"spiel \"}, {\"text\": \"Zoë \", \"entity\": \"artist\"}, {\"text\": \"übermorgen\", \"entity\": \"time\"}]}]}",
    ),
    (
        "polyai",
        "polyai",
        "a.json",
        "[{\"userInput\": {\"text\": \"13 für Zoë\"}, \"labels\": [{\"slot\": \"people\", \"valueSpan\": {\"endIndex\": 2}}, {\"slot\": \"name\", \"valueSpan\": {\"startIndex\": 7, \"endIndex\": 10}}]}]",
    ),
    (
        "sgd",
        "sgd",
        "a.jsonl",
        "{\"text\": \"Zoë at 7\", \"slots\": [[7, 8, \"Cars_2\", \"time\"], [0, 3, \"Cars_1\", \"who\"]]}\n",
    ),
    (
        "dialogues",
        "sgd",
        "a.json",
        "[{\"turns\": [{\"utterance\": \"Zoë at 7\", \"frames\": [{\"service\": \"Cars_2\", \"slots\": [{\"slot\": \"who\", \"start\": 0, \"exclusive_end\": 3}]}]}]}]",
    ),
];

const ANNOTATIONS: &str =
    "T1\tper 0 3\tZoë\nT2\torg 11 27\tUniversität Bonn\nT3\tloc 23 27\tBonn\nT4\tloc 29 35\tKraków\n";

fn read(folder: &Path, name: &str, reader: &str, file: &str) -> Corpus {
    let folder = folder.to_string_lossy();
    let card = format!(
        "format = 1\nname = \"{name}\"\ntitle = \"T\"\nlicence = \"MIT\"\nfolder = \"{folder}\"\n\
         [[file]]\nsplit = \"train\"\npath = \"{file}\"\n[reader.{reader}]\n"
    );
    load(&Card::parse(name, &card).unwrap(), None).unwrap()
}

/// Types and surfaces, in text order.
fn mentions(sentence: &Sentence) -> Vec<(&str, &str)> {
    sentence.entities.iter().map(|e| (e.kind.as_str(), sentence.surface(e))).collect()
}

#[test]
fn every_format_survives_writing_and_reading() {
    for &(name, reader, file, contents) in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs::create_dir(&source).unwrap();
        fs::write(source.join(file), contents).unwrap();
        if name == "brat" {
            fs::write(source.join("a.ann"), ANNOTATIONS).unwrap();
        }
        let corpus = read(&source, name, reader, file);
        assert!(!corpus.train.is_empty() && corpus.valid.is_empty(), "{name}");
        assert!(corpus.train.iter().any(|s| s.entities.iter().any(|e| !s.surface(e).is_ascii())), "{name}");

        // The folder without a word of help: the same sentences.
        let guessed = load(&draft(&source, name, None).unwrap().card, None).unwrap();
        let texts = |corpus: &Corpus| {
            let all = corpus.splits().into_iter().flat_map(|(_, s)| s);
            let mut all: Vec<(String, String)> = all.map(|s| (s.text.clone(), format!("{:?}", mentions(s)))).collect();
            all.sort();
            all
        };
        assert_eq!(texts(&guessed), texts(&corpus), "{name}");

        // JSON lines hold everything.
        let written = folder.path().join("jsonl");
        assert_eq!(convert(&corpus, Format::Jsonl, &written).unwrap()[0].lost, 0);
        let card = draft(&written, name, None).unwrap().card;
        let back = load(&card, None).unwrap();
        assert_eq!(back.train, corpus.train, "{name}");
        assert_eq!(back.schema, corpus.schema, "{name}");
        // Offsets on disk are characters, and point at the surface.
        for (line, sentence) in fs::read_to_string(written.join("train.jsonl")).unwrap().lines().zip(&corpus.train) {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let chars: Vec<char> = record["text"].as_str().unwrap().chars().collect();
            for (entity, (_, surface)) in record["entities"].as_array().unwrap().iter().zip(mentions(sentence)) {
                let at = |key: &str| entity[key].as_u64().unwrap() as usize;
                assert_eq!(chars[at("start")..at("end")].iter().collect::<String>(), surface, "{name}");
            }
        }

        // Columns hold what does not overlap, with a space between tokens.
        let written = folder.path().join("conll");
        let lost = convert(&corpus, Format::Conll, &written).unwrap()[0].lost;
        let back = load(&draft(&written, name, None).unwrap().card, None).unwrap();
        let spaceless = |text: &str| text.replace(' ', "");
        assert_eq!(back.train.len(), corpus.train.len(), "{name}");
        let count = |sentences: &[Sentence]| sentences.iter().map(|s| s.entities.len()).sum::<usize>();
        assert_eq!(count(&back.train) + lost, count(&corpus.train), "{name}");
        for (back, sentence) in back.train.iter().zip(&corpus.train) {
            assert_eq!(spaceless(&back.text), spaceless(&sentence.text), "{name}");
            let all: Vec<_> = mentions(sentence).into_iter().map(|(k, s)| (k.to_owned(), spaceless(s))).collect();
            for (kind, surface) in mentions(back) {
                assert!(all.contains(&(kind.to_owned(), spaceless(surface))), "{name}: {kind} {surface}");
            }
        }
        // And what columns gave is what columns give again.
        let again = folder.path().join("again");
        assert_eq!(convert(&back, Format::Conll, &again).unwrap()[0].lost, 0);
        let bytes = |folder: &Path| fs::read(folder.join("train.conll")).unwrap();
        assert_eq!(bytes(&again), bytes(&written), "{name}");
    }
}
