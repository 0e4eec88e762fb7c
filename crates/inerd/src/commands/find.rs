//! From the beginning of a fingerprint to a stage: of a file's plan, of the plans that were run, of the store.

use std::collections::BTreeMap;

use inerd_experiment::{Fingerprint, Plan, Stage};
use inerd_run::{Store, frozen_plans};

use crate::commands::exit_of;
use crate::exit::Exit;
use crate::output::Failure;

/// A stage that was asked for: what a plan says of it, where one knows it.
pub(super) struct Found {
    pub(super) id: Fingerprint,
    pub(super) stage: Option<Stage>,
}

impl Found {
    pub(super) fn label(&self, store: &Store) -> String {
        match &self.stage {
            Some(stage) => stage.label.clone(),
            None => store.get(self.id).map_or_else(
                |_| "unknown".to_owned(),
                |artefact| artefact.manifest.stage["kind"].as_str().unwrap_or("unknown").to_owned(),
            ),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum NotFound {
    #[error("no stage begins with `{0}`")]
    None(String),
    #[error("`{prefix}` is the beginning of several stages: {}", candidates.join(", "))]
    Several { prefix: String, candidates: Vec<String> },
}

/// The one stage whose fingerprint begins with `prefix`. The plans that were run are searched after `plan`, the store's
/// artefacts last.
pub(super) fn stage(prefix: &str, store: &Store, plan: Option<&Plan>) -> Result<Found, Failure> {
    let prefix = prefix.to_lowercase();
    let begins = |id: &Fingerprint| !prefix.is_empty() && id.to_string().starts_with(&prefix);
    let mut found: BTreeMap<Fingerprint, Option<Stage>> = BTreeMap::new();
    let frozen = if plan.is_none() { frozen_plans(store) } else { Vec::new() };
    for plan in plan.into_iter().chain(&frozen) {
        for stage in plan.stages.iter().filter(|stage| begins(&stage.id)) {
            found.entry(stage.id).or_insert_with(|| Some(stage.clone()));
        }
    }
    if store.root().join("objects").is_dir() {
        let artefacts = store.artefacts().map_err(|e| Failure::during("look into the store", exit_of(&e), e))?;
        for id in artefacts.into_iter().filter(begins) {
            found.entry(id).or_insert(None);
        }
    }
    let failed = |error| {
        let help = "`inerd plan FILE` and `inerd status FILE` list the stages";
        Failure::with_help("find the stage", Exit::Usage, error, help)
    };
    if found.len() > 1 {
        let name = |(id, known): (&Fingerprint, &Option<Stage>)| match known {
            Some(stage) => format!("{} ({})", id.short(), stage.label),
            None => id.short(),
        };
        let candidates = found.iter().take(5).map(name).collect();
        return Err(failed(NotFound::Several { prefix, candidates }));
    }
    match found.pop_first() {
        Some((id, stage)) => Ok(Found { id, stage }),
        None => Err(failed(NotFound::None(prefix))),
    }
}
