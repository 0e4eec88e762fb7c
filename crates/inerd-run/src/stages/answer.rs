//! A model answers sentences, each under its own automaton: greedily in batches, or by a search per sentence.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use inerd_decoding::{AuditWalk, Automaton, Codec, Hypothesis, MaskAudit, Rules, Search, State, n_best_confidence};
use inerd_lm::{
    Allowed, Branch, Branches, Constraint, Given, LanguageModel, Request, Settings, Tokenizer, generate, given_answers,
};
use inerd_text::{Generation, Prediction, Sentence};
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
    /// One beam and one answer are greedy decoding.
    pub(crate) search: Search,
    /// Sentences decoded together, where there is one beam.
    pub(crate) batch: usize,
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
        let one = self.search.beams <= 1 && self.search.n_best <= 1;
        if one {
            self.greedy(sentences, prompts, context, progress)
        } else {
            self.best(sentences, prompts, context, progress)
        }
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

    fn greedy(
        &self,
        sentences: &[Sentence],
        prompts: Vec<Vec<u32>>,
        context: &Context,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<NBest>, Error> {
        let request = |(prompt, sentence): (Vec<u32>, &Sentence)| {
            let automaton = self.codec.automaton(&sentence.text, &self.rules);
            Request::new(prompt, Box::new(Masked::new(automaton, Arc::clone(self.tokenizer))))
        };
        let settings = Settings {
            batch: self.batch,
            max_new_tokens: self.search.max_tokens,
            end_of_sequence: self.codec.tokenizer().eos(),
        };
        // Chunks are large enough for like lengths to meet, and small enough for a stop to be heard.
        let chunk = (self.batch * 8).max(1);
        let mut requests = prompts.into_iter().zip(sentences).map(request).peekable();
        let mut answers: Vec<NBest> = Vec::with_capacity(sentences.len());
        while requests.peek().is_some() {
            heard_stop(context)?;
            let before = answers.len();
            let chunk: Vec<Request> = requests.by_ref().take(chunk).collect();
            let mut tell = |done: usize| progress(before + done);
            let outputs = generate(self.model, chunk, settings, &context.device, &mut tell)?;
            answers.extend(outputs.into_iter().map(|output| {
                vec![Hypothesis {
                    log_probability: output.probabilities.iter().map(|&p| f64::from(p).ln()).sum(),
                    tokens: output.ids,
                    probabilities: output.probabilities,
                    finished: !output.truncated,
                }]
            }));
        }
        Ok(answers)
    }

    fn best(
        &self,
        sentences: &[Sentence],
        prompts: Vec<Vec<u32>>,
        context: &Context,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<NBest>, Error> {
        let mut answers = Vec::with_capacity(sentences.len());
        for (sentence, prompt) in sentences.iter().zip(prompts) {
            heard_stop(context)?;
            let automaton = self.codec.automaton(&sentence.text, &self.rules);
            // An answer ends where the model's context does.
            let room = self.model.config.context() - prompt.len();
            let search = Search { max_tokens: self.search.max_tokens.min(room), ..self.search };
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

/// What the model is given for a sentence of a corpus, whose id begins with the corpus's name.
pub(crate) fn prompt(codec: &Codec, sentence: &Sentence, cued: bool) -> Vec<u32> {
    let cue = if cued { sentence.id.split('/').next().unwrap_or_default() } else { "" };
    codec.prompt_with_cue(cue, &sentence.text)
}

fn heard_stop(context: &Context) -> Result<(), Error> {
    if context.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
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
