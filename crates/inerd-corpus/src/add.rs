//! A card for a user's own data: `inerd data add DIR`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::card::{CARD_FORMAT, Card, DataFile, Split};
use crate::naming::natural_words;
use crate::reader::{Reader, read_file};
use crate::{Error, Result};

/// Looks into a folder and drafts a card for what it finds: which files are which split, how they are read, and
/// natural words for every label. Files of one format only are taken: BRAT, then JSON lines, then columns, then tables.
pub fn draft(folder: &Path, name: &str) -> Result<Card> {
    let folder = fs::canonicalize(folder).map_err(|source| Error::Read { path: folder.to_owned(), source })?;
    let mut found: Vec<(String, &'static str)> = Vec::new();
    collect(&folder, &folder, 0, &mut found)?;
    found.sort();
    let formats = ["ann", "jsonl", "conll", "csv"];
    let Some(format) = formats.into_iter().find(|f| found.iter().any(|(_, kind)| kind == f)) else {
        return Err(Error::Invalid(format!(
            "find data in {}: expected .jsonl, .conll, .bio, .tsv, .txt, .csv, or .txt with .ann",
            folder.display()
        )));
    };
    let reader: Reader = match format {
        "ann" => Reader::Brat(crate::Brat {}),
        "jsonl" => Reader::Jsonl(crate::JsonLines::default()),
        "csv" => Reader::Csv(crate::Table::default()),
        _ => Reader::Conll(crate::Conll::default()),
    };
    let file = |path: &str| DataFile {
        split: split_of(path),
        path: path.to_owned(),
        url: String::new(),
        sha256: String::new(),
        encoding: "utf-8".to_owned(),
    };
    let mut files: Vec<DataFile> =
        found.iter().filter(|(_, kind)| *kind == format).map(|(path, _)| file(path)).collect();
    if format == "ann" {
        files.iter_mut().for_each(|f| f.path = f.path.replace(".ann", ".txt"));
    }
    // Where only some files say what they are for, the others are for training; where none does, all are divided.
    if files.iter().any(|f| f.split != Split::All) {
        files.iter_mut().filter(|f| f.split == Split::All).for_each(|f| f.split = Split::Train);
    }
    let mut types = BTreeMap::new();
    for file in &files {
        for label in read_file(&reader, &folder, file)?.1.found.types.into_keys() {
            let words = natural_words(&label);
            types.insert(label.clone(), if words.is_empty() { label } else { words });
        }
    }
    let mut text = format!(
        "format = {CARD_FORMAT}\nname = {}\ntitle = {}\nlicence = \"not stated\"\nfolder = {}\n\n[reader.{}]\n",
        quote(name),
        quote(name),
        quote(&folder.to_string_lossy()),
        if format == "ann" { "brat" } else { format },
    );
    for file in &files {
        write!(text, "\n[[file]]\nsplit = {}\npath = {}\n", quote(file.split.name()), quote(&file.path)).ok();
    }
    text.push_str("\n[types]\n");
    for (label, words) in &types {
        writeln!(text, "{} = {}", quote(label), quote(words)).ok();
    }
    Card::parse(name, &text)
}

/// The card as the TOML that its author would write: only what is set.
pub fn card_toml(card: &Card) -> Result<String> {
    let full = toml::Value::try_from(card).map_err(|e| Error::Invalid(format!("write the card as TOML: {e}")))?;
    let toml::Value::Table(table) = full else { return Ok(String::new()) };
    let default = |key: &str, value: &toml::Value| match value {
        toml::Value::String(s) => s.is_empty(),
        toml::Value::Array(a) => a.is_empty(),
        toml::Value::Table(t) => t.is_empty() && key != "reader",
        _ => false,
    };
    let kept: toml::Table = table.into_iter().filter(|(key, value)| !default(key, value)).collect();
    toml::to_string(&kept).map_err(|e| Error::Invalid(format!("write the card as TOML: {e}")))
}

/// Drafts a card and writes it to `<cards>/<name>.toml`; a card that exists is never overwritten.
pub fn add(folder: &Path, name: &str, cards: &Path) -> Result<PathBuf> {
    let card = draft(folder, name)?;
    let path = cards.join(format!("{name}.toml"));
    let wrap = |source| Error::Write { path: path.clone(), source };
    fs::create_dir_all(cards).map_err(wrap)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&path).map_err(wrap)?;
    file.write_all(card_toml(&card)?.as_bytes()).map_err(wrap)?;
    Ok(path)
}

/// Files two folders deep, with the kind of reader that their endings suggest.
fn collect(root: &Path, folder: &Path, depth: usize, found: &mut Vec<(String, &'static str)>) -> Result<()> {
    let wrap = |source| Error::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(wrap)? {
        let path = entry.map_err(wrap)?.path();
        if path.is_dir() {
            if depth < 2 {
                collect(root, &path, depth + 1, found)?;
            }
            continue;
        }
        let kind = match path.extension().and_then(|e| e.to_str()) {
            Some("ann") => "ann",
            Some("jsonl" | "ndjson") => "jsonl",
            Some("conll" | "bio" | "iob" | "iob2" | "tsv") => "conll",
            // A text file without annotations beside it may hold columns, unless it says that it is for reading.
            Some("txt") if !path.with_extension("ann").is_file() && !is_note(&path) => "conll",
            Some("csv") => "csv",
            _ => continue,
        };
        let inside = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        found.push((inside, kind));
    }
    Ok(())
}

fn is_note(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    ["readme", "license", "licence", "labels", "notes", "source"].iter().any(|n| stem.contains(n))
}

fn split_of(path: &str) -> Split {
    let path = path.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| path.contains(w));
    if says(&["train"]) {
        Split::Train
    } else if says(&["dev", "valid", "val."]) {
        Split::Valid
    } else if says(&["test"]) {
        Split::Test
    } else {
        Split::All
    }
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    #[test]
    fn a_folder_of_columns_becomes_a_card_that_loads() {
        let folder = tempfile::tempdir().unwrap();
        let cards = folder.path().join("cards");
        let data = folder.path().join("data");
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("train.txt"), "Ada\tB-per_son\nran\tO\n\nBonn\tB-geo\n").unwrap();
        fs::write(data.join("my-test.tsv"), "Eve\tB-per_son\n").unwrap();
        fs::write(data.join("README.txt"), "words\n").unwrap();
        let path = add(&data, "mine", &cards).unwrap();
        assert_eq!(path, cards.join("mine.toml"));
        let card = Card::find("mine", Some(&cards)).unwrap();
        let corpus = load(&card, Some(folder.path())).unwrap();
        assert_eq!(corpus.schema.types(), ["Geo", "Per Son"]);
        assert_eq!((corpus.train.len() + corpus.valid.len(), corpus.test.len()), (2, 1));
        assert!(add(&data, "mine", &cards).unwrap_err().to_string().starts_with("write "), "never overwritten");
    }

    #[test]
    fn brat_documents_and_empty_folders() {
        let folder = tempfile::tempdir().unwrap();
        assert!(draft(folder.path(), "x").unwrap_err().to_string().contains("expected .jsonl"));
        fs::write(folder.path().join("a.txt"), "Ada ran\n").unwrap();
        fs::write(folder.path().join("a.ann"), "T1\tPer 0 3\tAda\n").unwrap();
        let card = draft(folder.path(), "x").unwrap();
        assert_eq!(load(&card, Some(folder.path())).unwrap().train.len(), 1);
    }
}
