//! The plan: every stage once, parents first, and the cells of the report.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::build::Builder;
use crate::canonical::canonical_json;
use crate::experiment::Experiment;
use crate::fingerprint::Fingerprint;
use crate::inputs::{InputError, Inputs};
use crate::stage::{Space, Stage, StageKind};

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Inputs that no card or folder describes, each once.
    #[error("plan {experiment}: {}", list(unknown))]
    UnknownInputs { experiment: String, unknown: Vec<InputError> },
    #[error("plan {experiment}: no arm has a point left; an `exclude` may say too much")]
    Empty { experiment: String },
    #[error("read a plan: {0}")]
    Unreadable(String),
    #[error("read a plan of format {found}: this program reads format {}; plan the experiment again", Plan::FORMAT)]
    Format { found: u32 },
    /// A stage's name that fits none or several.
    #[error("find the stage {prefix}: {}", if candidates.is_empty() { "no stage of the plan begins with it".to_owned() } else { format!("it may be {}", candidates.join(" or ")) })]
    Ambiguous { prefix: String, candidates: Vec<String> },
}

fn list(unknown: &[InputError]) -> String {
    unknown.iter().map(|e| format!("{} ({})", e.message, e.help)).collect::<Vec<_>>().join("; ")
}

/// Everything an experiment will do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this layout: [`Plan::FORMAT`].
    pub format: u32,
    pub experiment: String,
    pub space: Space,
    /// Parents before children; equal stages once.
    pub stages: Vec<Stage>,
    /// What the report's tables are made of: one per arm, point, dataset and seed.
    pub cells: Vec<Cell>,
}

/// One result: a score stage and what it stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    pub arm: String,
    /// Dotted key and value of the arm's axes.
    pub point: BTreeMap<String, Value>,
    /// The dataset that was decoded.
    pub dataset: String,
    pub seed: u64,
    /// The score stage.
    pub score: Fingerprint,
    /// The training stages behind it, first to last. Cells that share a training stage are not independent.
    pub lineage: Vec<Fingerprint>,
}

impl Plan {
    /// The version of the layout on disk.
    pub const FORMAT: u32 = 1;

    /// Plans every point of every arm for every seed.
    ///
    /// # Errors
    /// Where inputs are named that `inputs` doesn't know. Inputs that are known and not at hand are no error here: the
    /// stages that need them list them as missing.
    pub fn build(experiment: &Experiment, inputs: &dyn Inputs) -> Result<Self, PlanError> {
        let mut builder = Builder::new(inputs, experiment.space);
        let mut cells = Vec::new();
        for arm in &experiment.arms {
            for point in &arm.points {
                for seed in experiment.question.seeds.iter() {
                    builder.point(arm, point, seed, &mut cells);
                }
            }
        }
        let (stages, unknown) = builder.finish();
        if !unknown.is_empty() {
            return Err(PlanError::UnknownInputs { experiment: experiment.name.clone(), unknown });
        }
        if cells.is_empty() {
            return Err(PlanError::Empty { experiment: experiment.name.clone() });
        }
        Ok(Self { format: Self::FORMAT, experiment: experiment.name.clone(), space: experiment.space, stages, cells })
    }

    /// The stage of an id.
    pub fn stage(&self, id: Fingerprint) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.id == id)
    }

    /// The stage whose id begins with `prefix` (hexadecimal), if there is just one.
    pub fn find(&self, prefix: &str) -> Result<&Stage, PlanError> {
        let prefix = prefix.to_lowercase();
        let found: Vec<&Stage> = self
            .stages
            .iter()
            .filter(|stage| !prefix.is_empty() && stage.id.to_string().starts_with(&prefix))
            .collect();
        match found.as_slice() {
            [one] => Ok(one),
            several => {
                let candidates = several.iter().take(5).map(|s| format!("{} ({})", s.id.short(), s.label)).collect();
                Err(PlanError::Ambiguous { prefix, candidates })
            }
        }
    }

    /// The length of the shortest prefixes that tell the plan's stages apart, at least 6 digits.
    pub fn prefix_length(&self) -> usize {
        let ids: BTreeSet<String> = self.stages.iter().map(|stage| stage.id.to_string()).collect();
        let shared = |a: &String, b: &String| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
        let longest = ids.iter().zip(ids.iter().skip(1)).map(|(a, b)| shared(a, b)).max().unwrap_or(0);
        (longest + 1).max(6)
    }

    /// Whether a stage is a score, which is what a whole run asks for.
    pub fn is_score(stage: &Stage) -> bool {
        matches!(stage.kind, StageKind::Score(_))
    }

    /// The identity of the whole plan: what it would compute, and for which cells.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(canonical_json(&serde_json::to_value(&self.cells).unwrap_or_default()))
    }

    /// The plan as it is frozen before a run.
    pub fn to_json(&self) -> String {
        // Plain data with text keys: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a frozen plan back.
    ///
    /// # Errors
    /// Where the text is no plan, or one of another format.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        let value: Value = serde_json::from_str(text).map_err(|error| PlanError::Unreadable(error.to_string()))?;
        match value.get("format").and_then(Value::as_u64) {
            Some(found) if found != u64::from(Self::FORMAT) => {
                Err(PlanError::Format { found: u32::try_from(found).unwrap_or(u32::MAX) })
            }
            _ => serde_json::from_value(value).map_err(|error| PlanError::Unreadable(error.to_string())),
        }
    }
}
