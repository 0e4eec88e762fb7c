//! What a step minimises when techniques join the loss on the answers.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use inerd_lm::{Decoder, Noise};

use crate::co_regularization::{Answers, answers, divergence};
use crate::example::{Example, lay_out};
use crate::loss::{index, response_loss};
use crate::pl_marker::{Labelled, Marked, Pass, PlMarker, span_logits};
use crate::settings::{Loss, Settings};

/// What is counted over a whole batch, so that its micro-batches add up to exactly its loss.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Counts {
    /// Response tokens in the cross-entropy.
    pub(crate) tokens: usize,
    /// Response positions with a choice.
    pub(crate) choices: usize,
    /// Candidate spans.
    pub(crate) spans: usize,
}

impl Counts {
    pub(crate) fn of(examples: &[(&Example, Vec<Labelled>)], loss: Loss) -> Self {
        let response = |e: &Example| e.ids.len() - e.response;
        let choices = |e: &Example| {
            e.allowed.as_ref().map_or(response(e), |lists| lists.iter().filter(|tokens| tokens.len() > 1).count())
        };
        let sum = |count: &dyn Fn(&Example) -> usize| examples.iter().map(|(e, _)| count(e)).sum();
        let choices = sum(&choices);
        let tokens = if loss == Loss::Allowed { choices } else { sum(&response) };
        Self { tokens, choices, spans: examples.iter().map(|(_, spans)| spans.len()).sum() }
    }
}

/// Sums in nats over a batch, means over the copies.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sums {
    /// Cross-entropy of the counted response tokens.
    pub(crate) answers: f64,
    /// Divergence of the copies at the choices.
    pub(crate) divergence: f64,
    /// Cross-entropy of the spans' classes.
    pub(crate) spans: f64,
}

impl Sums {
    pub(crate) fn add(&mut self, other: Self) {
        self.answers += other.answers;
        self.divergence += other.divergence;
        self.spans += other.spans;
    }
}

/// The loss of a batch **times its counted tokens**, part by part. Over all parts that is
///
/// ```text
/// 1/M Σ_k [ answers_k + weight · tokens/spans · spans_k ]
///   + α · [ tokens/choices · divergence + weight · tokens/spans · divergence of the spans' classes ]
/// ```
///
/// in sums over the batch, which for a single copy without markers is the summed cross-entropy.
pub(crate) struct Objective<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) counts: Counts,
    /// The weight of the divergence at this step.
    pub(crate) alpha: f64,
    /// Optimiser steps done before this one.
    pub(crate) step: usize,
    pub(crate) device: &'a Device,
}

impl Objective<'_> {
    /// The answers of some examples; `None` where there is nothing to learn.
    pub(crate) fn answers(&self, copies: &[Decoder], examples: &[&Example], part: usize) -> Option<(Tensor<1>, Sums)> {
        let (loss, device) = (self.settings.loss, self.device);
        let packed = lay_out(examples, device);
        if let [only] = copies {
            let (loss, _) =
                response_loss(only, examples, &packed, loss, Some(self.noise(0, &format!("part {part}"))), device)?;
            let sums = Sums { answers: number(&loss), ..Sums::default() };
            return Some((loss, sums));
        }
        let answered: Option<Vec<Answers>> = (copies.iter().enumerate())
            .map(|(i, copy)| {
                let noise = self.noise(i, &format!("part {part}"));
                answers(copy, examples, &packed, loss, Some(noise), device)
            })
            .collect();
        let answered = answered?;
        let mut sum = mean(answered.iter().map(|a| a.cross_entropy.clone()).collect())?;
        let mut sums = Sums { answers: number(&sum), ..Sums::default() };
        let mut copies: Vec<_> = answered.into_iter().map(|a| a.choices.into_iter()).collect();
        loop {
            // One part of all copies at a time.
            let Some(part) = copies.iter_mut().map(Iterator::next).collect() else { break };
            let divergence = divergence(part);
            sums.divergence += number(&divergence);
            if self.alpha > 0.0 {
                sum = sum + divergence.mul_scalar(self.alpha * self.share(self.counts.choices));
            }
        }
        Some((sum, sums))
    }

    /// The classes of the spans of some passes (at least one).
    pub(crate) fn spans(
        &self,
        copies: &[Decoder],
        pl_marker: &PlMarker,
        passes: &[Pass<'_, usize>],
        part: usize,
    ) -> Option<(Tensor<1>, Sums)> {
        let texts: Vec<Marked<'_>> = passes.iter().map(|pass| pass.marked.clone()).collect();
        let classes: Vec<usize> = passes.iter().flat_map(|pass| pass.labels.iter().copied()).collect();
        let classified: Vec<Tensor<2>> = (copies.iter().enumerate())
            .map(|(i, copy)| {
                let noise = self.noise(i, &format!("spans {part}"));
                log_softmax(span_logits(copy, &pl_marker.markers, &texts, Some(noise), self.device), 1)
            })
            .collect();
        let gold = index(classes.into_iter(), self.device).unsqueeze_dim::<2>(1);
        let losses = classified.iter().map(|p| p.clone().gather(1, gold.clone()).sum().neg()).collect();
        let mut sum = mean(losses)?;
        let sums = Sums { spans: number(&sum), ..Sums::default() };
        if classified.len() > 1 && self.alpha > 0.0 {
            sum = sum + divergence(classified).mul_scalar(self.alpha);
        }
        Some((sum.mul_scalar(pl_marker.weight * self.share(self.counts.spans)), sums))
    }

    /// Where the dropout of one pass takes its zeros from: every copy has its own.
    fn noise(&self, copy: usize, part: &str) -> Noise {
        let purpose = format!("dropout at step {}, {part}", self.step);
        let purpose = if copy == 0 { purpose } else { format!("{purpose}, copy {copy}") };
        Noise::new(self.settings.seed, &purpose)
    }

    /// What turns a sum over `count` terms into their mean times the counted tokens.
    fn share(&self, count: usize) -> f64 {
        self.counts.tokens.max(1) as f64 / count.max(1) as f64
    }
}

fn mean(terms: Vec<Tensor<1>>) -> Option<Tensor<1>> {
    let count = terms.len() as f64;
    terms.into_iter().reduce(|sum, term| sum + term).map(|sum| sum.div_scalar(count))
}

fn number(value: &Tensor<1>) -> f64 {
    f64::from(value.clone().into_scalar::<f32>())
}

#[cfg(test)]
mod tests {
    use inerd_lm::{Config, Gpt2Config, LanguageModel};

    use super::*;
    use crate::pl_marker::training_passes;
    use crate::{Candidate, CoRegularization, Markers, Schedule, perturbed};

    fn model(seed: u64) -> LanguageModel {
        let config = Config::Gpt2(Gpt2Config::new(40, 24, 16, 1, 2));
        perturbed(&LanguageModel::random(config, seed, &Device::flex()).unwrap(), 8.0, seed)
    }

    fn examples() -> Vec<Example> {
        let span = |first, last, class| Labelled { candidate: Candidate { first, last }, class };
        vec![
            Example {
                ids: vec![3, 9, 4, 12, 30, 9, 0],
                response: 4,
                allowed: Some(vec![vec![0, 30, 31], vec![3, 4, 9], vec![0]]),
                spans: vec![span(0, 1, 2), span(1, 1, 1), span(0, 2, 0)],
            },
            Example {
                ids: vec![5, 12, 0],
                response: 2,
                allowed: Some(vec![vec![0, 30, 31]]),
                spans: vec![span(0, 0, 0)],
            },
            Example { ids: vec![7, 8, 12, 0], response: 3, allowed: Some(vec![vec![0]]), spans: Vec::new() },
        ]
    }

    fn settings(loss: Loss) -> Settings {
        let markers = Markers { tokens: [38, 39], classes: vec![vec![0], vec![30], vec![31, 32]], pairs: 2 };
        Settings {
            epochs: 1,
            max_steps: None,
            patience: None,
            batch: 3,
            micro_batch: 3,
            learning_rate: 1e-3,
            schedule: Schedule::Constant { warmup: 0.0 },
            weight_decay: 0.0,
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            clip: None,
            loss,
            seed: 1,
            checkpoint_every: None,
            co_regularization: Some(CoRegularization { alpha: 0.7, warmup: 0.0 }),
            pl_marker: Some(PlMarker { markers, weight: 0.3, negatives: None }),
        }
    }

    /// Probabilities over some entries of a row of logits, in f64.
    fn over(logits: &[f32], entries: &[usize]) -> Vec<f64> {
        let total: f64 = entries.iter().map(|&t| f64::from(logits[t]).exp()).sum();
        entries.iter().map(|&t| f64::from(logits[t]).exp() / total).collect()
    }

    fn kl_to_mean(p: &[Vec<f64>]) -> f64 {
        let copies = p.len() as f64;
        let q: Vec<f64> = (0..p[0].len()).map(|t| p.iter().map(|p| p[t]).sum::<f64>() / copies).collect();
        p.iter().map(|p| q.iter().zip(p).map(|(q, p)| q * (q / p).ln()).sum::<f64>()).sum::<f64>() / copies
    }

    #[derive(Default)]
    struct Means {
        answers: f64,
        divergence: f64,
        spans: f64,
        span_divergence: f64,
    }

    /// Every mean from its definition: one pass per position and per span, everything else in f64.
    fn by_hand(models: &[LanguageModel], loss: Loss) -> Means {
        let device = Device::flex();
        let everything: Vec<usize> = (0..40).collect();
        let (mut answers, mut divergences, mut spans, mut span_divergences) = (vec![], vec![], vec![], vec![]);
        let pl_marker = settings(loss).pl_marker.unwrap();
        for example in examples() {
            for at in example.response..example.ids.len() {
                let allowed: Vec<usize> =
                    example.allowed.as_ref().unwrap()[at - example.response].iter().map(|&t| t as usize).collect();
                let logits: Vec<Vec<f32>> = models.iter().map(|m| m.last_logits(&example.ids[..at], &device)).collect();
                if allowed.len() > 1 {
                    divergences.push(kl_to_mean(&logits.iter().map(|l| over(l, &allowed)).collect::<Vec<_>>()));
                }
                let entries = if loss == Loss::Allowed { &allowed } else { &everything };
                if entries.len() > 1 {
                    let gold = entries.iter().position(|&t| t == example.ids[at] as usize).unwrap();
                    let mean = logits.iter().map(|l| -over(l, entries)[gold].ln()).sum::<f64>() / models.len() as f64;
                    answers.push(mean);
                }
            }
            for span in &example.spans {
                let alone = Marked { text: &example.ids[..example.response], spans: vec![span.candidate] };
                let p: Vec<Vec<f64>> = (models.iter())
                    .map(|m| {
                        let logits =
                            span_logits(&m.decoder, &pl_marker.markers, std::slice::from_ref(&alone), None, &device);
                        over(&logits.into_data().iter::<f32>().collect::<Vec<_>>(), &[0, 1, 2])
                    })
                    .collect();
                spans.push(p.iter().map(|p| -p[span.class].ln()).sum::<f64>() / models.len() as f64);
                span_divergences.push(kl_to_mean(&p));
            }
        }
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        Means {
            answers: mean(answers),
            divergence: mean(divergences),
            spans: mean(spans),
            span_divergence: mean(span_divergences),
        }
    }

    /// Loss and sums of a whole batch, in micro-batches of `size` examples and marker passes of few tokens.
    fn of_batch(copies: &[Decoder], settings: &Settings, alpha: f64, size: usize) -> (f64, Counts, Sums) {
        let (all, device) = (examples(), Device::flex());
        let spans = |e: &Example| if settings.pl_marker.is_some() { e.spans.clone() } else { Vec::new() };
        let batch: Vec<(&Example, Vec<Labelled>)> = all.iter().map(|e| (e, spans(e))).collect();
        let counts = Counts::of(&batch, settings.loss);
        let objective = Objective { settings, counts, alpha, step: 0, device: &device };
        let (mut loss, mut sums) = (0.0, Sums::default());
        let mut add = |part: Option<(Tensor<1>, Sums)>| {
            if let Some((part, of_part)) = part {
                loss += number(&part) / counts.tokens as f64;
                sums.add(of_part);
            }
        };
        for part in batch.chunks(size) {
            add(objective.answers(copies, &part.iter().map(|(example, _)| *example).collect::<Vec<_>>(), 0));
        }
        if let Some(pl_marker) = &settings.pl_marker {
            for passes in training_passes(&batch, pl_marker.markers.pairs, 10 * size) {
                add(objective.spans(copies, pl_marker, &passes, 0));
            }
        }
        (loss, counts, sums)
    }

    #[test]
    fn the_objective_equals_a_computation_by_hand_in_micro_batches_of_any_size() {
        let models = [model(1), model(2), model(3)];
        for loss in [Loss::Response, Loss::Allowed] {
            for (copies, with_markers) in [(1, false), (1, true), (3, false), (3, true)] {
                let mut settings = settings(loss);
                if !with_markers {
                    settings.pl_marker = None;
                }
                let hand = by_hand(&models[..copies], loss);
                let weight = if with_markers { 0.3 } else { 0.0 };
                let alpha = if copies > 1 { 0.7 } else { 0.0 };
                let want =
                    hand.answers + weight * hand.spans + alpha * (hand.divergence + weight * hand.span_divergence);
                let decoders: Vec<Decoder> = models[..copies].iter().map(|m| m.decoder.clone()).collect();
                for size in [3, 2, 1] {
                    let (got, counts, sums) = of_batch(&decoders, &settings, alpha, size);
                    let what = format!("{loss:?}, {copies} copies, markers {with_markers}, {size} at a time");
                    assert!((got - want).abs() < 1e-5 * want, "{what}: {got} instead of {want}");
                    let close = |sum: f64, count: usize, mean: f64| (sum / count as f64 - mean).abs() < 1e-5 * mean;
                    assert!(close(sums.answers, counts.tokens, hand.answers), "{what}");
                    assert!(copies == 1 || close(sums.divergence, counts.choices, hand.divergence), "{what}");
                    assert!(!with_markers || close(sums.spans, counts.spans, hand.spans), "{what}");
                }
            }
        }
    }

    #[test]
    fn without_weight_the_copies_go_their_own_ways() {
        let decoders = [model(1).decoder, model(2).decoder];
        let settings = Settings { pl_marker: None, ..settings(Loss::Response) };
        let (together, _, sums) = of_batch(&decoders, &settings, 0.0, 3);
        let alone: f64 = decoders.iter().map(|copy| of_batch(std::slice::from_ref(copy), &settings, 0.0, 3).0).sum();
        assert!((together - alone / 2.0).abs() < 1e-5 * together);
        assert!(sums.divergence > 0.0, "the divergence is told all the same");
    }
}
