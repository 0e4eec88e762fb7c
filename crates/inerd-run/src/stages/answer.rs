//! A model answers sentences, each under its own automaton: in batches (greedily, or by draws), or by a search per
//! sentence.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use inerd_decoding::{AuditWalk, Automaton, Codec, Hypothesis, MaskAudit, Rules, Search, State, n_best_confidence};
use inerd_lm::{
    Allowed, Branch, Branches, Constraint, Given, LanguageModel, Output, Request, Sampling, Settings, Tokenizer,
    generate, given_answers, random,
};
use inerd_text::{Generation, Prediction, Sentence};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::{Context, Error};

/// A model with everything it needs to answer sentences.
pub(crate) struct Answering<'a> {
    pub(crate) model: &'a LanguageModel,
    pub(crate) tokenizer: &'a Arc<Tokenizer>,
    pub(crate) codec: &'a Codec,
    pub(crate) rules: Rules,
    /// Each prompt begins with the name of the sentence's corpus.
    pub(crate) cued: bool,
    pub(crate) strategy: Strategy,
    pub(crate) max_new_tokens: usize,
    /// Stop at the gold answer's length plus this many tokens: a leak, to be measured.
    pub(crate) gold_length: Option<usize>,
    /// Sentences decoded together, where there is one beam.
    pub(crate) batch: usize,
}

/// How answers are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Strategy {
    Greedy,
    Beam {
        beams: usize,
        n_best: usize,
    },
    /// Several draws per sentence; equal ones count once.
    Sample {
        temperature: f64,
        draws: usize,
        seed: u64,
    },
}

/// The answers to one sentence, best first.
pub(crate) type NBest = Vec<Hypothesis>;

/// The answers to one sentence beside the best one, as they are stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alternatives {
    /// The sentence's id.
    pub id: String,
    /// All answers of the list, the best one included, best first.
    pub answers: Vec<Alternative>,
}

/// One answer of an n-best list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    pub output: String,
    /// Natural logarithm of the answer's probability under the mask.
    pub log_probability: f64,
    pub predictions: Vec<Prediction>,
}

impl Answering<'_> {
    /// The best answer to each sentence, in order; `progress` hears how many are done.
    pub(crate) fn answer(
        &self,
        sentences: &[Sentence],
        context: &Context,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Generation>, Error> {
        let lists = self.answers(sentences, context, progress)?;
        Ok(sentences.iter().zip(&lists).map(|(sentence, list)| self.read(sentence, list)).collect())
    }

    /// The answers to each sentence, in order. A request to stop ends it between two batches.
    pub(crate) fn answers(
        &self,
        sentences: &[Sentence],
        context: &Context,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<NBest>, Error> {
        let prompts = self.prompts(sentences)?;
        match self.strategy {
            Strategy::Greedy => self.batched(sentences, prompts, None, context, progress),
            Strategy::Sample { temperature, draws, seed } => {
                self.batched(sentences, prompts, Some((temperature, draws, seed)), context, progress)
            }
            Strategy::Beam { beams, n_best } => {
                let search = Search { beams, n_best, max_tokens: self.max_new_tokens };
                self.searched(sentences, prompts, search, context, progress)
            }
        }
    }

    /// The longest answer to a sentence, in tokens.
    fn limit(&self, sentence: &Sentence) -> usize {
        let gold = self.gold_length.map(|more| self.codec.answer(sentence).len() + more);
        gold.unwrap_or(usize::MAX).min(self.max_new_tokens)
    }

    fn prompts(&self, sentences: &[Sentence]) -> Result<Vec<Vec<u32>>, Error> {
        let context = self.model.config.context();
        let prompt = |sentence: &Sentence| {
            let prompt = prompt(self.codec, sentence, self.cued);
            if prompt.len() >= context {
                return Err(Error::SentenceTooLong { id: sentence.id.clone(), length: prompt.len() + 1, context });
            }
            Ok(prompt)
        };
        sentences.iter().map(prompt).collect()
    }

    fn batched(
        &self,
        sentences: &[Sentence],
        prompts: Vec<Vec<u32>>,
        sampling: Option<(f64, usize, u64)>,
        context: &Context,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<NBest>, Error> {
        let settings = Settings {
            batch: self.batch,
            max_new_tokens: self.max_new_tokens,
            end_of_sequence: self.codec.tokenizer().eos(),
        };
        let draws = sampling.map_or(1, |(_, draws, _)| draws.max(1));
        let requests = |(prompt, sentence): (Vec<u32>, &Sentence)| -> Vec<Request> {
            let automaton = Arc::new(self.codec.automaton(&sentence.text, &self.rules));
            let request = |draw: usize| Request {
                max_new_tokens: Some(self.limit(sentence)),
                sampling: sampling.map(|(temperature, _, seed)| Sampling {
                    temperature,
                    seed: random::stream(seed, &format!("draw {draw} for {}", sentence.id)).next_u64(),
                }),
                ..Request::new(prompt.clone(), Box::new(Masked::new(&automaton, Arc::clone(self.tokenizer))))
            };
            (0..draws).map(request).collect()
        };
        // Chunks are large enough for like lengths to meet, and small enough for a stop to be heard.
        let chunk = (self.batch * 8).max(1);
        let mut waiting = prompts.into_iter().zip(sentences).peekable();
        let mut answers: Vec<NBest> = Vec::with_capacity(sentences.len());
        while waiting.peek().is_some() {
            heard_stop(context)?;
            let before = answers.len();
            let chunk: Vec<Request> = waiting.by_ref().take(chunk).flat_map(requests).collect();
            let mut tell = |done: usize| progress(before + done / draws);
            let outputs = generate(self.model, chunk, settings, &context.device, &mut tell)?;
            answers.extend(outputs.chunks(draws).map(n_best));
        }
        Ok(answers)
    }

    fn searched(
        &self,
        sentences: &[Sentence],
        prompts: Vec<Vec<u32>>,
        search: Search,
        context: &Context,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<NBest>, Error> {
        let mut answers = Vec::with_capacity(sentences.len());
        for (sentence, prompt) in sentences.iter().zip(prompts) {
            heard_stop(context)?;
            let automaton = self.codec.automaton(&sentence.text, &self.rules);
            // An answer ends where the model's context does.
            let room = self.model.config.context() - prompt.len();
            let search = Search { max_tokens: self.limit(sentence).min(room), ..search };
            let mut branches = Branches::new(self.model, prompt, &context.device);
            answers.push(search.run(&automaton, |asked| {
                let asked: Vec<Branch<'_>> = (asked.iter())
                    .map(|a| Branch { parent: a.parent, tokens: &a.tokens, wanted: a.wanted.as_deref() })
                    .collect();
                branches.extend(&asked)
            })?);
            progress(answers.len());
        }
        Ok(answers)
    }

    /// A list of answers as a generation: the best one, its entities' confidence from all of them.
    pub(crate) fn read(&self, sentence: &Sentence, list: &[Hypothesis]) -> Generation {
        let Some(best) = list.first() else { return Generation { id: sentence.id.clone(), ..Generation::default() } };
        let parsed = self.codec.decode(&sentence.text, &best.tokens, Some(&best.probabilities));
        let mut predictions = parsed.predictions;
        if list.len() > 1 {
            let confident = n_best_confidence(&self.parsed(sentence, list));
            for prediction in &mut predictions {
                let same = |p: &&Prediction| {
                    p.kind == prediction.kind && p.span == prediction.span && p.surface == prediction.surface
                };
                prediction.confidence = confident.iter().find(same).and_then(|p| p.confidence);
            }
        }
        Generation {
            id: sentence.id.clone(),
            output: parsed.output,
            tokens: best.tokens.len(),
            truncated: !best.finished,
            predictions,
            unparsable: parsed.unparsable,
        }
    }

    fn parsed(&self, sentence: &Sentence, list: &[Hypothesis]) -> Vec<(f64, Vec<Prediction>)> {
        let predictions =
            |h: &Hypothesis| self.codec.decode(&sentence.text, &h.tokens, Some(&h.probabilities)).predictions;
        list.iter().map(|h| (h.log_probability, predictions(h))).collect()
    }

    pub(crate) fn alternatives(&self, sentence: &Sentence, list: &[Hypothesis]) -> Alternatives {
        let alternative = |h: &Hypothesis| {
            let parsed = self.codec.decode(&sentence.text, &h.tokens, Some(&h.probabilities));
            let log_probability = h.log_probability;
            Alternative { output: parsed.output, log_probability, predictions: parsed.predictions }
        };
        Alternatives { id: sentence.id.clone(), answers: list.iter().map(alternative).collect() }
    }

    /// What each rule removed along the best answers. One pass over the written answers tells what the model would have
    /// done freely at each of their positions, so that decoding itself never pays for all logits.
    pub(crate) fn audit(
        &self,
        sentences: &[Sentence],
        lists: &[NBest],
        context: &Context,
        progress: &mut dyn FnMut(usize),
    ) -> Result<MaskAudit, Error> {
        let mut audit = MaskAudit::default();
        let prompts = self.prompts(sentences)?;
        let chunk = (self.batch * 8).max(1);
        for from in (0..sentences.len()).step_by(chunk) {
            heard_stop(context)?;
            let to = (from + chunk).min(sentences.len());
            let given: Vec<Given<'_>> = (from..to)
                .map(|i| Given { prompt: &prompts[i], answer: lists[i].first().map_or(&[], |best| &best.tokens) })
                .collect();
            let mut walks: Vec<AuditWalk> = (from..to)
                .map(|i| {
                    let text = &sentences[i].text;
                    self.codec.audit(text, &self.codec.tokenizer().encode(text), &self.rules)
                })
                .collect();
            given_answers(self.model, &given, self.batch, &context.device, &mut |sequence, at, probabilities| {
                walks[sequence].observe(probabilities, &mut audit);
                walks[sequence].advance(given[sequence].answer[at]);
            })?;
            progress(to);
        }
        Ok(audit)
    }
}

/// The answers to one sentence, the most probable first, equal ones once.
fn n_best(outputs: &[Output]) -> NBest {
    let mut answers: NBest = Vec::new();
    for output in outputs {
        if !answers.iter().any(|a| a.tokens == output.ids) {
            answers.push(Hypothesis {
                log_probability: output.probabilities.iter().map(|&p| f64::from(p).ln()).sum(),
                tokens: output.ids.clone(),
                probabilities: output.probabilities.clone(),
                finished: !output.truncated,
            });
        }
    }
    answers.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
    answers
}

/// What the model is given for a sentence of a corpus, whose id begins with the corpus's name.
pub(crate) fn prompt(codec: &Codec, sentence: &Sentence, cued: bool) -> Vec<u32> {
    let cue = if cued { sentence.id.split('/').next().unwrap_or_default() } else { "" };
    codec.prompt_with_cue(cue, &sentence.text)
}

pub(crate) fn heard_stop(context: &Context) -> Result<(), Error> {
    if context.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}

/// An automaton as generation sees it.
struct Masked {
    automaton: Arc<Automaton>,
    state: State,
    scratch: Vec<u32>,
    vocabulary: Arc<Tokenizer>,
}

impl Masked {
    fn new(automaton: &Arc<Automaton>, vocabulary: Arc<Tokenizer>) -> Self {
        let state = automaton.start();
        Self { automaton: Arc::clone(automaton), state, scratch: Vec::new(), vocabulary }
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
            self.automaton.forced(&self.state, &mut self.scratch, run);
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
