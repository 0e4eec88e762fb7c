//! Points and seeds to stages: equal stages are one, across arms and experiments.

use std::collections::{BTreeMap, BTreeSet};

use crate::arms::{Arm, Point};
use crate::effective;
use crate::fingerprint::Fingerprint;
use crate::inputs::{Asked, Backend, InputError, Inputs, World};
use crate::plan::Cell;
use crate::settings::{
    CoRegularization, Merge, Model, ModelKind, PlMarker, Precision, Settings, Sharing, Split, Strategy, TokenizerKind,
    Training, TypeSet, ValidMetric,
};
use crate::stage::{
    CorpusPart, CorpusStage, GenerateStage, Numerics, PretrainStage, ScoreStage, Space, Stage, StageKind, TokenizerRef,
    TokenizerStage, TrainStage, Weights,
};
use crate::work::{ModelSize, Range, Sentences, Work, model_size, split, subset};

/// Collects stages; equal ones once.
pub(crate) struct Builder<'a> {
    world: World<'a>,
    space: Space,
    stages: Vec<Stage>,
    known: BTreeSet<Fingerprint>,
    /// From a stage, hashed as it is spelled, to its identity.
    seen: BTreeMap<Fingerprint, Fingerprint>,
}

/// The model on its way through the stages of a point.
struct Progress {
    weights: Weights,
    shape: Model,
    size: ModelSize,
    tokenizer: TokenizerRef,
    lineage: Vec<Fingerprint>,
    corpora: Vec<Fingerprint>,
    numerics: Numerics,
    pl_marker: Option<PlMarker>,
    adapters: bool,
    /// The base model, where it isn't at hand.
    missing: Vec<String>,
}

impl Progress {
    fn advance(&mut self, id: Fingerprint, numerics: Numerics) {
        self.weights = Weights::Stage(id);
        self.numerics = numerics;
        self.lineage.push(id);
        // From here on the weights come from a stage, and that one waits for the base model.
        self.missing.clear();
    }
}

impl<'a> Builder<'a> {
    pub(crate) fn new(inputs: &'a dyn Inputs, space: Space) -> Self {
        Self { world: World::new(inputs), space, stages: Vec::new(), known: BTreeSet::new(), seen: BTreeMap::new() }
    }

    pub(crate) fn finish(self) -> (Vec<Stage>, Vec<InputError>) {
        let mut stages = self.stages;
        crate::nested::link(&mut stages);
        (stages, self.world.unknown.into_values().collect())
    }

    /// Adds the stages of one point for one seed, and its cells.
    pub(crate) fn point(&mut self, arm: &Arm, point: &Point, seed: u64, cells: &mut Vec<Cell>) {
        let settings = &point.settings;
        let tokenizer = self.tokenizer(settings);
        let size = model_size(settings, &mut self.world);
        let (weights, missing) = self.initial_weights(settings, seed);
        let mut model = Progress {
            weights,
            shape: effective::shape(&settings.model),
            size,
            tokenizer,
            lineage: Vec::new(),
            corpora: Vec::new(),
            numerics: self.numerics(Precision::Auto),
            pl_marker: None,
            adapters: false,
            missing,
        };
        if settings.pretrain.enabled {
            self.pretrain(settings, seed, &mut model);
        }
        let tested = settings.datasets(&settings.generate.datasets);
        for (is_coarse, stage) in [(true, &settings.coarse), (false, &settings.fine)] {
            if stage.enabled {
                let replicate_of = (stage.share == Sharing::Never).then(|| owner(arm, point));
                self.train(settings, stage, is_coarse, &tested, seed, replicate_of, &mut model);
            }
        }
        for dataset in tested {
            let score = self.decode_and_score(settings, &dataset, seed, &model);
            let point = point.axes.iter().cloned().collect();
            cells.push(Cell { arm: arm.name.clone(), point, dataset, seed, score, lineage: model.lineage.clone() });
        }
    }

    fn add(&mut self, kind: StageKind, work: Work, label: String, missing: Vec<String>) -> Fingerprint {
        // Most stages come again and again: telling two of them apart is cheaper than their identity.
        let spelled = Fingerprint::of(serde_json::to_vec(&kind).unwrap_or_default());
        if let Some(id) = self.seen.get(&spelled) {
            return *id;
        }
        let id = kind.fingerprint(self.space);
        self.seen.insert(spelled, id);
        if self.known.insert(id) {
            let parents = kind.parents();
            self.stages.push(Stage { id, kind, parents, label, missing, continues: None, work });
        }
        id
    }

    fn tokenizer(&mut self, settings: &Settings) -> TokenizerRef {
        let own = &settings.tokenizer;
        match own.kind {
            TokenizerKind::Train => {
                let mut names = settings.datasets(&own.datasets);
                if names.is_empty() && own.corpora.0.is_empty() {
                    // Without a pool, "all" means what is trained on.
                    names = settings.datasets(&settings.coarse.datasets);
                    names.extend(settings.datasets(&settings.fine.datasets));
                    names.dedup();
                }
                let datasets = self.world.dataset_refs(&names);
                let corpora = self.world.text_refs(&own.corpora);
                let bytes: u64 = own.corpora.iter().filter_map(|name| Some(self.world.text(name)?.bytes)).sum();
                let sizes: Vec<_> = names.iter().map(|name| self.world.dataset(name).cloned()).collect();
                let sentences = split(sizes.iter().map(Option::as_ref), |d| d.train, None, 8000.0);
                // A sentence of plain text has about 100 bytes.
                let work = Work { sentences: sentences.count + bytes as f64 / 100.0, ..Work::default() };
                let missing = [datasets.missing, corpora.missing].concat();
                let stage =
                    TokenizerStage { vocabulary: own.vocabulary, datasets: datasets.refs, corpora: corpora.refs };
                let label = format!("tokenizer {} {}", summary(&names), stage.vocabulary);
                TokenizerRef::Stage(self.add(StageKind::Tokenizer(stage), work, label, missing))
            }
            TokenizerKind::Model => {
                TokenizerRef::Model(self.world.model_ref(settings.model.path.as_deref().unwrap_or("")).only())
            }
            TokenizerKind::File => {
                let path = own.path.as_deref().unwrap_or("");
                TokenizerRef::File(crate::stage::InputRef { name: path.to_owned(), fingerprint: self.world.file(path) })
            }
        }
    }

    fn initial_weights(&mut self, settings: &Settings, seed: u64) -> (Weights, Vec<String>) {
        match settings.model.kind {
            ModelKind::Pretrained => {
                let mut asked = self.world.model_ref(settings.model.path.as_deref().unwrap_or(""));
                let missing = std::mem::take(&mut asked.missing);
                (Weights::Model(asked.only()), missing)
            }
            ModelKind::Scratch => {
                let stages = [&settings.coarse, &settings.fine];
                let fixed = if settings.pretrain.enabled {
                    settings.pretrain.seed
                } else {
                    stages.into_iter().find(|stage| stage.enabled).and_then(|stage| stage.seed)
                };
                (Weights::Random(fixed.unwrap_or(seed)), Vec::new())
            }
        }
    }

    fn pretrain(&mut self, settings: &Settings, seed: u64, model: &mut Progress) {
        let own = &settings.pretrain;
        let Asked { refs: corpora, mut missing } = self.world.text_refs(&own.corpora);
        missing.append(&mut model.missing);
        let seed = own.seed.unwrap_or(seed);
        let numerics = self.numerics(own.precision);
        let bytes: u64 = own.corpora.iter().filter_map(|name| Some(self.world.text(name)?.bytes)).sum();
        let length = own.length.map_or(model.size.context, |length| length as f64);
        // English text has about 6 bytes per word with its space.
        let epoch = bytes as f64 / 6.0 * 1.5;
        let step = own.batch as f64 * length;
        let tokens = own.max_steps.map_or(f64::INFINITY, |steps| steps as f64 * step).min(epoch * own.epochs as f64);
        let work = Work {
            sentences: bytes as f64 / 100.0,
            trained: Range::exactly(tokens),
            tokens_at_once: own.micro_batch.unwrap_or(own.batch) as f64 * length,
            model: model.size,
            copies: 1.0,
            ..Work::default()
        };
        let stage = PretrainStage {
            settings: effective::pretrain(own),
            model: model.shape.clone(),
            weights: model.weights.clone(),
            tokenizer: model.tokenizer.clone(),
            corpora,
            seed,
            numerics,
        };
        let label = format!("pretrain {} seed {seed}", own.corpora.0.join("+"));
        let id = self.add(StageKind::Pretrain(stage), work, label, missing);
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
        missing.append(&mut model.missing);
        let numerics = self.numerics(stage.precision);
        let own = effective::training(stage, model.size.parameters);
        model.adapters = own.lora.mode == crate::settings::LoraMode::On;
        model.pl_marker = stage.pl_marker.as_ref().and_then(effective::verdicts);
        let work = self.training_work(settings, stage, &names, model);
        let train = TrainStage {
            settings: own,
            format: settings.format.clone(),
            model: model.shape.clone(),
            weights: model.weights.clone(),
            tokenizer: model.tokenizer.clone(),
            corpus,
            seed,
            numerics,
            replicate_of,
        };
        let name = if is_coarse { "coarse" } else { "fine" };
        let label = format!("{name} {} seed {seed}", summary(&names));
        let kind = if is_coarse { StageKind::Coarse(train) } else { StageKind::Fine(train) };
        let id = self.add(kind, work, label, missing);
        model.advance(id, numerics);
        model.corpora.push(corpus);
    }

    fn training_work(&mut self, settings: &Settings, stage: &Training, names: &[String], model: &Progress) -> Work {
        let sizes: Vec<_> = names.iter().map(|name| self.world.dataset(name).cloned()).collect();
        let vocabulary = model.size.vocabulary;
        let cap = settings.data.merge.cap;
        let train = subset(split(sizes.iter().map(Option::as_ref), |d| d.train, cap, vocabulary), &stage.subset);
        let valid = split(sizes.iter().map(Option::as_ref), |d| d.valid, settings.data.max_valid, vocabulary)
            .at_most(stage.valid.max_sentences);
        let most = stage
            .max_steps
            .map_or(f64::INFINITY, |steps| steps as f64 * stage.batch as f64 / train.count)
            .min(stage.epochs as f64);
        let patience = stage.patience.filter(|_| stage.valid.metric != ValidMetric::None);
        let fewest = patience.map_or(most, |patience| most.min(((patience + 1) * stage.valid.every) as f64));
        let epochs = Range { fewest, most };
        let looks = epochs.times(1.0 / stage.valid.every as f64);
        let decodes = stage.valid.metric == ValidMetric::F1;
        let copies = stage.co_regularization.as_ref().map_or(1, |co: &CoRegularization| co.copies) as f64;
        // Markers are read in passes of their own behind the text.
        let markers = stage.pl_marker.as_ref().map_or(0.0, |markers| train.trained_markers(markers));
        let longest = stage.max_length.map_or(model.size.context, |length| length as f64);
        Work {
            sentences: train.count,
            reused: 0.0,
            trained: epochs.times(train.count * (train.tokens() + markers)),
            prefilled: match stage.valid.metric {
                ValidMetric::F1 => looks.times(valid.count * valid.prompt),
                ValidMetric::Loss => looks.times(valid.count * valid.tokens()),
                ValidMetric::None => Range::default(),
            },
            decoded: if decodes {
                answers(valid, stage.valid.rules.is_none(), stage.valid.max_new_tokens).times_range(looks)
            } else {
                Range::default()
            },
            tokens_at_once: stage.micro_batch.unwrap_or(stage.batch) as f64
                * longest.min(4.0 * train.tokens()).max(train.tokens()),
            model: model.size,
            adapters: model.adapters,
            copies,
            assumed: train.assumed,
        }
    }

    fn training_corpus(
        &mut self,
        settings: &Settings,
        stage: &Training,
        names: &[String],
        tested: &[String],
        seed: u64,
    ) -> (Fingerprint, Vec<String>) {
        let Asked { refs: datasets, missing } = self.world.dataset_refs(names);
        let decontaminate = if settings.data.decontaminate {
            let all: BTreeSet<&String> = names.iter().chain(tested).collect();
            let Asked { refs, .. } = self.world.dataset_refs(&all.into_iter().collect::<Vec<_>>());
            refs
        } else {
            Vec::new()
        };
        let (merge, taken, seed) = effective::sampling(&settings.data.merge, stage, names, seed);
        let part = CorpusPart::Train {
            subset: taken,
            max_valid: settings.data.max_valid,
            valid_fraction: settings.data.valid_fraction,
            decontaminate,
            seed,
            valid_is_test: stage.valid.on_test,
        };
        let drawn = seed.map_or_else(String::new, |seed| format!(" seed {seed}"));
        let label = format!("corpus {} train{drawn}", summary(names));
        let sizes: Vec<_> = names.iter().map(|name| self.world.dataset(name).cloned()).collect();
        let read = split(sizes.iter().map(Option::as_ref), |d| d.train, None, 8000.0);
        let work = Work { sentences: read.count, assumed: read.assumed, ..Work::default() };
        let corpus = StageKind::Corpus(CorpusStage { part, datasets, merge });
        (self.add(corpus, work, label, missing.clone()), missing)
    }

    fn decode_and_score(&mut self, settings: &Settings, dataset: &str, seed: u64, model: &Progress) -> Fingerprint {
        let Asked { refs: datasets, mut missing } = self.world.dataset_refs(&[dataset]);
        let data = &settings.data;
        let held = settings.generate.split;
        let max_sentences = match held {
            Split::Test => data.max_test,
            Split::Valid => data.max_valid,
        };
        let facts = self.world.dataset(dataset).cloned();
        let part = |d: &crate::inputs::Dataset| if held == Split::Test { d.test } else { d.valid };
        let sentences = split([facts.as_ref()], part, max_sentences, model.size.vocabulary);
        let counted = Work { sentences: sentences.count, assumed: sentences.assumed, ..Work::default() };

        let merge = Merge { types: data.merge.types, map: data.merge.map.clone(), ..Merge::default() };
        let part = CorpusPart::Held { split: held, max_sentences, valid_fraction: data.valid_fraction };
        let corpus = StageKind::Corpus(CorpusStage { part, datasets, merge });
        let label = format!("corpus {dataset} {}", held.word());
        let corpus = self.add(corpus, counted.clone(), label, missing.clone());

        let (own, seed) = effective::decoding(&settings.generate, seed);
        let beams = if own.strategy == Strategy::Greedy { 1 } else { own.beams.max(own.n_best) } as f64;
        let judged = model.pl_marker.as_ref().map_or(0.0, |markers| sentences.judged_markers(markers));
        let work = Work {
            prefilled: Range::exactly(sentences.count * (sentences.prompt + judged)),
            decoded: answers(sentences, own.rules.is_none(), own.max_new_tokens).times(beams),
            tokens_at_once: own.batch as f64 * beams * (sentences.tokens() * 2.0).min(model.size.context.max(1.0)),
            model: model.size,
            adapters: model.adapters,
            copies: 1.0,
            ..counted.clone()
        };
        let what = format!("{dataset} {} {}", held.word(), own.rules.0.join("+"));
        let training_corpora = if own.types == TypeSet::Dataset { Vec::new() } else { model.corpora.clone() };
        let stage = GenerateStage {
            settings: own,
            format: settings.format.clone(),
            model: model.shape.clone(),
            weights: model.weights.clone(),
            tokenizer: model.tokenizer.clone(),
            corpus,
            training_corpora,
            seed,
            numerics: model.numerics,
            pl_marker: model.pl_marker.clone(),
        };
        missing.extend(model.missing.iter().cloned());
        let generations = self.add(StageKind::Generate(stage), work, format!("generate {what}"), missing);
        let score = ScoreStage { settings: settings.score.clone(), generations, corpus };
        self.add(StageKind::Score(score), counted, format!("score {what}"), Vec::new())
    }

    fn numerics(&self, precision: Precision) -> Numerics {
        match (self.world.inputs.backend(), precision) {
            (Backend::Cpu, Precision::Auto | Precision::F32) => Numerics::CpuF32,
            (Backend::Cpu, Precision::Bf16) => Numerics::CpuBf16,
            (Backend::Cuda, Precision::F32) => Numerics::CudaF32,
            (Backend::Cuda, Precision::Auto | Precision::Bf16) => Numerics::CudaBf16,
        }
    }
}

/// Tokens that answers take: as long as gold ones, or up to the limit where nothing makes a poor model stop.
fn answers(sentences: Sentences, free: bool, limit: usize) -> Range {
    let gold = sentences.answer.min(limit as f64);
    let longest = if free { limit as f64 } else { (2.0 * gold).min(limit as f64) };
    Range { fewest: sentences.count * gold, most: sentences.count * longest }
}

/// Whose copy an unshared stage is.
fn owner(arm: &Arm, point: &Point) -> String {
    let axes: Vec<_> = point.axes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{}[{}]", arm.name, axes.join(","))
}

/// Dataset names for a label.
fn summary<S: AsRef<str>>(names: &[S]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => one.as_ref().to_owned(),
        [a, b] => format!("{}+{}", a.as_ref(), b.as_ref()),
        [a, .., z] => format!("{}+…+{} ({})", a.as_ref(), z.as_ref(), names.len()),
    }
}
