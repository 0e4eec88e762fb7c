//! An experiment, read and resolved.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;

use crate::arms::{Arm, expand};
use crate::file::{ArmText, Block, Combined, Disk, Files, Question};
use crate::problem::{LoadError, Place, Problem};
use crate::settings::{Executor, Settings};
use crate::stage::Space;

/// An experiment file with everything it extends: what is asked, and every point of every arm with all of its settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// The file's name without `.toml`; files in a folder `small` or `full` get the folder in front.
    pub name: String,
    pub question: Question,
    /// In the order of the file.
    pub arms: Vec<Arm>,
    pub executor: Executor,
    /// Real, or the tiny rehearsal that [`Experiment::smoke`] makes.
    pub space: Space,
    /// Path and text of the file and of everything that it extends.
    pub sources: Vec<(PathBuf, String)>,
}

impl Experiment {
    /// Reads a file of the disk. `overrides` are pairs of dotted key and value: `("fine.lr", "3e-4")`.
    ///
    /// # Errors
    /// Everything that is wrong with the file, with what it extends and with the overrides, at once.
    pub fn load(path: impl AsRef<Path>, overrides: &[(String, String)]) -> Result<Self, LoadError> {
        Self::read(path, overrides, &Disk)
    }

    /// [`Experiment::load`] with files from elsewhere.
    pub fn read(path: impl AsRef<Path>, overrides: &[(String, String)], files: &dyn Files) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let mut file = Combined::default();
        file.add_file(path, files, None, &mut Vec::new());
        for (key, value) in overrides {
            file.add_override(key, value);
        }
        let mut problems = std::mem::take(&mut file.problems);
        let misread = problems.len();
        let experiment = resolve(name_of(path), &file, &mut problems);
        if misread > 0 {
            // A key that could not be read has its default; complaints about defaults would only confuse.
            let mut position = 0;
            problems.retain(|problem| {
                position += 1;
                position <= misread || problem.span().is_some()
            });
        }
        let mut seen = BTreeSet::new();
        problems.retain(|p| {
            seen.insert((p.message().to_owned(), p.file().map(ToOwned::to_owned), p.span().map(|s| s.start)))
        });
        if problems.is_empty() { Ok(experiment) } else { Err(LoadError { file: path.display().to_string(), problems }) }
    }

    /// The number of points over all arms.
    pub fn points(&self) -> usize {
        self.arms.iter().map(|arm| arm.points.len()).sum()
    }

    /// Changes the number of replicates: `+3` adds three to those there are, `5` makes it five. The first ones stay
    /// the same, so only new ones are trained.
    ///
    /// # Errors
    /// Where the text is neither, or gives no replicate.
    pub fn change_seeds(&mut self, text: &str) -> Result<(), InvalidSeeds> {
        let invalid = || InvalidSeeds(text.to_owned());
        let (more, digits) = match text.trim().strip_prefix('+') {
            Some(digits) => (self.question.seeds.count, digits),
            None => (0, text.trim()),
        };
        let number: usize = digits.parse().map_err(|_| invalid())?;
        let count = more.checked_add(number).filter(|count| (1..=10_000).contains(count)).ok_or_else(invalid)?;
        self.question.seeds.count = count;
        Ok(())
    }

    /// The whole sweep at a tiny size, in a fingerprint space of its own: every arm and every code path, a few
    /// sentences and steps each, at most two seeds. Models from scratch shrink; pretrained ones stay.
    #[must_use]
    pub fn smoke(mut self) -> Self {
        self.space = Space::Smoke;
        self.question.seeds.count = self.question.seeds.count.min(2);
        for point in self.arms.iter_mut().flat_map(|arm| &mut arm.points) {
            shrink(&mut point.settings);
        }
        self
    }
}

/// A number of seeds that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read the number of seeds from {0:?}: a number such as 5, or +3 for three more, at most 10000 in all")]
pub struct InvalidSeeds(String);

fn shrink(settings: &mut Settings) {
    let at_most = |limit: &mut Option<usize>, most: usize| *limit = Some(limit.unwrap_or(most).min(most));
    at_most(&mut settings.data.max_test, 8);
    at_most(&mut settings.data.max_valid, 8);
    settings.tokenizer.vocabulary = settings.tokenizer.vocabulary.min(600);
    let model = &mut settings.model;
    model.layers = model.layers.min(2);
    model.heads = model.heads.min(2);
    model.kv_heads = model.kv_heads.map(|shared| shared.min(model.heads));
    model.width = 16 * model.heads;
    model.context = model.context.min(512);
    let pretrain = &mut settings.pretrain;
    pretrain.batch = pretrain.batch.min(4);
    pretrain.micro_batch = None;
    pretrain.length = Some(pretrain.length.unwrap_or(64).min(64).min(model.context));
    at_most(&mut pretrain.max_steps, 3);
    for stage in [&mut settings.coarse, &mut settings.fine] {
        stage.batch = stage.batch.min(4);
        stage.micro_batch = stage.micro_batch.map(|_| 2).filter(|_| stage.batch == 4);
        stage.max_length = stage.max_length.map(|length| length.min(model.context));
        stage.epochs = stage.epochs.min(2);
        at_most(&mut stage.max_steps, 3);
        at_most(&mut stage.subset.max_sentences, 24);
        at_most(&mut stage.valid.max_sentences, 4);
        stage.valid.max_new_tokens = stage.valid.max_new_tokens.min(24);
    }
    settings.generate.max_new_tokens = settings.generate.max_new_tokens.min(24);
}

fn name_of(path: &Path) -> String {
    let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let folder = path.parent().and_then(Path::file_name).and_then(|folder| folder.to_str());
    match folder {
        Some(scale @ ("small" | "full")) => format!("{scale}-{stem}"),
        _ => stem,
    }
}

fn resolve(name: String, file: &Combined, problems: &mut Vec<Problem>) -> Experiment {
    let mut values = serde_json::to_value(Question::default()).unwrap_or_default();
    for assignment in &file.question {
        assignment.apply(&mut values);
    }
    let question = Question::deserialize(&values).unwrap_or_default();
    let place_of = |leaf: &str| {
        file.question.iter().rfind(|a| a.path.first().is_some_and(|first| first == leaf)).map(|a| a.place.clone())
    };

    let mut base = serde_json::to_value(Settings::default()).unwrap_or_default();
    for assignment in &file.top.set {
        assignment.apply(&mut base);
    }
    let arms = if file.arms.is_empty() { vec![only_arm(file, &place_of)] } else { file.arms.clone() };
    let named = |name: &str| arms.iter().any(|arm| arm.name == name);
    let list = || arms.iter().map(|arm| arm.name.as_str()).collect::<Vec<_>>().join(", ");
    for (key, names) in [
        ("baseline", question.baseline.iter().map(String::as_str).collect::<Vec<_>>()),
        ("contrast", question.contrast.iter().collect()),
        ("arms", question.arms.iter().collect()),
    ] {
        for name in names.into_iter().filter(|name| !named(name)) {
            let message = format!("`experiment.{key}` names \"{name}\", which is no arm");
            let near = crate::layer::nearest(name, arms.iter().map(|arm| arm.name.as_str()));
            let problem = Problem::new(message, place_of(key).as_ref());
            let problem = near.map_or(problem.clone(), |near| problem.label(format!("did you mean \"{near}\"?")));
            problems.push(problem.help(format!("arms: {}", list())));
        }
    }
    let chosen = |arm: &&ArmText| question.arms.0.is_empty() || question.arms.iter().any(|name| name == arm.name);
    let arms: Vec<Arm> = arms.iter().filter(chosen).map(|arm| expand(arm, file, &base, problems)).collect();
    for overridden in &file.overrides {
        overridden.apply(&mut base);
    }
    let executor = Settings::deserialize(&base).unwrap_or_default().executor;
    Experiment { name, question, arms, executor, space: Space::Real, sources: file.sources.clone() }
}

/// A file without arms has one, which is all of it.
fn only_arm(file: &Combined, place_of: &dyn Fn(&str) -> Option<Place>) -> ArmText {
    let nowhere =
        || Place { source: std::sync::Arc::new(miette::NamedSource::new("experiment", String::new())), span: 0..0 };
    let place = place_of("question").or_else(|| file.top.set.first().map(|a| a.place.clone())).unwrap_or_else(nowhere);
    ArmText { name: "main".to_owned(), place, all: Block::default(), blocks: Vec::new() }
}
