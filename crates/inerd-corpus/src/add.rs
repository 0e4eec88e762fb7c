//! A card for a user's own data: `inerd data add DIR`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::card::{CARD_FORMAT, Card, DataFile, Split, Splits};
use crate::naming::natural_words;
use crate::reader::{Reader, read_file};
use crate::sniff::{Sniffed, sniff};
use crate::{Error, Result};

/// A card for a folder of data, and what of the folder it does not use.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub card: Card,
    /// Files that look like data and are read in another way than those of the card.
    pub left_out: Vec<String>,
}

/// Looks into a folder and drafts a card for what it finds: which files are which split, how they are read, and
/// natural words for every label. A card has one reader: where files differ, it is that of most files.
///
/// `encoding` is that of all files; without it a byte-order mark decides, then it is UTF-8.
pub fn draft(folder: &Path, name: &str, encoding: Option<&str>) -> Result<Draft> {
    let folder = fs::canonicalize(folder).map_err(|source| Error::Read { path: folder.to_owned(), source })?;
    let mut found: Vec<(String, Sniffed)> = Vec::new();
    collect(&folder, &folder, encoding, 0, &mut found)?;
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let votes = |reader: &Reader| found.iter().filter(|(_, sniffed)| sniffed.reader == *reader).count();
    // The first of those with most files.
    let reader = found.iter().rev().map(|(_, s)| &s.reader).max_by_key(|reader| votes(reader)).cloned();
    let Some(reader) = reader else {
        return Err(Error::Invalid(format!(
            "find data in {}: expected columns (token and tag), JSON records with a text or tokens, a CSV table with a \
             header, or BRAT's .txt with .ann",
            folder.display()
        )));
    };
    let (used, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, sniffed)| sniffed.reader == reader);
    let file = |(path, sniffed): (String, Sniffed)| DataFile {
        split: split_of(&path),
        // A card names a document by its text, and a compressed file without its last ending.
        path: path.strip_suffix(".ann").map_or_else(
            || path.strip_suffix(".zst").unwrap_or(&path).to_owned(),
            |document| format!("{document}.txt"),
        ),
        url: String::new(),
        sha256: String::new(),
        encoding: sniffed.encoding,
    };
    let mut files: Vec<DataFile> = used.into_iter().map(file).collect();
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
    // Everything else is as a card is that does not say.
    let text = format!(
        "format = {CARD_FORMAT}\nname = {0}\ntitle = {0}\nlicence = \"not stated\"\nfolder = {1}\n\
         [reader.conll]\n[[file]]\nsplit = \"all\"\npath = \"x\"\n",
        quote(name),
        quote(&folder.to_string_lossy()),
    );
    let card = Card { reader: Some(reader), files, types, ..Card::parse(name, &text)? };
    let left_out = others.into_iter().map(|(path, _)| path).collect();
    Ok(Draft { card: Card::parse(name, &card_toml(&card)?)?, left_out })
}

/// The card as the TOML that its author would write: only what differs from a card that does not say.
pub fn card_toml(card: &Card) -> Result<String> {
    let wrap = |e: toml::ser::Error| Error::Invalid(format!("write the card as TOML: {e}"));
    let mut full = toml::Table::try_from(card).map_err(wrap)?;
    if let Some(reader) = &card.reader {
        let plain = toml::Table::try_from(reader.plain()).map_err(wrap)?;
        for (kind, options) in full.get_mut("reader").and_then(toml::Value::as_table_mut).into_iter().flatten() {
            let plain = plain.get(kind).and_then(toml::Value::as_table);
            if let Some(options) = options.as_table_mut() {
                options.retain(|name, value| plain.and_then(|p| p.get(name)) != Some(value));
            }
        }
    }
    if card.splits == Splits::default() {
        full.remove("splits");
    }
    let empty = |value: &toml::Value| match value {
        toml::Value::String(s) => s.is_empty(),
        toml::Value::Array(a) => a.is_empty(),
        toml::Value::Table(t) => t.is_empty(),
        _ => false,
    };
    for file in full.get_mut("file").and_then(toml::Value::as_array_mut).into_iter().flatten() {
        if let Some(file) = file.as_table_mut() {
            file.retain(|name, value| !(empty(value) || name == "encoding" && value.as_str() == Some("utf-8")));
        }
    }
    full.retain(|name, value| name == "reader" || !empty(value));
    toml::to_string(&full).map_err(wrap)
}

/// Drafts a card and writes it to `<cards>/<name>.toml`; a card that exists is never overwritten.
pub fn add(folder: &Path, name: &str, encoding: Option<&str>, cards: &Path) -> Result<(PathBuf, Draft)> {
    let draft = draft(folder, name, encoding)?;
    let path = cards.join(format!("{name}.toml"));
    let wrap = |source| Error::Write { path: path.clone(), source };
    fs::create_dir_all(cards).map_err(wrap)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&path).map_err(wrap)?;
    file.write_all(card_toml(&draft.card)?.as_bytes()).map_err(wrap)?;
    Ok((path, draft))
}

/// Files that look like data, in all folders but those too deep to be meant.
fn collect(
    root: &Path,
    folder: &Path,
    encoding: Option<&str>,
    depth: usize,
    found: &mut Vec<(String, Sniffed)>,
) -> Result<()> {
    let wrap = |source| Error::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(wrap)? {
        let path = entry.map_err(wrap)?.path();
        if path.is_dir() {
            if depth < 8 {
                collect(root, &path, encoding, depth + 1, found)?;
            }
        } else if let Some(sniffed) = sniff(&path, encoding)? {
            let inside = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            found.push((inside, sniffed));
        }
    }
    Ok(())
}

/// What a path says of its split, by its words: `latest.txt` is no test set.
fn split_of(path: &str) -> Split {
    let path = path.to_lowercase();
    let words: Vec<&str> = path.split(|c: char| !c.is_alphanumeric()).collect();
    // "train90", "wnut17train", "engtrain": the word with a number, or behind one, or at the end of another.
    let says = |known: &[&str]| {
        words.iter().any(|word| {
            known.iter().any(|known| {
                let word = word.trim_matches(|c: char| c.is_ascii_digit());
                word == *known || word.strip_prefix("eng") == Some(known) || {
                    let behind = word.strip_suffix(known);
                    behind.is_some_and(|rest| rest.ends_with(|c: char| c.is_ascii_digit()))
                }
            })
        })
    };
    if says(&["train", "training", "trn"]) {
        Split::Train
    } else if says(&["dev", "devel", "development", "valid", "validation", "validate", "val", "testa"]) {
        Split::Valid
    } else if says(&["test", "testb", "testing", "tst"]) {
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
        let (path, _) = add(&data, "mine", None, &cards).unwrap();
        assert_eq!(path, cards.join("mine.toml"));
        let written = fs::read_to_string(&path).unwrap();
        for set in ["document", "sha256", "encoding", "splits", "homepage"] {
            assert!(!written.contains(set), "only what is set is written: {written}");
        }
        let card = Card::find("mine", Some(&cards)).unwrap();
        let corpus = load(&card, Some(folder.path())).unwrap();
        assert_eq!(corpus.schema.types(), ["Geo", "Per Son"]);
        assert_eq!((corpus.train.len() + corpus.valid.len(), corpus.test.len()), (2, 1));
        assert!(add(&data, "mine", None, &cards).unwrap_err().to_string().starts_with("write "), "never overwritten");
    }

    #[test]
    fn brat_documents_and_empty_folders() {
        let folder = tempfile::tempdir().unwrap();
        assert!(draft(folder.path(), "x", None).unwrap_err().to_string().contains("expected columns"));
        fs::write(folder.path().join("a.txt"), "Ada ran\n").unwrap();
        fs::write(folder.path().join("a.ann"), "T1\tPer 0 3\tAda\n").unwrap();
        let Draft { card, left_out } = draft(folder.path(), "x", None).unwrap();
        assert_eq!(load(&card, Some(folder.path())).unwrap().train.len(), 1);
        assert!(left_out.is_empty());
    }

    #[test]
    fn most_files_decide_and_the_others_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let tagged = "{\"tokens\": [\"Ada\"], \"tags\": [\"B-P\"]}\n";
        for (name, contents) in [("dev.json", tagged), ("sub/train.json", tagged), ("old.conll", "Ada\tB-P\n")] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        let Draft { card, left_out } = draft(folder.path(), "x", None).unwrap();
        assert_eq!(left_out, ["old.conll"]);
        let splits: Vec<_> = card.files.iter().map(|f| (f.path.as_str(), f.split)).collect();
        assert_eq!(splits, [("dev.json", Split::Valid), ("sub/train.json", Split::Train)]);
        assert!(card_toml(&card).unwrap().contains("tags = \"tags\""));
        assert_eq!(load(&card, Some(folder.path())).unwrap().schema.types(), ["P"]);
    }

    #[test]
    fn names_of_files_say_their_split() {
        for (path, split) in [
            ("eng.train", Split::Train),
            ("eng.testa", Split::Valid),
            ("eng.testb", Split::Test),
            ("en/en-train90.conll", Split::Train),
            ("wnut17train.conll", Split::Train),
            ("emerging.dev.conll", Split::Valid),
            ("engtest.bio", Split::Test),
            ("test_0.json", Split::Test),
            ("latest.conll", Split::All),
            ("contest/a.conll", Split::All),
            ("value.conll", Split::All),
        ] {
            assert_eq!(split_of(path), split, "{path}");
        }
    }
}
