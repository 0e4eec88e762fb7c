//! Points and seeds to stages: equal stages are one, across arms and experiments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arms::{Arm, Point};
use crate::canonical::canonical_json;
use crate::define::Names;
use crate::experiment::Experiment;
use crate::fingerprint::Fingerprint;
use crate::settings::{
    Generate, Lora, LoraMode, Loss, Model, ModelKind, Precision, Rules, Schedule, Settings, Sharing, Split, Strategy,
    Subset, TokenizerKind, Training, TypeSet,
};
use crate::stage::{
    CorpusPart, CorpusStage, GenerateStage, InputRef, Numerics, PretrainStage, ScoreStage, Stage, StageKind,
    TokenizerRef, TokenizerStage, TrainStage, Weights,
};

/// What a plan must know about the world: the content of its inputs. Implemented over dataset cards and model folders
/// by the runner, and by tables in tests; the plan itself reads nothing.
pub trait Inputs {
    /// A dataset, by name.
    fn dataset(&self, name: &str) -> Result<Dataset, InputError>;
    /// A pretrained model, by name or path.
    fn model(&self, path: &str) -> Result<BaseModel, InputError>;
    /// A plain-text corpus for pre-training, by name.
    fn corpus(&self, name: &str) -> Result<Text, InputError>;
    /// The hash of a file, such as a `tokenizer.json`.
    fn file(&self, path: &str) -> Result<Fingerprint, InputError>;
    /// The device's class.
    fn backend(&self) -> Backend {
        Backend::Cpu
    }
}

/// The class of the device that computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    #[default]
    Cpu,
    Cuda,
}

/// Facts about a dataset. Sizes serve the prediction of cost; zeros mean "unknown".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Hash of the content, or of what its card promises where the data aren't at hand.
    pub fingerprint: Fingerprint,
    /// Whether the data are at hand.
    pub present: bool,
    pub train: SplitSize,
    pub valid: SplitSize,
    pub test: SplitSize,
}

/// Size of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SplitSize {
    pub sentences: usize,
    /// Words, as the dataset has them.
    pub words: usize,
    pub entities: usize,
}

/// Facts about a pretrained model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseModel {
    /// Hash of configuration, weights and tokenizer.
    pub fingerprint: Fingerprint,
    pub present: bool,
    pub parameters: u64,
    pub layers: usize,
    pub width: usize,
    pub vocabulary: usize,
    pub context: usize,
}

/// Facts about a plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    pub fingerprint: Fingerprint,
    pub present: bool,
    pub bytes: u64,
}

/// An input that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InputError {
    pub message: String,
    /// What to do.
    pub help: String,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Inputs that no card or folder describes, each once.
    #[error("plan {experiment}: {}", list(unknown))]
    UnknownInputs { experiment: String, unknown: Vec<InputError> },
    #[error("plan {experiment}: no arm has a point")]
    Empty { experiment: String },
}

fn list(unknown: &[InputError]) -> String {
    unknown.iter().map(|e| format!("{} ({})", e.message, e.help)).collect::<Vec<_>>().join("; ")
}

/// Everything an experiment will do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub experiment: String,
    /// Parents before children; equal stages once.
    pub stages: Vec<Stage>,
    /// What the report's tables are made of: one per arm, point, dataset and seed.
    pub cells: Vec<Cell>,
}

/// One result: a score stage and what it stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    pub arm: String,
    /// Dotted key and value of the arm's axes.
    pub point: BTreeMap<String, Value>,
    /// The dataset that was decoded.
    pub dataset: String,
    pub seed: u64,
    /// The score stage.
    pub score: Fingerprint,
    /// The training stages behind it, first to last. Cells that share a training stage are not independent.
    pub lineage: Vec<Fingerprint>,
}

impl Plan {
    /// Plans every point of every arm for every seed.
    ///
    /// # Errors
    /// Where inputs are named that `inputs` doesn't know. Inputs that are known and not at hand are no error here: the
    /// stages that need them list them as missing.
    pub fn build(experiment: &Experiment, inputs: &dyn Inputs) -> Result<Self, PlanError> {
        let mut builder = Builder::new(inputs);
        let mut cells = Vec::new();
        for arm in &experiment.arms {
            for point in &arm.points {
                for seed in experiment.question.seeds.iter() {
                    builder.point(arm, point, seed, &mut cells);
                }
            }
        }
        if !builder.unknown.is_empty() {
            let unknown = builder.unknown.into_values().collect();
            return Err(PlanError::UnknownInputs { experiment: experiment.name.clone(), unknown });
        }
        if cells.is_empty() {
            return Err(PlanError::Empty { experiment: experiment.name.clone() });
        }
        Ok(Self { experiment: experiment.name.clone(), stages: builder.stages, cells })
    }

    /// The stage of an id.
    pub fn stage(&self, id: Fingerprint) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.id == id)
    }

    /// Whether a stage is a score, which is what a whole run asks for.
    pub fn is_score(stage: &Stage) -> bool {
        matches!(stage.kind, StageKind::Score(_))
    }

    /// The identity of the whole plan: what it would compute, and for which cells.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(canonical_json(&serde_json::to_value(&self.cells).unwrap_or_default()))
    }
}

/// Collects stages; equal ones once.
struct Builder<'a> {
    inputs: &'a dyn Inputs,
    stages: Vec<Stage>,
    known: BTreeMap<Fingerprint, usize>,
    datasets: BTreeMap<String, Option<Dataset>>,
    models: BTreeMap<String, Option<BaseModel>>,
    texts: BTreeMap<String, Option<Text>>,
    files: BTreeMap<String, Option<Fingerprint>>,
    unknown: BTreeMap<String, InputError>,
}

/// An unknown input's stand-in: its plan is never handed out.
const NOTHING: Fingerprint = Fingerprint::from_bytes([0; 32]);

impl<'a> Builder<'a> {
    fn new(inputs: &'a dyn Inputs) -> Self {
        Self {
            inputs,
            stages: Vec::new(),
            known: BTreeMap::new(),
            datasets: BTreeMap::new(),
            models: BTreeMap::new(),
            texts: BTreeMap::new(),
            files: BTreeMap::new(),
            unknown: BTreeMap::new(),
        }
    }

    fn point(&mut self, arm: &Arm, point: &Point, seed: u64, cells: &mut Vec<Cell>) {
        let settings = &point.settings;
        let tokenizer = self.tokenizer(settings);
        let mut model = Progress {
            weights: self.initial_weights(settings, seed),
            shape: shape_of(&settings.model),
            tokenizer,
            lineage: Vec::new(),
            corpora: Vec::new(),
            numerics: Numerics::CpuF32,
            pl_marker: false,
        };
        if settings.pretrain.enabled {
            self.pretrain(settings, seed, &mut model);
        }
        let tested = settings.datasets(&settings.generate.datasets);
        let owner = || {
            let axes: Vec<_> = point.axes.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{}[{}]", arm.name, axes.join(","))
        };
        for (is_coarse, stage) in [(true, &settings.coarse), (false, &settings.fine)] {
            if stage.enabled {
                let replicate_of = (stage.share == Sharing::Never).then(owner);
                self.train(settings, stage, is_coarse, &tested, seed, replicate_of, &mut model);
            }
        }
        if model.lineage.is_empty() {
            model.numerics = self.numerics(Precision::Auto);
        }
        for dataset in tested {
            let score = self.decode_and_score(settings, &dataset, seed, &model);
            let point = point.axes.iter().cloned().collect();
            cells.push(Cell { arm: arm.name.clone(), point, dataset, seed, score, lineage: model.lineage.clone() });
        }
    }

    fn add(&mut self, kind: StageKind, label: String, missing: Vec<String>) -> Fingerprint {
        let id = kind.fingerprint();
        if !self.known.contains_key(&id) {
            let parents = kind.parents();
            self.known.insert(id, self.stages.len());
            self.stages.push(Stage { id, kind, parents, label, missing });
        }
        id
    }

    fn tokenizer(&mut self, settings: &Settings) -> TokenizerRef {
        match settings.tokenizer.kind {
            TokenizerKind::Train => {
                let names = settings.datasets(&settings.tokenizer.datasets);
                // Without a pool, "all" means what is trained and tested on.
                let names = if names.is_empty() && settings.tokenizer.corpora.0.is_empty() {
                    let fine = settings.datasets(&settings.fine.datasets);
                    if fine.is_empty() { settings.datasets(&settings.coarse.datasets) } else { fine }
                } else {
                    names
                };
                let (datasets, mut missing) = self.datasets(&names);
                let (corpora, absent) = self.texts(&settings.tokenizer.corpora);
                missing.extend(absent);
                let stage = TokenizerStage { vocabulary: settings.tokenizer.vocabulary, datasets, corpora };
                let label = format!("tokenizer {}", stage.vocabulary);
                TokenizerRef::Stage(self.add(StageKind::Tokenizer(stage), label, missing))
            }
            TokenizerKind::Model => TokenizerRef::Model(self.model(settings.model.path.as_deref().unwrap_or(""))),
            TokenizerKind::File => {
                let path = settings.tokenizer.path.as_deref().unwrap_or("");
                TokenizerRef::File(InputRef { name: path.to_owned(), fingerprint: self.file(path) })
            }
        }
    }

    fn initial_weights(&mut self, settings: &Settings, seed: u64) -> Weights {
        match settings.model.kind {
            ModelKind::Pretrained => Weights::Model(self.model(settings.model.path.as_deref().unwrap_or(""))),
            ModelKind::Scratch => {
                let first =
                    [(settings.coarse.enabled, settings.coarse.seed), (settings.fine.enabled, settings.fine.seed)];
                let fixed = if settings.pretrain.enabled {
                    settings.pretrain.seed
                } else {
                    first.into_iter().find(|(enabled, _)| *enabled).and_then(|(_, seed)| seed)
                };
                Weights::Random(fixed.unwrap_or(seed))
            }
        }
    }

    fn pretrain(&mut self, settings: &Settings, seed: u64, model: &mut Progress) {
        let mut own = settings.pretrain.clone();
        let (corpora, mut missing) = self.texts(&own.corpora);
        missing.extend(self.missing_model(&model.weights));
        let seed = own.seed.unwrap_or(seed);
        let numerics = self.numerics(own.precision);
        own.seed = None;
        own.corpora = Names::default();
        own.precision = Precision::Auto;
        if own.schedule != Schedule::Wsd {
            own.decay = 0.0;
        }
        let stage = PretrainStage {
            settings: own,
            model: model.shape.clone(),
            weights: model.weights.clone(),
            tokenizer: model.tokenizer.clone(),
            corpora,
            seed,
            numerics,
        };
        let label = format!("pretrain {} seed {seed}", settings.pretrain.corpora.0.join("+"));
        let id = self.add(StageKind::Pretrain(stage), label, missing);
        model.advance(id, numerics);
    }

    #[expect(clippy::too_many_arguments, reason = "one call site; a struct would only rename the arguments")]
    fn train(
        &mut self,
        settings: &Settings,
        stage: &Training,
        is_coarse: bool,
        tested: &[String],
        seed: u64,
        replicate_of: Option<String>,
        model: &mut Progress,
    ) {
        let mut names = settings.datasets(&stage.datasets);
        names.truncate(stage.max_datasets.unwrap_or(usize::MAX));
        let seed = stage.seed.unwrap_or(seed);
        let (corpus, mut missing) = self.training_corpus(settings, stage, &names, tested, seed);
        missing.extend(self.missing_model(&model.weights));
        let numerics = self.numerics(stage.precision);
        let parameters = self.parameters(settings);
        let train = TrainStage {
            settings: effective(stage, parameters),
            format: settings.format.clone(),
            model: model.shape.clone(),
            weights: model.weights.clone(),
            tokenizer: model.tokenizer.clone(),
            corpus,
            seed,
            numerics,
            replicate_of,
        };
        model.pl_marker = train.settings.pl_marker.is_some();
        let name = if is_coarse { "coarse" } else { "fine" };
        let label = format!("{name} {} seed {seed}", summary(&names));
        let kind = if is_coarse { StageKind::Coarse(train) } else { StageKind::Fine(train) };
        let id = self.add(kind, label, missing);
        model.advance(id, numerics);
        model.corpora.push(corpus);
    }

    fn training_corpus(
        &mut self,
        settings: &Settings,
        stage: &Training,
        names: &[String],
        tested: &[String],
        seed: u64,
    ) -> (Fingerprint, Vec<String>) {
        let (datasets, missing) = self.datasets(names);
        let decontaminate = if settings.data.decontaminate {
            let mut all: Vec<String> = names.iter().chain(tested).cloned().collect();
            all.sort();
            all.dedup();
            self.datasets(&all).0
        } else {
            Vec::new()
        };
        let mut merge = settings.data.merge.clone();
        if names.len() < 2 {
            merge.cap = None;
            merge.temperature = 1.0;
            merge.weights.clear();
        }
        merge.weights.retain(|name, weight| names.contains(name) && (*weight - 1.0).abs() > 0.0);
        let mut subset = stage.subset.clone();
        let draws = subset.fraction < 1.0
            || subset.max_sentences.is_some()
            || subset.shots.is_some()
            || merge.cap.is_some()
            || !merge.weights.is_empty()
            || (merge.temperature - 1.0).abs() > 0.0;
        let seed = draws.then(|| subset.seed.unwrap_or(seed));
        subset.seed = None;
        if !draws {
            subset = Subset::default();
        }
        let part = CorpusPart::Train {
            subset,
            max_valid: settings.data.max_valid,
            valid_fraction: settings.data.valid_fraction,
            decontaminate,
            seed,
            valid_is_test: stage.valid.on_test,
        };
        let seed_label = seed.map_or_else(String::new, |seed| format!(" seed {seed}"));
        let label = format!("corpus {} train{seed_label}", summary(names));
        (self.add(StageKind::Corpus(CorpusStage { part, datasets, merge }), label, missing.clone()), missing)
    }

    fn decode_and_score(&mut self, settings: &Settings, dataset: &str, seed: u64, model: &Progress) -> Fingerprint {
        let (datasets, missing) = self.datasets(&[dataset.to_owned()]);
        let data = &settings.data;
        let split = settings.generate.split;
        let max_sentences = match split {
            Split::Test => data.max_test,
            Split::Valid => data.max_valid,
        };
        let merge = crate::settings::Merge {
            types: data.merge.types,
            map: data.merge.map.clone(),
            ..crate::settings::Merge::default()
        };
        let part = CorpusPart::Held { split, max_sentences, valid_fraction: data.valid_fraction };
        let corpus = CorpusStage { part, datasets, merge };
        let corpus = self.add(StageKind::Corpus(corpus), format!("corpus {dataset} {}", split.word()), missing.clone());

        let (generate, seed) = effective_decoding(&settings.generate, seed);
        let training_corpora = if generate.types == TypeSet::Dataset { Vec::new() } else { model.corpora.clone() };
        let stage = GenerateStage {
            format: settings.format.clone(),
            model: model.shape.clone(),
            weights: model.weights.clone(),
            tokenizer: model.tokenizer.clone(),
            corpus,
            training_corpora,
            seed,
            numerics: model.numerics,
            pl_marker: model.pl_marker,
            settings: generate,
        };
        let label = format!("generate {dataset} {} rules {}", split.word(), settings.generate.rules.0.join("+"));
        let mut missing = missing;
        missing.extend(self.missing_model(&model.weights));
        let generations = self.add(StageKind::Generate(stage), label, missing);
        let score = ScoreStage { settings: settings.score.clone(), generations, corpus };
        self.add(StageKind::Score(score), format!("score {dataset} {}", split.word()), Vec::new())
    }

    fn datasets(&mut self, names: &[String]) -> (Vec<InputRef>, Vec<String>) {
        let mut refs = Vec::new();
        let mut missing = Vec::new();
        for name in names {
            if !self.datasets.contains_key(name) {
                let found = self.inputs.dataset(name);
                let found = self.note(format!("dataset {name}"), found);
                self.datasets.insert(name.clone(), found);
            }
            let dataset = self.datasets.get(name).and_then(Option::as_ref);
            if dataset.is_some_and(|dataset| !dataset.present) {
                missing.push(format!("dataset {name}"));
            }
            let fingerprint = dataset.map_or(NOTHING, |dataset| dataset.fingerprint);
            refs.push(InputRef { name: name.clone(), fingerprint });
        }
        (refs, missing)
    }

    fn texts(&mut self, names: &Names) -> (Vec<InputRef>, Vec<String>) {
        let mut refs = Vec::new();
        let mut missing = Vec::new();
        for name in names.iter() {
            if !self.texts.contains_key(name) {
                let found = self.inputs.corpus(name);
                let found = self.note(format!("corpus {name}"), found);
                self.texts.insert(name.to_owned(), found);
            }
            let text = self.texts.get(name).and_then(Option::as_ref);
            if text.is_some_and(|text| !text.present) {
                missing.push(format!("corpus {name}"));
            }
            refs.push(InputRef { name: name.to_owned(), fingerprint: text.map_or(NOTHING, |text| text.fingerprint) });
        }
        (refs, missing)
    }

    fn model(&mut self, path: &str) -> InputRef {
        if !self.models.contains_key(path) {
            let found = self.inputs.model(path);
            let found = self.note(format!("model {path}"), found);
            self.models.insert(path.to_owned(), found);
        }
        let fingerprint = self.models.get(path).and_then(Option::as_ref).map_or(NOTHING, |model| model.fingerprint);
        InputRef { name: path.to_owned(), fingerprint }
    }

    fn missing_model(&self, weights: &Weights) -> Option<String> {
        match weights {
            Weights::Model(model) => {
                let found = self.models.get(&model.name)?.as_ref()?;
                (!found.present).then(|| format!("model {}", model.name))
            }
            Weights::Random(_) | Weights::Stage(_) => None,
        }
    }

    fn file(&mut self, path: &str) -> Fingerprint {
        if !self.files.contains_key(path) {
            let found = self.inputs.file(path);
            let found = self.note(format!("file {path}"), found);
            self.files.insert(path.to_owned(), found);
        }
        self.files.get(path).copied().flatten().unwrap_or(NOTHING)
    }

    fn note<T>(&mut self, what: String, found: Result<T, InputError>) -> Option<T> {
        found.map_err(|error| self.unknown.insert(what, error)).ok()
    }

    fn numerics(&self, precision: Precision) -> Numerics {
        match (self.inputs.backend(), precision) {
            (Backend::Cpu, Precision::Auto | Precision::F32) => Numerics::CpuF32,
            (Backend::Cpu, Precision::Bf16) => Numerics::CpuBf16,
            (Backend::Cuda, Precision::F32) => Numerics::CudaF32,
            (Backend::Cuda, Precision::Auto | Precision::Bf16) => Numerics::CudaBf16,
        }
    }

    fn parameters(&self, settings: &Settings) -> u64 {
        match settings.model.kind {
            ModelKind::Scratch => scratch_parameters(&settings.model, settings.tokenizer.vocabulary),
            ModelKind::Pretrained => {
                let path = settings.model.path.as_deref().unwrap_or("");
                self.models.get(path).and_then(Option::as_ref).map_or(0, |model| model.parameters)
            }
        }
    }
}

/// The model on its way through the stages of a point.
struct Progress {
    weights: Weights,
    shape: Model,
    tokenizer: TokenizerRef,
    lineage: Vec<Fingerprint>,
    corpora: Vec<Fingerprint>,
    numerics: Numerics,
    pl_marker: bool,
}

impl Progress {
    fn advance(&mut self, id: Fingerprint, numerics: Numerics) {
        self.weights = Weights::Stage(id);
        self.numerics = numerics;
        self.lineage.push(id);
    }
}

/// Parameters of a model from scratch, tied embeddings: `V d + C d + L (12 d² + 13 d) + 2 d` (GPT-2).
pub fn scratch_parameters(model: &Model, vocabulary: usize) -> u64 {
    let (v, d, c, l) = (vocabulary as u64, model.width as u64, model.context as u64, model.layers as u64);
    v * d + c * d + l * (12 * d * d + 13 * d) + 2 * d
}

/// A pretrained model's shape is its own; what the file says about shapes is switched off.
fn shape_of(model: &Model) -> Model {
    match model.kind {
        ModelKind::Scratch => Model { path: None, ..model.clone() },
        ModelKind::Pretrained => Model { kind: ModelKind::Pretrained, ..Model::default() },
    }
}

/// Training settings with everything that other keys switch off at its default, so that it takes no part in the
/// identity; data and seed stand elsewhere in the stage.
fn effective(stage: &Training, parameters: u64) -> Training {
    let mut own = stage.clone();
    own.enabled = true;
    own.datasets = Names::default();
    own.max_datasets = None;
    own.subset = Subset::default();
    own.seed = None;
    own.precision = Precision::Auto;
    own.share = Sharing::Auto;
    if own.loss == Loss::Response {
        own.mask = Rules::preset("exact");
    }
    if own.schedule != Schedule::Wsd {
        own.decay = 0.0;
    }
    let adapters = match own.lora.mode {
        LoraMode::On => true,
        LoraMode::Off => false,
        LoraMode::Auto => parameters > 3_000_000_000,
    };
    own.lora = if adapters {
        Lora { mode: LoraMode::On, ..own.lora }
    } else {
        Lora { mode: LoraMode::Off, ..Lora::default() }
    };
    own
}

/// Decoding settings with everything that other keys switch off at its default, and the seed where something is drawn.
fn effective_decoding(generate: &Generate, seed: u64) -> (Generate, Option<u64>) {
    let mut own = generate.clone();
    let defaults = Generate::default();
    let seed = (own.strategy == Strategy::Sample).then(|| own.seed.unwrap_or(seed));
    own.seed = None;
    own.datasets = Names::default();
    if own.strategy != Strategy::Beam {
        own.beams = defaults.beams;
    }
    if own.strategy != Strategy::Sample {
        own.temperature = defaults.temperature;
    }
    let has = |rule: &str| generate.rules.iter().any(|known| known == rule);
    if !has("max-span") {
        own.max_span = defaults.max_span;
    }
    if !has("max-entities") {
        own.max_entities = defaults.max_entities;
    }
    if own.rules.is_none() {
        own.granularity = defaults.granularity;
        own.types = defaults.types;
        own.audit = defaults.audit;
    }
    (own, seed)
}

/// Dataset names for a label.
fn summary(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [a, b] => format!("{a}+{b}"),
        [a, .., z] => format!("{a}+…+{z} ({})", names.len()),
    }
}
