//! Starts the command in a folder of its own.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// The smallest experiment with all stages: one synthetic corpus, two arms that share a model.
pub(crate) const TINY: &str = r#"
[experiment]
question   = "What do masks change?"
baseline   = "free"
min_effect = 1.0
seeds      = { start = 1, count = 1 }

[[arm]]
name = "free"
set  = { "generate.rules" = "none" }

[[arm]]
name = "masked"
set  = { "generate.rules" = "exact" }

[data]
pool      = ["synth-news"]
target    = "synth-news"
max_test  = 12
max_valid = 8

[tokenizer]
vocabulary = 400

[model]
layers  = 1
width   = 32
heads   = 2
context = 192

[coarse]
enabled = false

[fine]
epochs   = 2
patience = false
subset   = { max_sentences = 48 }
valid    = { metric = "loss" }

[generate]
max_new_tokens = 24
"#;

/// A folder with an experiment, a store and reports.
pub(crate) struct Lab {
    dir: TempDir,
}

impl Lab {
    pub(crate) fn new(experiment: &str) -> Self {
        let lab = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::write(lab.path("experiment.toml"), experiment).unwrap();
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inerd-under-test"));
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        for name in
            ["INERD_DATA", "INERD_STORE", "INERD_REPORTS", "INERD_MODELS", "INERD_TEXTS", "INERD_CARDS", "INERD_DEVICE"]
        {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended(self.command(arguments).output().unwrap())
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// A run whose reader closes stdout before anything is written.
    pub(crate) fn run_unread(&self, arguments: &[&str]) -> Ended {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        Ended(child.wait_with_output().unwrap())
    }

    /// Contents of all files of one name in the store, by artefact.
    pub(crate) fn stored(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let (mut found, objects) = (BTreeMap::new(), self.path("store/objects"));
        collect(&objects, name, &mut found);
        // `ab/abcd…/…`, wherever in the artefact the file lies.
        let artefact = |path: &Path| path.strip_prefix(&objects).unwrap().iter().nth(1).unwrap().to_owned();
        found.into_iter().map(|(path, bytes)| (artefact(&path).to_string_lossy().into_owned(), bytes)).collect()
    }
}

fn collect(dir: &Path, name: &str, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, name, found);
        } else if path.file_name().is_some_and(|n| n == name) {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
}

/// How a command ended.
pub(crate) struct Ended(Output);

impl Ended {
    pub(crate) fn code(&self) -> i32 {
        self.0.status.code().unwrap_or(-1)
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    /// Messages, with line breaks and drawing characters folded so that wrapping doesn't matter.
    pub(crate) fn said(&self) -> String {
        let text = String::from_utf8_lossy(&self.0.stderr).replace(['│', '╭', '╰', '─', '▶', '·'], " ");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32, said: &[&str]) -> Self {
        let text = self.said();
        assert_eq!(self.code(), code, "{text}");
        for part in said {
            assert!(text.contains(part), "`{part}` is not said in: {text}");
        }
        self
    }
}
