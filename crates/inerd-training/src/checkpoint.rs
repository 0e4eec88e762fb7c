//! A training's whole state on disk: weights, optimiser, and where in the data it stands. Random streams are derived
//! from seed, epoch and step, so that they need no state of their own.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inerd_lm::LanguageModel;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::optimizer::Optimizer;

const FORMAT: u32 = 2;

const OPTIMIZER: &str = "optimizer.safetensors";

/// Where a training stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    format: u32,
    /// Finished epochs.
    pub(crate) epoch: usize,
    /// Optimiser steps done within the current epoch.
    pub(crate) step_in_epoch: usize,
    /// Optimiser steps done in all.
    pub(crate) step: usize,
    /// Best validation score so far and the epoch it was reached in.
    pub(crate) best: Option<(f64, usize)>,
}

/// Checkpoints of one training, newest last.
pub(crate) struct Checkpoints {
    dir: PathBuf,
}

impl Checkpoints {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Writes a checkpoint beside the last one and then removes the last one: at every moment one is whole.
    pub(crate) fn save(&self, copies: &[LanguageModel], optimizer: &Optimizer, state: &State) -> Result<(), Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::WriteCheckpoint { path, source }
        };
        let partial = self.dir.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(failed(&partial))?;
        }
        for (i, copy) in copies.iter().enumerate() {
            let dir = of_copy(&partial, i);
            fs::create_dir_all(&dir).map_err(failed(&dir))?;
            copy.save(&dir)?;
        }
        (optimizer.save(&partial.join(OPTIMIZER))).map_err(|e| failed(&partial)(std::io::Error::other(e)))?;
        let state = State { format: FORMAT, ..state.clone() };
        let json = serde_json::to_vec_pretty(&state).map_err(|e| failed(&partial)(e.into()))?;
        fs::write(partial.join("state.json"), json).map_err(failed(&partial))?;
        let older = self.finished();
        // An epoch's end is saved at the step that was saved already: under a name of its own, for a checkpoint that were
        // replaced would be missing, or half there, in between.
        let target = self.dir.join(format!("step-{:08}-{:04}", state.step, state.epoch));
        if !target.exists() {
            fs::rename(&partial, &target).map_err(failed(&target))?;
        }
        let best = state.best.map(|(_, epoch)| self.best(epoch));
        let forgotten = self.named("best-").into_iter().filter(|path| Some(path) != best.as_ref());
        for old in older.into_iter().filter(|old| *old != target).chain(forgotten) {
            fs::remove_dir_all(&old).map_err(failed(&old))?;
        }
        Ok(())
    }

    /// The newest checkpoint that is whole, if there is any. `begun` are the models that the training began with.
    pub(crate) fn load(
        &self,
        optimizer: Optimizer,
        begun: &[LanguageModel],
    ) -> Result<Result<(Vec<LanguageModel>, Optimizer, State), Optimizer>, Error> {
        let Some(dir) = self.finished().pop() else { return Ok(Err(optimizer)) };
        let invalid = |reason: String| Error::ReadCheckpoint { path: dir.clone(), reason };
        let json = fs::read(dir.join("state.json")).map_err(|e| invalid(e.to_string()))?;
        let state: State = serde_json::from_slice(&json).map_err(|e| invalid(e.to_string()))?;
        if state.format != FORMAT {
            return Err(invalid(format!("it has format {}, this version reads {FORMAT}", state.format)));
        }
        let copies: Result<Vec<LanguageModel>, _> =
            begun.iter().enumerate().map(|(i, copy)| copy.restored(&of_copy(&dir, i))).collect();
        let copies = copies?;
        let device = begun.first().map_or_else(Device::flex, LanguageModel::device);
        let optimizer = optimizer.load(&dir.join(OPTIMIZER), &device).map_err(invalid)?;
        Ok(Ok((copies, optimizer, state)))
    }

    /// Keeps the weights of an epoch. Those of the best epoch before go with the next [`Checkpoints::save`], when the
    /// state on disk no longer names them.
    pub(crate) fn save_best(&self, model: &LanguageModel, epoch: usize) -> Result<(), Error> {
        let partial = self.dir.join("partial-best");
        let best = self.best(epoch);
        let failed = |source| Error::WriteCheckpoint { path: best.clone(), source };
        fs::create_dir_all(&partial).map_err(failed)?;
        model.save(&partial)?;
        if best.exists() {
            fs::remove_dir_all(&best).map_err(failed)?;
        }
        fs::rename(&partial, &best).map_err(failed)
    }

    pub(crate) fn load_best(&self, epoch: usize, model: &LanguageModel) -> Result<LanguageModel, Error> {
        Ok(model.restored(&self.best(epoch))?)
    }

    fn best(&self, epoch: usize) -> PathBuf {
        self.dir.join(format!("best-{epoch:04}"))
    }

    fn finished(&self) -> Vec<PathBuf> {
        self.named("step-")
    }

    fn named(&self, prefix: &str) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = (fs::read_dir(&self.dir).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix)))
            .collect();
        found.sort();
        found
    }
}

/// Copy 0 lies in the checkpoint's own folder, so that a training of one model is a plain checkpoint.
fn of_copy(dir: &Path, copy: usize) -> PathBuf {
    if copy == 0 { dir.to_owned() } else { dir.join(format!("copy-{copy}")) }
}
