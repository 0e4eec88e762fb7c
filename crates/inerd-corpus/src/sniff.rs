//! How a file of unknown make is read: a guess from its name and contents.

use std::path::Path;

use encoding_rs::Encoding;
use serde_json::{Map, Value};

use crate::brat::Brat;
use crate::conll::Conll;
use crate::dialogue::{PolyAi, Sgd, Snips};
use crate::jsonl::{JsonLines, Offsets};
use crate::reader::Reader;
use crate::scheme::looks_like_tag;
use crate::table::{SentenceMark, Table};
use crate::{Result, source};

/// Lines or records that a guess looks at.
const SAMPLE: usize = 500;

/// A file that holds data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sniffed {
    pub(crate) reader: Reader,
    pub(crate) encoding: String,
}

/// What a file holds, or `None` where it does not look like data. `encoding` is what the user says of all files; without
/// it a byte-order mark decides, then it is UTF-8.
pub(crate) fn sniff(path: &Path, encoding: Option<&str>) -> Result<Option<Sniffed>> {
    if is_note(path) || path.extension().is_some_and(|e| e == "txt") && path.with_extension("ann").is_file() {
        return Ok(None);
    }
    let bytes = source::read_bytes(path)?;
    let marked = Encoding::for_bom(&bytes).map(|(encoding, _)| encoding.name().to_lowercase());
    let given = encoding.map(str::to_owned).or(marked);
    // Nearly UTF-8, and written by more tools than admit it; nothing else looks so.
    let nearly =
        |bytes: &[u8]| std::str::from_utf8(bytes).is_err() && source::decode(path, bytes.to_vec(), "cesu-8").is_ok();
    let encoding = given.unwrap_or_else(|| if nearly(&bytes) { "cesu-8" } else { "utf-8" }.to_owned());
    let ending = path.with_extension(path.extension().filter(|e| *e != "zst").unwrap_or_default());
    let ending = ending.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let text = match source::decode(path, bytes, &encoding) {
        Ok(text) => text,
        // A picture or an archive beside the data is no mistake; a data file in another encoding is.
        Err(error) if DATA.contains(&ending.as_str()) => return Err(error),
        Err(_) => return Ok(None),
    };
    let reader = match ending.as_str() {
        "ann" => Some(Reader::Brat(Brat {})),
        "csv" => table(&text),
        _ => json(&text).or_else(|| columns(&text)).or_else(|| table(&text)),
    };
    Ok(reader.map(|reader| Sniffed { reader, encoding }))
}

/// Endings of files that are data beyond doubt.
const DATA: &[&str] = &["ann", "bio", "conll", "csv", "iob", "iob2", "json", "jsonl", "ndjson", "tsv", "txt"];

/// Files that are for reading, or for programs.
fn is_note(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let notes = ["readme", "license", "licence", "labels", "notes", "source", "citation", "copying", "changelog"];
    let endings = ["md", "rst", "cfg", "toml", "yaml", "yml", "py", "sh", "html", "bib", "xml"];
    let ending = Path::new(&name).extension().unwrap_or_default().to_string_lossy().into_owned();
    name.starts_with('.') || notes.iter().any(|n| name.starts_with(n)) || endings.contains(&ending.as_str())
}

fn json(text: &str) -> Option<Reader> {
    let start = text.trim_start();
    if !start.starts_with(['{', '[']) {
        return None;
    }
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let records: Vec<Value> = match lines().next().map(serde_json::from_str::<Value>) {
        // The whole file may stand in one line.
        Some(Ok(Value::Array(list))) => list,
        Some(Ok(first)) => lines().take(SAMPLE).map_while(|line| serde_json::from_str(line).ok()).fold(
            if lines().nth(1).is_some() { Vec::new() } else { vec![first] },
            |mut records: Vec<Value>, record| {
                records.push(record);
                records
            },
        ),
        _ => match serde_json::from_str(text).ok()? {
            Value::Array(list) => list,
            whole => vec![whole],
        },
    };
    let records: Vec<&Map<String, Value>> = records.iter().filter_map(Value::as_object).take(SAMPLE).collect();
    let first = *records.first()?;
    if first.contains_key("userInput") {
        return Some(Reader::Polyai(PolyAi {}));
    }
    if first.contains_key("turns") || first.contains_key("text") && first.contains_key("slots") {
        return Some(Reader::Sgd(Sgd::default()));
    }
    let utterances = |value: &Value| value.get(0).is_some_and(|first| first.get("data").is_some());
    if first.len() == 1 && first.values().all(utterances) {
        return Some(Reader::Snips(Snips {}));
    }
    record_fields(&records).map(Reader::Jsonl)
}

/// The names of the fields of records, from those that tools give them.
fn record_fields(records: &[&Map<String, Value>]) -> Option<JsonLines> {
    let field = |names: &[&str], fits: &dyn Fn(&Value) -> bool| {
        let fitting = |name: &&&str| records.iter().any(|r| r.get(**name).is_some_and(fits));
        names.iter().find(fitting).map(|name| (*name).to_owned())
    };
    let text = field(&["text", "sentence", "content"], &Value::is_string);
    let words = |v: &Value| v.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_string));
    let tokens = field(&["tokens", "words", "token", "sentence"], &words);
    let spans = |v: &Value| v.get(0).is_some_and(|first| first.is_array() || first.is_object());
    let entities = field(&["entities", "mentions", "spans", "label", "labels", "annotations", "ner"], &spans);
    let tags = |v: &Value| v.get(0).is_some_and(|first| first.is_string() || first.is_u64());
    let tags = field(&["ner_tags", "tags", "ner", "labels", "bio", "iob", "bio_tags"], &tags);
    let mut options = JsonLines::default();
    if entities.is_none() && tags.is_some() && tokens.is_some() {
        options.tags = tags?;
        options.tokens = tokens?;
        return Some(options);
    }
    if text.is_none() && tokens.is_none() {
        return None;
    }
    options.text = text.unwrap_or(options.text);
    options.tokens = tokens.unwrap_or(options.tokens);
    options.entities = entities.unwrap_or(options.entities);
    let example = records.iter().find_map(|r| r.get(&options.entities)?.get(0)?.as_object());
    if let Some(entity) = example {
        let named = |names: &[&str]| names.iter().find(|n| entity.contains_key(**n)).map(|n| (*n).to_owned());
        let starts = named(&["start", "begin", "start_offset", "start_char", "startIndex", "token_start"]);
        let ends = named(&["end", "end_offset", "end_char", "endIndex", "token_end"]);
        let kinds = named(&["type", "label", "labels", "entity_type", "kind", "class", "tag", "entity"]);
        if starts.as_ref().is_some_and(|s| s.starts_with("token")) {
            options.offsets = Some(Offsets::Token);
        }
        options.start = starts.unwrap_or(options.start);
        options.end = ends.unwrap_or(options.end);
        options.kind = kinds.unwrap_or(options.kind);
    }
    Some(options)
}

/// Columns: rows that agree in their number, and a column of tags: the last one that is made of nothing else.
fn columns(text: &str) -> Option<Reader> {
    let split = |line: &'_ str| -> Vec<String> {
        let by_tab = line.contains('\t');
        let cells: Vec<&str> =
            if by_tab { line.split('\t').collect() } else { line.split_ascii_whitespace().collect() };
        cells.into_iter().map(|c| c.trim().to_owned()).collect()
    };
    let is_row = |line: &&str| {
        let mark = line.starts_with("-DOCSTART-") || line.starts_with("# ");
        !line.trim().is_empty() && !mark
    };
    let rows: Vec<Vec<String>> = text.lines().filter(is_row).take(4 * SAMPLE).map(split).collect();
    let most = |count: usize| rows.iter().filter(|row| row.len() == count).count() * 10 >= rows.len() * 9;
    let count = rows.iter().map(Vec::len).find(|&count| count >= 2 && most(count))?;
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column).map(String::as_str));
    let share = |column: usize, fits: &dyn Fn(&str) -> bool| {
        cells(column).filter(|cell| fits(cell)).count() as f64 / rows.len() as f64
    };
    // Types without marks are few words, told over and over, and `O` among them.
    let bare = |column: usize| {
        let kinds: std::collections::BTreeSet<&str> = cells(column).collect();
        kinds.contains("O") && kinds.len() * 2 <= rows.len() + 1 && share(column, &|c| c == "O") > 0.2
    };
    let tag = (0..count).rev().find(|&c| share(c, &looks_like_tag) > 0.9 && share(c, &|c| c != "O") > 0.0);
    let tag = tag.or_else(|| (0..count).rev().find(|&column| bare(column)))?;
    let token = usize::from(tag == 0);
    Some(Reader::Conll(Conll { token, tag: (tag + 1 != count).then_some(tag), ..Conll::default() }))
}

/// A table: a header that names a column of words and one of tags.
fn table(text: &str) -> Option<Reader> {
    let mut lines = text.lines();
    let header = lines.next()?;
    let separator = [',', ';', '\t'].into_iter().max_by_key(|&s| header.matches(s).count())?;
    let mut reader = csv::ReaderBuilder::new().delimiter(separator as u8).from_reader(text.as_bytes());
    let names: Vec<String> = reader.headers().ok()?.iter().map(str::to_owned).collect();
    let find = |known: &[&str]| {
        known.iter().find_map(|name| names.iter().find(|n| n.trim().eq_ignore_ascii_case(name)).cloned())
    };
    let token = find(&["word", "token", "tokens", "gold_token", "words"])?;
    let tag = find(&["tag", "label", "ner_tag", "ner", "gold_label", "entity", "tags", "labels"])?;
    let document = find(&["doc_idx", "document", "doc", "doc_id"]);
    let sentence = find(&[
        "sentence #",
        "sentence",
        "sentence_id",
        "sentence id",
        "sent_id",
        "sent_idx",
        "sentence_idx",
        "sent",
        "id",
    ])?;
    let column = names.iter().position(|n| *n == sentence)?;
    // Filled on first rows only, or on every row.
    let sometimes = reader.records().take(SAMPLE).flatten().any(|r| r.get(column).is_some_and(str::is_empty));
    let mark = if sometimes { SentenceMark::First } else { SentenceMark::Change };
    let sentence = document.filter(|_| !sometimes).into_iter().chain([sentence]).collect();
    Some(Reader::Csv(Table { separator, sentence, mark, token, tag, ..Table::default() }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn guess(name: &str, contents: &str) -> Option<Reader> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, contents).unwrap();
        sniff(&path, None).unwrap().map(|s| s.reader)
    }

    #[test]
    fn columns_are_told_by_their_tags() {
        let conll = |token, tag| Some(Reader::Conll(Conll { token, tag, ..Conll::default() }));
        let mit = "O\tshow\nO\tme\nB-ACTOR\tAda\nI-ACTOR\tDam\n\nO\tfilms\nB-YEAR\t1999\n";
        assert_eq!(guess("engtrain.bio", mit), conll(1, Some(0)));
        // The chunks of CoNLL-2003 are tags, too: the last column wins. No ending says that this is data.
        let eng = "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\nGerman JJ I-NP I-MISC\n";
        assert_eq!(guess("eng.testa", eng), conll(0, None));
        let multiconer = "\n# id 7\tdomain=en\nada _ _ B-Artist\nran _ _ O\n";
        assert_eq!(guess("dev.conll", multiconer), conll(0, None));
        let middle = "a\tB-X\ta\tbold\nb\tO\tb\tplain\n";
        assert_eq!(guess("train.txt", middle), conll(0, Some(1)));
        let few_nerd = "Ada\tperson-artist/author\nran\tO\nto\tO\nBonn\tlocation-GPE\n.\tO\n".repeat(3);
        assert_eq!(guess("train.txt", &few_nerd), conll(0, None));
        assert_eq!(guess("story.txt", "Once upon a time\nthere was a king\n"), None);
        assert_eq!(guess("README.txt", "a\tO\nb\tB-X\n"), None);
    }

    #[test]
    fn records_are_told_by_their_fields() {
        let jsonl = |line: &str| match guess("x.jsonl", line) {
            Some(Reader::Jsonl(options)) => options,
            other => panic!("{line}: {other:?}"),
        };
        let doccano =
            jsonl("{\"id\": 1, \"text\": \"Ada ran\", \"label\": [[0, 3, \"P\"]]}\n{\"text\": \"x\", \"label\": []}\n");
        assert_eq!((&*doccano.text, &*doccano.entities), ("text", "label"));
        let hands =
            jsonl("{\"tokens\": [\"Ada\"], \"mentions\": [{\"start\": 0, \"end\": 1, \"labels\": [\"/p\"]}]}\n");
        assert_eq!((&*hands.entities, &*hands.kind), ("mentions", "labels"));
        let tagged = jsonl("{\"words\": [\"Ada\"], \"ner_tags\": [\"B-P\"]}");
        assert_eq!((&*tagged.tokens, &*tagged.tags), ("words", "ner_tags"));
        let named = jsonl("[{\"sentence\": \"Ada\", \"annotations\": [{\"begin\": 0, \"end\": 3, \"label\": \"P\"}]}]");
        assert_eq!((&*named.text, &*named.start, &*named.kind), ("sentence", "begin", "label"));
        let snips = "{\"Play\": [{\"data\": [{\"text\": \"play\"}]}]}";
        assert_eq!(guess("x.json", snips), Some(Reader::Snips(Snips {})));
        assert_eq!(guess("x.json", "[{\"userInput\": {\"text\": \"a\"}}]"), Some(Reader::Polyai(PolyAi {})));
        let sgd = Some(Reader::Sgd(Sgd::default()));
        assert_eq!(guess("x.json", "[\n{\"turns\": []}\n]"), sgd);
        assert_eq!(guess("x.jsonl", "{\"text\": \"a\", \"slots\": []}\n"), sgd);
        assert_eq!(guess("x.json", "{\"version\": 1}"), None);
    }

    #[test]
    fn tables_are_told_by_their_header() {
        let gmb = "Sentence #,Word,POS,Tag\r\nSentence: 1,Ada,NNP,B-per\r\n,ran,VB,O\r\n";
        assert_eq!(guess("ner.csv", gmb), Some(Reader::Csv(Table::default())));
        let changing = "sentence_id;token;label\n1;Ada;B-P\n1;ran;O\n2;Bo;B-P\n";
        let expected = Table {
            separator: ';',
            sentence: vec!["sentence_id".to_owned()],
            mark: SentenceMark::Change,
            token: "token".to_owned(),
            tag: "label".to_owned(),
            ..Table::default()
        };
        assert_eq!(guess("ner.csv", changing), Some(Reader::Csv(expected)));
        assert_eq!(guess("sizes.csv", "a,b\n1,2\n"), None);
    }

    #[test]
    fn encodings_are_told_by_their_mark_or_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.conll");
        let text = "\u{feff}Zoë\tB-P\n";
        fs::write(&path, text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()).unwrap();
        assert_eq!(sniff(&path, None).unwrap().unwrap().encoding, "utf-16le");
        fs::write(&path, b"Zo\xeb\tB-P\n").unwrap();
        assert!(sniff(&path, None).unwrap_err().to_string().contains("line 1 holds bytes that are not utf-8"));
        assert_eq!(sniff(&path, Some("latin1")).unwrap().unwrap().encoding, "latin1");
        fs::write(&path, b"Pizza\xed\xa0\xbc\xed\xbd\x95\tB-P\n").unwrap();
        assert_eq!(sniff(&path, None).unwrap().unwrap().encoding, "cesu-8");
        fs::write(folder.path().join("plot.png"), b"\x89PNG\xff").unwrap();
        assert_eq!(sniff(&folder.path().join("plot.png"), None).unwrap(), None);
    }
}
