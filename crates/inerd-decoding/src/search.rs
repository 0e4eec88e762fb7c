//! Greedy decoding, beam search and n-best lists over the masked distribution.

use inerd_text::{Prediction, Span};

use crate::{Allowed, Automaton, State};

/// What the model has to score: one beam of the call before, and what was written since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// The beam of the previous call that this one goes on from (its cache is to be copied). In the first call there
    /// is one beam, the prompt, and its parent is 0.
    pub parent: usize,
    /// The tokens written since then, in order: a choice and the run of tokens that it forced. Empty in the first call,
    /// unless the answer's beginning is forced.
    pub tokens: Vec<u32>,
    /// The tokens whose scores are wanted, sorted; `None` for the whole vocabulary.
    pub wanted: Option<Vec<u32>>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// With end-of-sequence, if it is finished.
    pub tokens: Vec<u32>,
    /// The masked probability of each token; 1 where it had no alternative.
    pub probabilities: Vec<f32>,
    /// Natural logarithm of the answer's probability under the mask.
    pub log_probability: f64,
    /// Ends with end-of-sequence, and not at the length limit.
    pub finished: bool,
}

/// How to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    /// Beams kept at each step; 1 is greedy.
    pub beams: usize,
    /// Answers to return, best first.
    pub n_best: usize,
    /// Longest answer in tokens.
    pub max_tokens: usize,
}

struct Beam {
    state: State,
    answer: Hypothesis,
    parent: usize,
    /// How many tokens the model has seen.
    seen: usize,
}

impl Search {
    /// Searches the best answers. `score` gives a row of logits for each continuation, in the order asked for: one per
    /// wanted token, or one per token of the vocabulary.
    ///
    /// Probabilities only shrink as an answer grows, so the search ends when no beam can overtake the `n_best` finished
    /// answers. Ties go to the earlier beam and the lower token, so that a run can be repeated.
    pub fn run<E>(
        &self,
        automaton: &Automaton,
        mut score: impl FnMut(&[Continuation]) -> Result<Vec<Vec<f32>>, E>,
    ) -> Result<Vec<Hypothesis>, E> {
        let mut done: Vec<Hypothesis> = Vec::new();
        let root = Hypothesis { tokens: Vec::new(), probabilities: Vec::new(), log_probability: 0.0, finished: false };
        let mut live = Vec::new();
        self.keep(automaton, Beam { state: automaton.start(), answer: root, parent: 0, seen: 0 }, &mut live, &mut done);
        let mut scratch = Vec::new();
        while !live.is_empty() {
            let mut asked = Vec::with_capacity(live.len());
            for beam in &live {
                let wanted = match automaton.allowed(&beam.state, &mut scratch) {
                    Allowed::Only(tokens) if !automaton.rules().authors_code => Some(tokens.to_vec()),
                    _ => None,
                };
                asked.push(Continuation {
                    parent: beam.parent,
                    tokens: beam.answer.tokens[beam.seen..].to_vec(),
                    wanted,
                });
            }
            let rows = score(&asked)?;
            let mut choices = Vec::new();
            for (at, (beam, row)) in live.iter().zip(rows).enumerate() {
                let probabilities = masked_probabilities(automaton, &beam.state, asked[at].wanted.as_deref(), row);
                choices.extend(probabilities.into_iter().map(|(token, p)| {
                    let total = beam.answer.log_probability + f64::from(p).ln();
                    (total, at, token, p)
                }));
            }
            choices.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
            let mut next = Vec::new();
            for (total, at, token, p) in choices {
                if next.len() >= self.beams.max(1) {
                    break;
                }
                let beam = &live[at];
                let mut state = beam.state.clone();
                if automaton.advance(&mut state, token).is_err() {
                    continue;
                }
                let mut answer = beam.answer.clone();
                answer.tokens.push(token);
                answer.probabilities.push(p);
                answer.log_probability = total;
                let seen = beam.answer.tokens.len();
                self.keep(automaton, Beam { state, answer, parent: at, seen }, &mut next, &mut done);
            }
            done.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
            done.truncate(self.n_best.max(1));
            let worst = done.get(self.n_best.max(1) - 1).map(|answer| answer.log_probability);
            next.retain(|beam| worst.is_none_or(|worst| beam.answer.log_probability > worst));
            live = next;
        }
        Ok(done)
    }

    /// Lets a beam run as far as it has no choice, and puts it where it belongs.
    fn keep(&self, automaton: &Automaton, mut beam: Beam, live: &mut Vec<Beam>, done: &mut Vec<Hypothesis>) {
        let mut forced = Vec::new();
        if !automaton.is_final(&beam.state) {
            automaton.forced(&beam.state, &mut Vec::new(), &mut forced);
        }
        forced.truncate(self.max_tokens.saturating_sub(beam.answer.tokens.len()));
        for token in forced {
            if automaton.advance(&mut beam.state, token).is_err() {
                break;
            }
            beam.answer.tokens.push(token);
            beam.answer.probabilities.push(1.0);
        }
        beam.answer.finished = automaton.is_final(&beam.state);
        if beam.answer.finished || beam.answer.tokens.len() >= self.max_tokens {
            done.push(beam.answer);
        } else {
            live.push(beam);
        }
    }
}

/// Tokens and their probabilities under the mask, those of probability zero left out.
fn masked_probabilities(
    automaton: &Automaton,
    state: &State,
    wanted: Option<&[u32]>,
    mut row: Vec<f32>,
) -> Vec<(u32, f32)> {
    let tokens: Vec<u32> = match wanted {
        Some(tokens) => tokens.to_vec(),
        None => {
            automaton.mask(state, &mut row);
            (0..row.len() as u32).collect()
        }
    };
    let highest = row.iter().copied().filter(|score| score.is_finite()).fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> =
        (row.iter()).map(|&score| if score.is_finite() { f64::from(score - highest).exp() } else { 0.0 }).collect();
    let total: f64 = weights.iter().sum();
    (tokens.into_iter().zip(weights))
        .map(|(token, weight)| (token, (weight / total) as f32))
        .filter(|&(_, p)| p > 0.0)
        .collect()
}

/// The confidence of every entity of an n-best list: the share of the list's probability in which it occurs (same type
/// and place, or surface where it has none). Most confident first.
pub fn n_best_confidence(answers: &[(f64, Vec<Prediction>)]) -> Vec<Prediction> {
    let highest = answers.iter().map(|(log_probability, _)| *log_probability).fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = answers.iter().map(|(log_probability, _)| (log_probability - highest).exp()).collect();
    let total: f64 = weights.iter().sum();
    let key = |p: &Prediction| -> (String, Option<Span>, Option<String>) {
        (p.kind.clone(), p.span, p.span.is_none().then(|| p.surface.clone()))
    };
    let mut entities: std::collections::BTreeMap<_, Prediction> = std::collections::BTreeMap::new();
    for ((_, predictions), weight) in answers.iter().zip(weights) {
        let once: std::collections::BTreeMap<_, &Prediction> = predictions.iter().map(|p| (key(p), p)).collect();
        for (key, prediction) in once {
            let entity =
                entities.entry(key).or_insert_with(|| Prediction { confidence: Some(0.0), ..prediction.clone() });
            entity.confidence = entity.confidence.map(|c| c + weight / total);
        }
    }
    let mut entities: Vec<Prediction> = entities.into_values().collect();
    entities.sort_by(|a, b| b.confidence.unwrap_or(0.0).total_cmp(&a.confidence.unwrap_or(0.0)));
    entities
}
