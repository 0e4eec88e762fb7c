//! A trained model answers the sentences of a corpus, each under its own automaton.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use inerd_decoding::{Automaton, Codec, EntityOrder, FormatSettings, Layout, RuleSettings, State, TypeNames};
use inerd_experiment::{
    Format, GenerateStage, Granularity, Order, Rules, Strategy, Style, TokenizerRef, TypeSet, Verbalise, Weights,
};
use inerd_lm::{Allowed, Constraint, LanguageModel, Request, Settings, Tokenizer, generate};
use inerd_text::{Generation, Schema, Sentence};

use super::Job;
use super::corpus::SCHEMA;
use super::tokenizer::TOKENIZER;
use super::train::MODEL;
use crate::vocabulary::Vocabulary;
use crate::{Context, Error};

/// The sentences of a held-out corpus artefact.
pub const SENTENCES: &str = "sentences.jsonl";
/// The answers of a generate artefact, in the order of the sentences.
pub const GENERATIONS: &str = "generations.jsonl";

pub(crate) fn work(job: &mut Job<'_>, stage: &GenerateStage) -> Result<(), Error> {
    let settings = &stage.settings;
    if settings.strategy != Strategy::Greedy || settings.n_best != 1 || settings.gold_length || stage.pl_marker {
        return Err(Error::Unsupported(
            "beam search, sampling, n-best lists, `gold_length` and PL-Marker decoding are not there yet".to_owned(),
        ));
    }
    let corpus = job.parent(stage.corpus)?;
    let sentences: Vec<Sentence> = corpus.json_lines(SENTENCES)?;
    let mut schemas: Vec<Schema> = Vec::new();
    if settings.types != TypeSet::Training {
        schemas.push(corpus.json(SCHEMA)?);
    }
    for training in &stage.training_corpora {
        schemas.push(job.parent(*training)?.json(SCHEMA)?);
    }
    let tokenizer = tokenizer(job.context, &stage.tokenizer)?;
    let model = load_model(job.context, &stage.weights)?;
    model.check_tokenizer(&tokenizer)?;
    let codec = codec(&tokenizer, &stage.format, Schema::union(&schemas))?;
    let answering = Answering {
        model: &model,
        tokenizer: &tokenizer,
        codec: &codec,
        rules: rules(&settings.rules, settings.granularity)?,
        max_new_tokens: settings.max_new_tokens,
        batch: settings.batch,
    };
    let (context, total) = (job.context, sentences.len());
    let mut progress = |done| job.progress("sentence", done, total, "generating".to_owned());
    let generations = answering.answer(&sentences, context, &mut progress)?;
    job.fact("sentences", sentences.len() as f64);
    job.fact("tokens", generations.iter().map(|g| g.tokens).sum::<usize>() as f64);
    job.write_json_lines(GENERATIONS, &generations)
}

/// A model with everything it needs to answer sentences.
pub(crate) struct Answering<'a> {
    pub(crate) model: &'a LanguageModel,
    pub(crate) tokenizer: &'a Arc<Tokenizer>,
    pub(crate) codec: &'a Codec,
    pub(crate) rules: inerd_decoding::Rules,
    pub(crate) max_new_tokens: usize,
    pub(crate) batch: usize,
}

impl Answering<'_> {
    /// Answers in the order of the sentences; `progress` hears how many are done. A request to stop ends it between two
    /// batches.
    pub(crate) fn answer(
        &self,
        sentences: &[Sentence],
        context: &Context,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Generation>, Error> {
        let room = self.model.config.context();
        let mut requests = Vec::with_capacity(sentences.len());
        for sentence in sentences {
            let prompt = self.codec.prompt(&sentence.text);
            if prompt.len() >= room {
                let (id, length) = (sentence.id.clone(), prompt.len() + 1);
                return Err(Error::SentenceTooLong { id, length, context: room });
            }
            let automaton = self.codec.automaton(&sentence.text, &self.rules);
            let constraint = Box::new(Masked::new(automaton, Arc::clone(self.tokenizer)));
            requests.push(Request { prompt, constraint });
        }
        let settings = Settings {
            batch: self.batch,
            max_new_tokens: self.max_new_tokens,
            end_of_sequence: self.codec.tokenizer().eos(),
        };
        let mut outputs = Vec::with_capacity(requests.len());
        // Chunks are large enough for like lengths to meet, and small enough for a stop to be heard.
        let chunk = (self.batch * 8).max(1);
        while !requests.is_empty() {
            if context.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let rest = requests.split_off(chunk.min(requests.len()));
            let current = std::mem::replace(&mut requests, rest);
            let before = outputs.len();
            let mut tell = |done: usize| progress(before + done);
            outputs.extend(generate(self.model, current, settings, &context.device, &mut tell)?);
        }
        Ok(sentences
            .iter()
            .zip(outputs)
            .map(|(sentence, output)| {
                let parsed = self.codec.decode(&sentence.text, &output.ids, Some(&output.probabilities));
                Generation {
                    id: sentence.id.clone(),
                    output: parsed.output,
                    tokens: output.ids.len(),
                    truncated: output.truncated,
                    predictions: parsed.predictions,
                    unparsable: parsed.unparsable,
                }
            })
            .collect())
    }
}

/// An automaton as generation sees it.
struct Masked {
    automaton: Automaton,
    state: State,
    scratch: Vec<u32>,
    vocabulary: Arc<Tokenizer>,
}

impl Masked {
    fn new(automaton: Automaton, vocabulary: Arc<Tokenizer>) -> Self {
        let state = automaton.start();
        Self { automaton, state, scratch: Vec::new(), vocabulary }
    }
}

impl Constraint for Masked {
    fn allowed(&mut self) -> Allowed<'_> {
        match self.automaton.allowed(&self.state, &mut self.scratch) {
            inerd_decoding::Allowed::Any => Allowed::Any,
            inerd_decoding::Allowed::Only(tokens) => Allowed::Only(tokens),
            inerd_decoding::Allowed::Except(tokens) => Allowed::Except(tokens),
        }
    }

    fn forced(&mut self, run: &mut Vec<u32>) {
        // Rules that may give way must be asked at every step: nothing is certain beforehand.
        if !self.watches_free_choice() {
            self.automaton.forced(&self.state, run);
        }
    }

    fn advance(&mut self, token: u32) {
        // A token that the rules gave way to leaves the automaton where it is, as in the authors' code.
        let accepted = self.automaton.advance(&mut self.state, token);
        debug_assert!(accepted.is_ok() || self.watches_free_choice(), "the automaton refused what it had allowed");
    }

    fn watches_free_choice(&self) -> bool {
        self.automaton.masked_score().is_finite()
    }

    fn gives_way_to(&self, token: u32) -> bool {
        self.automaton.is_bypassed(token, self.vocabulary.token_bytes(token))
    }
}

pub(crate) fn codec(tokenizer: &Arc<Tokenizer>, format: &Format, schema: Schema) -> Result<Codec, Error> {
    if format.dataset_cue || format.special_tokens || format.verbalise == Verbalise::Described {
        return Err(Error::Unsupported(
            "`format.dataset_cue`, `special_tokens` and `verbalise = \"described\"` are not there yet".to_owned(),
        ));
    }
    let settings = inerd_decoding::FormatSettings {
        layout: match format.style {
            Style::TypeFirst => Layout::Paper,
            Style::ContentFirst => Layout::ContentFirst,
            Style::Inline => Layout::Inline,
            Style::Json => Layout::Json,
        },
        combine: format.combine.clone(),
        // The codec puts spaces around separators by itself, where the tokenizer wants them.
        tcs: format.type_separator.trim().to_owned(),
        es: format.entity_separator.trim().to_owned(),
        entity_order: match format.order {
            Order::Text => EntityOrder::Text,
            Order::Type => EntityOrder::Type,
            Order::Random => EntityOrder::Random,
        },
        type_names: match format.verbalise {
            Verbalise::Symbols => TypeNames::Symbols,
            // Cards give natural words already.
            Verbalise::Raw | Verbalise::Normalised | Verbalise::Described => TypeNames::Raw,
        },
        types_in_prompt: format.type_list,
        ..FormatSettings::default()
    };
    Ok(Codec::new(Arc::new(Vocabulary(Arc::clone(tokenizer))), settings, schema)?)
}

pub(crate) fn rules(names: &Rules, granularity: Granularity) -> Result<inerd_decoding::Rules, Error> {
    let rules = RuleSettings::new(names.iter()).map_err(|e| Error::Unsupported(e.to_string()))?.rules();
    Ok(rules.at(match granularity {
        Granularity::Token => inerd_decoding::Granularity::Token,
        Granularity::Text => inerd_decoding::Granularity::Text,
    }))
}

pub(crate) fn tokenizer(context: &Context, tokenizer: &TokenizerRef) -> Result<Arc<Tokenizer>, Error> {
    let (path, eos) = match tokenizer {
        TokenizerRef::Stage(id) => (context.store.get(*id)?.path(TOKENIZER), None),
        TokenizerRef::File(file) => (PathBuf::from(&file.name), None),
        TokenizerRef::Model(model) => {
            let dir = context.inputs.model_dir(&model.name);
            (dir.join(TOKENIZER), inerd_lm::Config::read(&dir.join("config.json"))?.eos_token())
        }
    };
    Ok(Arc::new(Tokenizer::load(&path, eos)?))
}

/// The weights of a trained or pretrained model.
pub(crate) fn load_model(context: &Context, weights: &Weights) -> Result<LanguageModel, Error> {
    let dir = match weights {
        Weights::Stage(id) => context.store.get(*id)?.path(MODEL),
        Weights::Model(model) => context.inputs.model_dir(&model.name),
        Weights::Random(_) => return Err(Error::Bug("random weights are made by a training stage".to_owned())),
    };
    Ok(LanguageModel::load(&dir, &context.device)?)
}
