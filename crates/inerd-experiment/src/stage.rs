//! Stages: what each kind does and reads, and how that becomes its identity.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::canonical::canonical_json;
use crate::define::{Kind, Table};
use crate::fingerprint::Fingerprint;
use crate::settings::{Format, Generate, Merge, Model, PlMarker, Pretrain, Score, Split, Subset, Training};
use crate::work::Work;

/// One unit of work and the artefact it makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Identity: BLAKE3 of [`StageKind::identity`].
    pub id: Fingerprint,
    pub kind: StageKind,
    /// The stages whose artefacts it reads, sorted.
    pub parents: Vec<Fingerprint>,
    /// For people: `fine wnut17 seed 2`. Takes no part in the identity.
    pub label: String,
    /// Inputs that are not at hand, such as `dataset conll2003`. The stage can't run before they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// A training stage on a part of the same data whose first steps are, provably, those of this one: this stage may
    /// begin with its checkpoint instead of with nothing. The artefact is the same either way, so this takes no part in
    /// the identity, and the other stage needn't exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<Fingerprint>,
    /// How much there is to do, for predictions. Takes no part in the identity.
    #[serde(default)]
    pub work: Work,
}

/// Whether a stage is part of a real experiment or of its tiny rehearsal: the two never share an artefact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Space {
    #[default]
    Real,
    Smoke,
}

/// What a stage does, with everything that it depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum StageKind {
    Tokenizer(TokenizerStage),
    Corpus(CorpusStage),
    Pretrain(PretrainStage),
    Coarse(TrainStage),
    Fine(TrainStage),
    Generate(GenerateStage),
    Score(ScoreStage),
}

/// Code versions: raised where a change of the code changes what a stage of the kind makes.
pub mod version {
    pub const TOKENIZER: u32 = 1;
    pub const CORPUS: u32 = 2;
    pub const PRETRAIN: u32 = 2;
    /// Coarse and fine.
    pub const TRAIN: u32 = 3;
    pub const GENERATE: u32 = 3;
    pub const SCORE: u32 = 2;
}

/// A named input from outside the store, with the hash of its content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InputRef {
    /// Name or path. The content's hash is the identity; where the name matters (datasets), it counts, too.
    pub name: String,
    pub fingerprint: Fingerprint,
}

/// Trains a byte-level BPE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenizerStage {
    pub vocabulary: usize,
    /// Datasets whose training splits are read.
    pub datasets: Vec<InputRef>,
    /// Plain-text corpora.
    pub corpora: Vec<InputRef>,
}

/// Where the tokenizer of a model comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", content = "of", rename_all = "kebab-case")]
pub enum TokenizerRef {
    /// A tokenizer stage.
    Stage(Fingerprint),
    /// The pretrained model's own.
    Model(InputRef),
    /// A `tokenizer.json`.
    File(InputRef),
}

/// Where a model's weights come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", content = "of", rename_all = "kebab-case")]
pub enum Weights {
    /// Random weights of the stage's `model`, drawn with this seed.
    Random(u64),
    /// A pretrained model.
    Model(InputRef),
    /// A pretrain, coarse or fine stage.
    Stage(Fingerprint),
}

/// Makes a corpus out of datasets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CorpusStage {
    pub part: CorpusPart,
    /// In the order of the file.
    pub datasets: Vec<InputRef>,
    pub merge: Merge,
}

/// Which part of its datasets a corpus holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "kebab-case")]
pub enum CorpusPart {
    /// Training and validation sentences.
    Train {
        subset: Subset,
        max_valid: Option<usize>,
        valid_fraction: f64,
        /// Test splits whose sentences must not be trained on.
        decontaminate: Vec<InputRef>,
        /// Seed of the draws; `None` where nothing is drawn.
        seed: Option<u64>,
        /// Patience looks at the test split (a leak that experiments measure).
        valid_is_test: bool,
    },
    /// The sentences that are decoded and scored: a fixed draw.
    Held { split: Split, max_sentences: Option<usize>, valid_fraction: f64 },
}

/// The arithmetic that a computing stage runs in: part of its identity, unlike the device's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Numerics {
    CpuF32,
    CpuBf16,
    CudaF32,
    CudaBf16,
}

/// Language modelling on plain text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PretrainStage {
    pub settings: Pretrain,
    pub model: Model,
    pub weights: Weights,
    pub tokenizer: TokenizerRef,
    pub corpora: Vec<InputRef>,
    pub seed: u64,
    pub numerics: Numerics,
}

/// Coarse- or fine-tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainStage {
    /// `lora.mode` is `on` or `off` here.
    pub settings: Training,
    pub format: Format,
    pub model: Model,
    pub weights: Weights,
    pub tokenizer: TokenizerRef,
    /// The corpus stage.
    pub corpus: Fingerprint,
    pub seed: u64,
    pub numerics: Numerics,
    /// Where sharing is off: whose own copy this is.
    pub replicate_of: Option<String>,
}

/// Decodes a corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerateStage {
    pub settings: Generate,
    pub format: Format,
    pub model: Model,
    pub weights: Weights,
    pub tokenizer: TokenizerRef,
    /// The corpus stage that holds the sentences.
    pub corpus: Fingerprint,
    /// The corpora the model was trained on, where the mask needs their types.
    pub training_corpora: Vec<Fingerprint>,
    /// Seed of sampling; `None` where nothing is drawn.
    pub seed: Option<u64>,
    pub numerics: Numerics,
    /// The verdicts of packed levitated markers, where the last training stage has them and they have a say.
    pub pl_marker: Option<PlMarker>,
}

/// Scores stored generations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreStage {
    pub settings: Score,
    pub generations: Fingerprint,
    pub corpus: Fingerprint,
}

impl StageKind {
    /// The kind's name: `corpus`, `fine`, …
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tokenizer(_) => "tokenizer",
            Self::Corpus(_) => "corpus",
            Self::Pretrain(_) => "pretrain",
            Self::Coarse(_) => "coarse",
            Self::Fine(_) => "fine",
            Self::Generate(_) => "generate",
            Self::Score(_) => "score",
        }
    }

    /// All kinds, in the order of a lineage.
    pub const NAMES: [&str; 7] = ["tokenizer", "corpus", "pretrain", "coarse", "fine", "generate", "score"];

    fn version(&self) -> u32 {
        match self {
            Self::Tokenizer(_) => version::TOKENIZER,
            Self::Corpus(_) => version::CORPUS,
            Self::Pretrain(_) => version::PRETRAIN,
            Self::Coarse(_) | Self::Fine(_) => version::TRAIN,
            Self::Generate(_) => version::GENERATE,
            Self::Score(_) => version::SCORE,
        }
    }

    /// The stages whose artefacts are read, sorted and without repeats.
    pub fn parents(&self) -> Vec<Fingerprint> {
        let of_tokenizer = |tokenizer: &TokenizerRef| match tokenizer {
            TokenizerRef::Stage(id) => Some(*id),
            TokenizerRef::Model(_) | TokenizerRef::File(_) => None,
        };
        let of_weights = |weights: &Weights| match weights {
            Weights::Stage(id) => Some(*id),
            Weights::Model(_) | Weights::Random(_) => None,
        };
        let mut parents: Vec<Fingerprint> = match self {
            Self::Tokenizer(_) | Self::Corpus(_) => Vec::new(),
            Self::Pretrain(stage) => {
                of_tokenizer(&stage.tokenizer).into_iter().chain(of_weights(&stage.weights)).collect()
            }
            Self::Coarse(stage) | Self::Fine(stage) => {
                let models = of_tokenizer(&stage.tokenizer).into_iter().chain(of_weights(&stage.weights));
                models.chain([stage.corpus]).collect()
            }
            Self::Generate(stage) => {
                let models = of_tokenizer(&stage.tokenizer).into_iter().chain(of_weights(&stage.weights));
                models.chain([stage.corpus]).chain(stage.training_corpora.iter().copied()).collect()
            }
            Self::Score(stage) => vec![stage.generations, stage.corpus],
        };
        parents.sort_unstable();
        parents.dedup();
        parents
    }

    /// What is hashed: everything that the artefact depends on, and nothing else. Declared-inert keys, keys that
    /// other keys switch off, names and paths of content-hashed inputs are left out.
    pub fn identity(&self) -> Value {
        let input = |input: &InputRef| json!(input.fingerprint);
        let named = |inputs: &[InputRef]| json!(inputs);
        let tokenizer = |tokenizer: &TokenizerRef| match tokenizer {
            TokenizerRef::Stage(id) => json!({ "stage": id }),
            TokenizerRef::Model(model) => json!({ "model": input(model) }),
            TokenizerRef::File(file) => json!({ "file": input(file) }),
        };
        let weights = |weights: &Weights| match weights {
            Weights::Random(seed) => json!({ "random": seed }),
            Weights::Model(model) => json!({ "model": input(model) }),
            Weights::Stage(id) => json!({ "stage": id }),
        };
        let body = match self {
            Self::Tokenizer(stage) => json!({
                "vocabulary": stage.vocabulary,
                "datasets": named(&stage.datasets),
                "corpora": stage.corpora.iter().map(input).collect::<Vec<_>>(),
            }),
            Self::Corpus(stage) => json!({
                "datasets": named(&stage.datasets),
                "merge": identity_of(&stage.merge, &Merge::TABLE),
                "part": stage.part,
            }),
            Self::Pretrain(stage) => json!({
                "settings": identity_of(&stage.settings, &Pretrain::TABLE),
                "model": identity_of(&stage.model, &Model::TABLE),
                "weights": weights(&stage.weights),
                "tokenizer": tokenizer(&stage.tokenizer),
                "corpora": stage.corpora.iter().map(input).collect::<Vec<_>>(),
                "seed": stage.seed,
                "numerics": stage.numerics,
            }),
            Self::Coarse(stage) | Self::Fine(stage) => json!({
                "settings": identity_of(&stage.settings, &Training::TABLE),
                "format": identity_of(&stage.format, &Format::TABLE),
                "model": identity_of(&stage.model, &Model::TABLE),
                "weights": weights(&stage.weights),
                "tokenizer": tokenizer(&stage.tokenizer),
                "corpus": stage.corpus,
                "seed": stage.seed,
                "numerics": stage.numerics,
                "replicate_of": stage.replicate_of,
            }),
            Self::Generate(stage) => json!({
                "settings": identity_of(&stage.settings, &Generate::TABLE),
                "format": identity_of(&stage.format, &Format::TABLE),
                "model": identity_of(&stage.model, &Model::TABLE),
                "weights": weights(&stage.weights),
                "tokenizer": tokenizer(&stage.tokenizer),
                "corpus": stage.corpus,
                "training_corpora": stage.training_corpora,
                "seed": stage.seed,
                "numerics": stage.numerics,
                "pl_marker": (stage.pl_marker.as_ref())
                    .map_or(Value::Bool(false), |markers| identity_of(markers, &PlMarker::TABLE)),
            }),
            Self::Score(stage) => json!({
                "settings": identity_of(&stage.settings, &Score::TABLE),
                "generations": stage.generations,
                "corpus": stage.corpus,
            }),
        };
        // Coarse- and fine-tuning are the same work: equal ones are one stage.
        let kind = match self {
            Self::Coarse(_) | Self::Fine(_) => "train",
            other => other.name(),
        };
        json!({ "kind": kind, "version": self.version(), "body": body })
    }

    /// The stage's identity in a space.
    pub fn fingerprint(&self, space: Space) -> Fingerprint {
        let mut text = canonical_json(&self.identity());
        if space == Space::Smoke {
            text.push_str("smoke");
        }
        Fingerprint::of(text)
    }
}

/// A settings table without what takes no part in an identity.
pub(crate) fn identity_of(settings: &impl Serialize, table: &'static Table) -> Value {
    let mut value = serde_json::to_value(settings).unwrap_or_default();
    strip(&mut value, table);
    value
}

fn strip(value: &mut Value, table: &'static Table) {
    let Value::Object(object) = value else { return };
    for field in table.fields {
        let drop = field.inert
            || (field.skip_default && object.get(field.name).is_some_and(|value| *value == (field.default)()));
        if drop {
            object.remove(field.name);
            continue;
        }
        let inner = match field.kind {
            Kind::Optional(inner) => *inner,
            kind => kind,
        };
        if let (Kind::Table(below), Some(value)) = (inner, object.get_mut(field.name)) {
            strip(value, below);
        }
    }
}
