//! A trained model answers the sentences of a corpus, each under its own automaton.

use std::path::PathBuf;
use std::sync::Arc;

use inerd_decoding::{Codec, EntityOrder, FormatSettings, Layout, Rule, RuleSettings, TypeNames};
use inerd_experiment::{
    Format, GenerateStage, Granularity, Order, Rules, Strategy, Style, TokenizerRef, TypeSet, Verbalise,
};
use inerd_lm::Tokenizer;
use inerd_text::{Generation, Schema, Sentence};

use super::Job;
use super::answer::{self, Alternatives, Answering};
use super::corpus::SCHEMA;
use super::spans::{Action, Judge, markers};
use super::tokenizer::TOKENIZER;
use super::train::initial;
use crate::vocabulary::Vocabulary;
use crate::{Context, Error};

/// The sentences of a held-out corpus artefact.
pub const SENTENCES: &str = "sentences.jsonl";
/// The answers of a generate artefact, in the order of the sentences.
pub const GENERATIONS: &str = "generations.jsonl";
/// The n-best lists of a generate artefact, where more than one answer was asked for.
pub const ALTERNATIVES: &str = "alternatives.jsonl";
/// What the span classifier said about the entities of the answers, where there is one ([`crate::Verdicts`]).
pub const VERDICTS: &str = "verdicts.jsonl";
/// What each masking rule removed ([`inerd_decoding::MaskAudit`]).
pub const AUDIT: &str = "audit.json";

/// What the authors' code allows beyond the gold answer's length, in tokens.
const GOLD_LENGTH: usize = 10;

pub(crate) fn work(job: &mut Job<'_>, stage: &GenerateStage) -> Result<(), Error> {
    let settings = &stage.settings;
    let corpus = job.parent(stage.corpus)?;
    let sentences: Vec<Sentence> = corpus.json_lines(SENTENCES)?;
    let mut schemas: Vec<Schema> = Vec::new();
    if settings.types != TypeSet::Training {
        schemas.push(corpus.json(SCHEMA)?);
    }
    for training in &stage.training_corpora {
        schemas.push(job.parent(*training)?.json(SCHEMA)?);
    }
    let tokenizer = tokenizer_for(job.context, &stage.tokenizer, &stage.format)?;
    // Without a training there are the weights that it would have begun with.
    let model = initial(job, &stage.weights, &stage.model, &tokenizer)?;
    let model = if stage.format.special_tokens { model.with_vocabulary(tokenizer.vocab_size()) } else { model };
    model.check_tokenizer(&tokenizer)?;
    let codec = codec(&tokenizer, &stage.format, Schema::union(&schemas))?;
    let answering = Answering {
        model: &model,
        tokenizer: &tokenizer,
        codec: &codec,
        rules: limited(&settings.rules, settings)?,
        cued: stage.format.dataset_cue,
        strategy: match settings.strategy {
            Strategy::Greedy => answer::Strategy::Greedy,
            Strategy::Beam => answer::Strategy::Beam { beams: settings.beams, n_best: settings.n_best },
            Strategy::Sample => answer::Strategy::Sample {
                temperature: settings.temperature,
                draws: settings.n_best,
                seed: stage.seed.or(settings.seed).unwrap_or(0),
            },
        },
        max_new_tokens: settings.max_new_tokens,
        gold_length: settings.gold_length.then_some(GOLD_LENGTH),
        batch: job.at_once(settings.batch),
    };
    let (context, total) = (job.context, sentences.len());
    let mut progress = |done| job.progress("sentence", done, total, "generating".to_owned());
    let lists = answering.answers(&sentences, context, &mut progress)?;
    let mut generations: Vec<Generation> =
        sentences.iter().zip(&lists).map(|(sentence, list)| answering.read(sentence, list)).collect();
    if let Some(settings) = &stage.pl_marker {
        let markers = markers(&tokenizer, &codec, settings)?;
        let judge = Judge { model: &model, codec: &codec, markers, settings, cued: stage.format.dataset_cue };
        let mut progress = |done| job.progress("sentence", done, total, "judging spans".to_owned());
        let verdicts = judge.judge(&sentences, &mut generations, context, &mut progress)?;
        for (name, action) in [("vetoed", Action::Vetoed), ("retyped", Action::Retyped), ("proposed", Action::Proposed)]
        {
            let count = verdicts.iter().flat_map(|v| &v.verdicts).filter(|v| v.action == action).count();
            job.fact(name, count as f64);
        }
        job.write_json_lines(VERDICTS, &verdicts)?;
    }
    job.fact("sentences", sentences.len() as f64);
    job.fact("tokens", generations.iter().map(|g| g.tokens).sum::<usize>() as f64);
    job.write_json_lines(GENERATIONS, &generations)?;
    if settings.n_best > 1 {
        let alternatives: Vec<Alternatives> =
            sentences.iter().zip(&lists).map(|(sentence, list)| answering.alternatives(sentence, list)).collect();
        job.write_json_lines(ALTERNATIVES, &alternatives)?;
    }
    if settings.audit && !settings.rules.is_none() {
        let mut progress = |done| job.progress("sentence", done, total, "auditing the mask".to_owned());
        let audit = answering.audit(&sentences, &lists, context, &mut progress)?;
        job.write_json(AUDIT, &audit)?;
    }
    Ok(())
}

pub(crate) fn codec(tokenizer: &Arc<Tokenizer>, format: &Format, schema: Schema) -> Result<Codec, Error> {
    if format.verbalise == Verbalise::Described {
        return Err(Error::Unsupported("`verbalise = \"described\"` is not there yet".to_owned()));
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

/// The rules of a decoding, with the limits that its settings name.
fn limited(names: &Rules, settings: &inerd_experiment::Generate) -> Result<inerd_decoding::Rules, Error> {
    let mut rules = rules(names, settings.granularity)?;
    if rules.contains(Rule::MaxSpan) {
        rules = rules.with_max_span(settings.max_span as u32);
    }
    if rules.contains(Rule::MaxEntities) {
        rules = rules.with_max_entities(settings.max_entities as u32);
    }
    Ok(rules)
}

/// The tokenizer of a stage that writes entities: with the separators as tokens of their own, where the format says so.
pub(crate) fn tokenizer_for(
    context: &Context,
    tokenizer: &TokenizerRef,
    format: &Format,
) -> Result<Arc<Tokenizer>, Error> {
    let plain = self::tokenizer(context, tokenizer)?;
    if !format.special_tokens {
        return Ok(plain);
    }
    let separators = separators(format);
    for name in separators {
        if plain.token_id(name).is_some_and(|id| !plain.token_bytes(id).is_empty()) {
            return Err(Error::Unsupported(format!(
                "`{name}` is a word of the vocabulary already: with `format.special_tokens` the separators need names \
                 of their own, such as <TCS> and <ES>"
            )));
        }
    }
    Ok(Arc::new(Tokenizer::clone(&plain).with_tokens(&separators)?))
}

/// Between a type and its content, and after an entity.
pub(crate) fn separators(format: &Format) -> [&str; 2] {
    [format.type_separator.trim(), format.entity_separator.trim()]
}

pub(crate) fn tokenizer(context: &Context, tokenizer: &TokenizerRef) -> Result<Arc<Tokenizer>, Error> {
    let (path, eos) = match tokenizer {
        TokenizerRef::Stage(id) => (context.store.get(*id)?.path(TOKENIZER), None),
        TokenizerRef::File(file) => (PathBuf::from(&file.name), None),
        TokenizerRef::Model(model) => {
            context.inputs.unchanged("model", model)?;
            let dir = context.inputs.model_dir(&model.name);
            (dir.join(TOKENIZER), inerd_lm::Config::read(&dir.join("config.json"))?.eos_token())
        }
    };
    Ok(Arc::new(Tokenizer::load(&path, eos)?))
}
