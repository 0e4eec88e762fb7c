//! Every reader on texts that were damaged at random: it answers with valid sentences or with an error that names the
//! file and a line, and never panics.

use std::path::Path;

use inerd_corpus::{
    Brat, Card, Conll, FileReport, JsonLines, PolyAi, Reader, Scheme, Separator, Sgd, Snips, Table, decode, write_conll,
};
use inerd_text::Sentence;
use proptest::prelude::*;

const CONLL: &str = "-DOCSTART- O\n\nAda\tB-PER\nvan Dam\tI-PER\n \tO\n\t\nZoë\tS-PER\n\r\nrân\tE-LOC\n# id 7\nx y z\n";
const JSONL: &str = "{\"id\": \"a\", \"text\": \"Zoë ran\", \"tokens\": [[0, 3], [4, 7]], \"entities\": \
                     [{\"type\": \"P\", \"start\": 0, \"end\": 3}, [4, 7, \"Q\"]]}\n\
                     {\"tokens\": [\"Zoë\", \"ran\"], \"entities\": [{\"type\": [\"/a\", \"/a/b\"], \"start\": 0, \"end\": 1}]}\n";
const CSV: &str = "Sentence #,Word,POS,Tag\r\nSentence: 1,Zoë,NNP,B-per\r\n,\"\"\"\",``,O\r\n,\"1,0\",CD,I-per\r\nSentence: 2,b,X,O\r\n";
const SNIPS: &str =
    "{\"Play\": [{\"data\": [{\"text\": \"play \"}, {\"text\": \" Zoë\\n\", \"entity\": \"artist\"}]}]}";
const POLYAI: &str = "[{\"userInput\": {\"text\": \"Zoë 13\"}, \"labels\": [{\"slot\": \"people\", \"valueSpan\": \
                      {\"startIndex\": 4, \"endIndex\": 6}}]}, {\"userInput\": {\"text\": \"\"}}]";
const SGD: &str = "{\"text\": \"Zoë at 7\", \"slots\": [[7, 8, \"Cars_2\", \"time\"], [0, 3, \"Cars\", \"who\"]]}\n";
const BRAT: &str = "T1\tPer 0 3\tZoë\nT2\tOrg 7 12;14 16\tx\nT3\tLoc 4 6\tat\nR1\tx Arg1:T1\n#1\tNote T1\tx\n";

/// Changes to a text: at a place (as a share of its length) a piece goes and a piece comes.
fn edits() -> impl Strategy<Value = Vec<(f64, usize, String)>> {
    let pieces = "[\\t\\n\\r ,;\"\\[\\]{}:/#0-9A-Za-zë\u{85}\u{a0}\u{200b}\u{feff}🦀-]{0,6}";
    proptest::collection::vec((0.0..1.0f64, 0usize..9, pieces), 0..6)
}

fn damage(text: &str, edits: &[(f64, usize, String)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (place, gone, come) in edits {
        let at = (place * chars.len() as f64) as usize;
        let end = (at + gone).min(chars.len());
        chars.splice(at..end, come.chars());
    }
    chars.into_iter().collect()
}

fn answer(result: inerd_corpus::Result<Vec<Sentence>>) -> Result<(), TestCaseError> {
    match result {
        Ok(sentences) => {
            for sentence in sentences {
                prop_assert!(sentence.validate().is_ok(), "{sentence:?}");
            }
        }
        Err(error) => {
            let message = error.to_string();
            prop_assert!(message.starts_with("read file") && message.contains("line "), "{message}");
        }
    }
    Ok(())
}

fn readers() -> Vec<(Reader, &'static str)> {
    let conll = |separator, scheme| {
        Reader::Conll(Conll { separator, scheme, comment: Some("# id".into()), ..Conll::default() })
    };
    vec![
        (conll(Separator::Auto, None), CONLL),
        (conll(Separator::Space, Some(Scheme::Iobes)), CONLL),
        (conll(Separator::Tab, Some(Scheme::Io)), CONLL),
        (Reader::Jsonl(JsonLines::default()), JSONL),
        (Reader::Csv(Table::default()), CSV),
        (Reader::Snips(Snips {}), SNIPS),
        (Reader::Polyai(PolyAi {}), POLYAI),
        (Reader::Sgd(Sgd::default()), SGD),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn damaged_texts_never_panic(edits in edits()) {
        for (reader, text) in readers() {
            answer(reader.read_text(Path::new("file"), &damage(text, &edits), &mut FileReport::default()))?;
        }
        let text = "Zoë at the river\n\nAda\n";
        for (text, annotations) in [(damage(text, &edits), BRAT.to_owned()), (text.to_owned(), damage(BRAT, &edits))] {
            answer(Brat::read(Path::new("file"), &text, &annotations, &mut FileReport::default()))?;
        }
    }

    #[test]
    fn any_text_never_panics(text in "\\PC{0,80}|[\\t\\n BIO-]{0,60}") {
        for (reader, _) in readers() {
            answer(reader.read_text(Path::new("file"), &text, &mut FileReport::default()))?;
        }
        answer(Brat::read(Path::new("file"), &text, &text, &mut FileReport::default()))?;
        let _ = Card::parse("x", &text);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        for encoding in ["utf-8", "latin1", "windows-1252", "cesu-8", "utf-16le", "shift_jis", "none"] {
            let _ = decode(Path::new("file"), bytes.clone(), encoding);
        }
    }

    /// What a reader makes of a text is written and read back unchanged: in JSON lines always, in columns where no
    /// mention overlaps another.
    #[test]
    fn sentences_survive_writing_and_reading(edits in edits()) {
        for (reader, text) in readers() {
            let Ok(sentences) = reader.read_text(Path::new("file"), &damage(text, &edits), &mut FileReport::default())
            else { continue };
            let mut sorted = sentences;
            sorted.iter_mut().for_each(|s| s.entities.sort());
            let mut written = Vec::new();
            inerd_text::write_json_lines(&mut written, &sorted).unwrap();
            prop_assert_eq!(&inerd_text::read_json_lines::<Sentence>(written.as_slice()).unwrap(), &sorted);

            let Reader::Conll(_) = reader else { continue };
            let mut written = Vec::new();
            prop_assert_eq!(write_conll(&mut written, &sorted).unwrap(), 0);
            let back = Conll { separator: Separator::Tab, document: String::new(), ..Conll::default() };
            let text = String::from_utf8(written).unwrap();
            let mut report = FileReport::default();
            prop_assert_eq!(back.read(Path::new("file"), &text, &mut report).unwrap(), sorted);
            prop_assert!(report.repairs.is_empty());
        }
    }
}
