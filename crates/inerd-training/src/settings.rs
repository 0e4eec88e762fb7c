use serde::{Deserialize, Serialize};

use crate::{CoRegularization, PlMarker, Schedule};

/// Over which tokens the softmax of the loss runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Over the vocabulary, at every response position.
    #[default]
    Response,
    /// Over the tokens that the task allows there; positions without an alternative cost and teach nothing.
    Allowed,
}

/// How a model is trained. Learning rates are per optimiser step, lengths in tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub epochs: usize,
    /// Ends training early, counted over all epochs.
    pub max_steps: Option<usize>,
    /// Stop after this many epochs without a better validation score; the best epoch's weights are kept.
    pub patience: Option<usize>,
    /// Examples per optimiser step.
    pub batch: usize,
    /// Examples per forward pass; the rest of the batch is accumulated.
    pub micro_batch: usize,
    pub learning_rate: f64,
    pub schedule: Schedule,
    pub weight_decay: f32,
    pub betas: (f32, f32),
    pub epsilon: f32,
    /// Largest Euclidean norm of all gradients together (Pascanu et al. 2013).
    pub clip: Option<f32>,
    pub loss: Loss,
    pub seed: u64,
    /// Optimiser steps between checkpoints inside an epoch; there is one at each epoch's end anyway.
    pub checkpoint_every: Option<usize>,
    /// Several copies that are pulled towards their agreement.
    pub co_regularization: Option<CoRegularization>,
    /// Candidate spans are classified, too.
    pub pl_marker: Option<PlMarker>,
}

impl Settings {
    /// Optimiser steps of a whole training over `examples` examples.
    pub fn total_steps(&self, examples: usize) -> usize {
        let steps = self.epochs * examples.div_ceil(self.batch.max(1));
        self.max_steps.map_or(steps, |max| max.min(steps))
    }
}
