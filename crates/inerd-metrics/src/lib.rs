//! What a system's answers are worth, and whether a difference is more than noise. Pure functions in `f64`: no
//! models, no files, no clock.
//!
//! "F1" means at least five things in named-entity recognition. [`Convention`] names them; [`score`] computes one of
//! them from stored generations and prints its [`Signature`] beside the figure. [`Convention::Span`] is primary.
//!
//! Hallucination is counted separately ([`hallucinations`]) and never inside F1. [`ScoreReport`] is what the score
//! stage stores: every convention, the taxonomy, and per-sentence counts from which any later comparison of arms can
//! be resampled without seeing a model again.

#![cfg_attr(test, expect(clippy::float_cmp, reason = "figures known by hand are compared exactly"))]

mod align;
pub mod analysis;
mod convention;
mod conventions;
mod counts;
mod error;
mod foreign;
mod hallucination;
mod interval;
mod report;
mod score;
mod signature;
pub mod statistics;
mod tags;
mod tally;
#[cfg(test)]
mod testing;

pub use align::align;
pub use convention::{Convention, UnknownConvention};
pub use conventions::normalise;
pub use counts::{Counts, Matches, Prf, Score, Scores, SentenceCounts};
pub use error::MetricsError;
pub use foreign::{ForeignAnswer, ForeignEntity};
pub use hallucination::{HallucinationClass, Hallucinations, classify, hallucinations};
pub use interval::{Rate, clopper_pearson, wilson};
pub use report::{SCORE_FORMAT, ScoreReport};
pub use score::{score, score_per_sentence, score_spans};
pub use signature::Signature;
pub use tags::{Scheme, TagRules, UnknownScheme, score_tags, score_tags_per_sentence, tagged_entities};

/// The crate's result.
pub type Result<T> = std::result::Result<T, MetricsError>;
