//! The stage tables of an experiment file, resolved: plain data that the runner maps to the other rooms' own types.

mod data;
mod executor;
mod generate;
mod model;
mod training;

pub use data::{Data, Merge, Subset, Tokenizer, TokenizerKind, TypeNames, Unit};
pub use executor::{Accounting, Executor, ExecutorKind, Slurm, SlurmStage};
pub use generate::{Format, Generate, Granularity, Order, Rules, Score, Split, Strategy, Style, TypeSet, Verbalise};
pub use model::{Architecture, Model, ModelKind};
pub use training::{
    CoRegularization, DataOrder, Lora, LoraMode, Loss, PlMarker, Precision, Pretrain, Schedule, Sharing, Training,
    ValidMetric, Validation,
};

use crate::define::{Names, settings};
use crate::validate::is_keyword;

settings! {
    /// Every setting of one point of an arm.
    pub struct Settings {
        /// Which datasets there are, how they are merged and capped.
        data: Data = Data::default();
        /// Where the tokenizer comes from.
        tokenizer: Tokenizer = Tokenizer::default();
        /// The model before any training of this experiment.
        model: Model = Model::default();
        /// How entities are written as text: the same in training and in decoding.
        format: Format = Format::default();
        /// Language modelling on plain text, before any entity is seen. Off unless enabled.
        pretrain: Pretrain = Pretrain::default();
        /// First tuning, usually on several datasets merged.
        coarse: Training = Training::coarse();
        /// Second tuning, usually on one dataset, from the coarse-tuned model where there is one.
        fine: Training = Training::default();
        /// Decoding of a split.
        generate: Generate = Generate::default();
        /// Scoring of the stored generations.
        score: Score = Score::default();
        /// Where stages run. Never part of a stage's identity.
        executor: Executor = Executor::default(), [.inert()];
    }
}

impl Settings {
    /// The dataset in question: `data.target`, or else the one dataset that `fine` names.
    pub fn target(&self) -> Option<&str> {
        let fine = self.fine.datasets.single().filter(|name| self.fine.enabled && !is_keyword(name));
        self.data.target.as_deref().or(fine)
    }

    /// Dataset names with `all`, `others` and `target` replaced, without repeats, in order.
    pub fn datasets(&self, names: &Names) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        let target = self.target();
        for name in names.iter() {
            let stands_for: Vec<&str> = match name {
                "all" => self.data.pool.iter().collect(),
                "others" => self.data.pool.iter().filter(|name| Some(*name) != target).collect(),
                "target" => target.into_iter().collect(),
                name => vec![name],
            };
            for name in stands_for {
                if !out.iter().any(|known| known == name) {
                    out.push(name.to_owned());
                }
            }
        }
        out
    }
}
