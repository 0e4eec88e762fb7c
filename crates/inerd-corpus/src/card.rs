//! Dataset cards: `data/<name>.toml` says what a dataset is, where it comes from and how it is read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::naming::nearest;
use crate::reader::Reader;
use crate::source::locate;
use crate::synth::Synthesis;
use crate::{Error, Result, embedded};

/// The version of the card format that this code reads.
pub const CARD_FORMAT: u32 = 1;

/// What a dataset is, where it comes from, and how its files become a corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Card {
    /// Version of the card format, [`CARD_FORMAT`].
    pub format: u32,
    /// The card's name: lower-case letters, digits and hyphens.
    pub name: String,
    pub title: String,
    #[serde(default)]
    pub description: String,
    /// Language tags (`en`, `bn`).
    #[serde(default)]
    pub language: Vec<String>,
    #[serde(default)]
    pub domain: String,
    /// SPDX name or the words of the source.
    pub licence: String,
    /// Where the licence was read.
    #[serde(default)]
    pub licence_source: String,
    #[serde(default)]
    pub homepage: String,
    /// BibTeX, or who to cite in words.
    #[serde(default)]
    pub citation: String,
    /// Peculiarities that a user of the data should know.
    #[serde(default)]
    pub notes: String,
    /// Folder of the dataset inside the data folder, or its absolute path; the card's name where not given.
    #[serde(default)]
    pub folder: String,
    /// Address that the files' paths are appended to.
    #[serde(default)]
    pub base_url: String,
    /// Why the files can't be downloaded automatically and how to get them by hand; empty where they can.
    #[serde(default)]
    pub manual: String,
    /// How the files are read; missing for a synthetic corpus.
    #[serde(default)]
    pub reader: Option<Reader>,
    #[serde(default, rename = "file")]
    pub files: Vec<DataFile>,
    #[serde(default)]
    pub splits: Splits,
    /// Sentences whose text begins with one of these are left out.
    #[serde(default)]
    pub drop_sentences: Vec<String>,
    /// Labels whose mentions are left out.
    #[serde(default)]
    pub drop_types: Vec<String>,
    /// Label of the source → natural words. Two labels may share their words.
    #[serde(default)]
    pub types: BTreeMap<String, String>,
    /// Recipe of a synthetic corpus.
    #[serde(default)]
    pub synthesis: Option<Synthesis>,
}

/// One file of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataFile {
    pub split: Split,
    /// Inside the dataset's folder, with `/`. A zstd-compressed sibling (`….zst`) is read as well.
    pub path: String,
    /// Address, where it is not the base address with the path behind it.
    #[serde(default)]
    pub url: String,
    /// SHA-256 of the file, uncompressed, in hexadecimal; empty where it is not known.
    #[serde(default)]
    pub sha256: String,
    /// Character encoding, `utf-8` where not given.
    #[serde(default = "utf8")]
    pub encoding: String,
}

fn utf8() -> String {
    "utf-8".to_owned()
}

/// What a file or a sentence is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    Train,
    Valid,
    Test,
    /// To be divided among the three.
    All,
}

impl Split {
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
            Self::All => "all",
        }
    }
}

/// How splits that no file holds are made: drawn without replacement by the seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Splits {
    /// Share of the training (or undivided) sentences that become validation sentences where no file holds any.
    pub valid_share: f64,
    /// Share of the undivided sentences that become test sentences. Never taken from a file marked as training.
    pub test_share: f64,
    pub seed: u64,
}

impl Default for Splits {
    fn default() -> Self {
        Self { valid_share: 0.1, test_share: 0.1, seed: 0 }
    }
}

static CARDS: LazyLock<Vec<Card>> = LazyLock::new(|| {
    let parse = |&(stem, text)| Card::parse(stem, text).expect("embedded cards are parsed by a test");
    embedded::CARDS.iter().map(parse).collect()
});

/// The cards that the program carries, by name.
pub fn cards() -> &'static [Card] {
    &CARDS
}

impl Card {
    /// Reads a card; `stem` is its file's name without the ending, which must be the card's name.
    pub fn parse(stem: &str, text: &str) -> Result<Self> {
        let fail = |reason: String| Error::Card { what: "card", name: stem.to_owned(), reason };
        let card: Self = toml::from_str(text).map_err(|e| fail(e.to_string()))?;
        card.validate(stem).map_err(fail)?;
        Ok(card)
    }

    fn validate(&self, stem: &str) -> std::result::Result<(), String> {
        if self.format != CARD_FORMAT {
            return Err(format!(
                "its format is {}, this program reads format {CARD_FORMAT}; {}",
                self.format,
                if self.format > CARD_FORMAT {
                    "a newer program wrote it"
                } else {
                    "write it anew with `inerd data add`"
                }
            ));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return Err(format!("the name `{}` is not made of a-z, 0-9 and `-`", self.name));
        }
        if self.name != stem {
            return Err(format!("it calls itself `{}`; file and card must have one name", self.name));
        }
        if self.synthesis.is_some() == self.reader.is_some() {
            return Err("it needs either `[reader.…]` or `[synthesis]`, and not both".to_owned());
        }
        if self.reader.is_some() && self.files.is_empty() {
            return Err("it names no `[[file]]`".to_owned());
        }
        let undivided = self.files.iter().filter(|f| f.split == Split::All).count();
        if undivided > 0 && undivided < self.files.len() {
            return Err("files of split `all` can't stand beside files of other splits".to_owned());
        }
        for file in &self.files {
            let inside = file.path.split('/').all(|piece| !piece.is_empty() && piece != "." && piece != "..");
            if !inside || file.path.contains(['\\', ':']) {
                return Err(format!("the path `{}` does not stay inside the dataset's folder", file.path));
            }
            if !(file.sha256.is_empty()
                || file.sha256.len() == 64 && file.sha256.bytes().all(|b| b.is_ascii_hexdigit()))
            {
                return Err(format!("the sha256 of `{}` is not 64 hexadecimal digits", file.path));
            }
        }
        let Splits { valid_share, test_share, .. } = self.splits;
        if !(0.0..1.0).contains(&valid_share) || !(0.0..1.0).contains(&test_share) || valid_share + test_share >= 1.0 {
            return Err("`valid-share` and `test-share` must be at least 0 and together less than 1".to_owned());
        }
        if let Some(label) = self.types.iter().find(|(_, words)| words.trim().is_empty()).map(|(label, _)| label) {
            return Err(format!("the type `{label}` has no words"));
        }
        if let Some(synthesis) = &self.synthesis {
            synthesis.validate().map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// The card of this name: the user's own in `extra` (`<extra>/<name>.toml`) before those that the program carries.
    pub fn find(name: &str, extra: Option<&Path>) -> Result<Self> {
        let mut own = Vec::new();
        if let Some(folder) = extra {
            let path = folder.join(format!("{name}.toml"));
            if path.is_file() {
                let text = fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
                return Self::parse(name, &text);
            }
            own = Self::names_in(folder)?;
        }
        if let Some(card) = cards().iter().find(|c| c.name == name) {
            return Ok(card.clone());
        }
        let known = cards().iter().map(|c| c.name.as_str()).chain(own.iter().map(String::as_str));
        Err(Error::UnknownCard { name: name.to_owned(), nearest: nearest(name, known) })
    }

    /// The names of the cards in a folder, sorted; none where the folder does not exist.
    pub fn names_in(folder: &Path) -> Result<Vec<String>> {
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let wrap = |source| Error::Read { path: folder.to_owned(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(wrap)? {
            let path = entry.map_err(wrap)?.path();
            if path.extension().is_some_and(|e| e == "toml") {
                names.extend(path.file_stem().map(|s| s.to_string_lossy().into_owned()));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Whether the corpus is written by the generator and needs no data.
    pub fn is_synthetic(&self) -> bool {
        self.synthesis.is_some()
    }

    /// Whether every file is there, itself or compressed.
    pub fn is_at_hand(&self, data_dir: Option<&Path>) -> bool {
        let folder = data_dir.unwrap_or(Path::new("")).join(self.folder());
        let there = |file: &DataFile| folder.join(&file.path).is_dir() || locate(&folder.join(&file.path)).is_some();
        (data_dir.is_some() || folder.is_absolute()) && self.files.iter().all(there)
    }

    /// Folder of the dataset inside the data folder; an absolute path is where it says, whatever the data folder.
    pub fn folder(&self) -> &str {
        if self.folder.is_empty() { &self.name } else { &self.folder }
    }

    /// Address of a file; empty where the card knows none.
    pub fn url(&self, file: &DataFile) -> String {
        if !file.url.is_empty() {
            return file.url.clone();
        }
        if self.base_url.is_empty() {
            return String::new();
        }
        format!("{}/{}", self.base_url.trim_end_matches('/'), file.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_card_parses() {
        for (stem, text) in embedded::CARDS {
            if let Err(error) = Card::parse(stem, text) {
                panic!("{stem}: {error}");
            }
        }
        assert!(cards().iter().any(|c| c.name == "wnut17"));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let error = Card::find("wnut-17", None).unwrap_err().to_string();
        assert!(
            error.starts_with("find the dataset `wnut-17`: no card has this name; did you mean `wnut17`"),
            "{error}"
        );
    }

    #[test]
    fn cards_that_contradict_themselves_are_refused() {
        let card = |body: &str| {
            Card::parse("x", &format!("format = 1\nname = \"x\"\ntitle = \"X\"\nlicence = \"MIT\"\n{body}"))
                .map_err(|e| e.to_string())
        };
        let file = "[reader.conll]\n[[file]]\nsplit = \"train\"\n";
        assert!(card(&format!("{file}path = \"a.txt\"")).is_ok());
        for (body, reason) in [
            (String::new(), "either `[reader.…]` or `[synthesis]`"),
            ("[reader.conll]".to_owned(), "names no `[[file]]`"),
            (format!("{file}path = \"../a\""), "stay inside"),
            (format!("{file}path = \"/etc/passwd\""), "stay inside"),
            (format!("{file}path = \"a\"\nsha256 = \"12\""), "64 hexadecimal digits"),
            (format!("colour = 1\n{file}path = \"a\""), "unknown field `colour`"),
            (format!("[splits]\nvalid-share = 1.5\n{file}path = \"a\""), "together less than 1"),
        ] {
            let error = card(&body).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let newer = "format = 9\nname = \"x\"\ntitle = \"X\"\nlicence = \"MIT\"\n[reader.conll]\n";
        assert!(Card::parse("x", newer).unwrap_err().to_string().contains("a newer program wrote it"));
    }
}
