//! The dry run said one thing, the run did another (snakemake): both are compared over every committed experiment, with
//! stages that do nothing, on one store. Stages that experiments have in common are worked once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use inerd_experiment::{
    BaseModel, Dataset, Experiment, Fingerprint, InputError, Inputs, Plan, Retry, SplitSize, Text, decide_all,
    known_model,
};
use inerd_run::{Job, Unobserved, run_with};
use rand::seq::IndexedRandom as _;

use crate::common::{context, workers};

/// Every dataset, model and text is at hand.
struct Everything;

impl Inputs for Everything {
    fn dataset(&self, name: &str) -> Result<Dataset, InputError> {
        let split = SplitSize { sentences: 1000, words: 20_000, entities: 2000 };
        let fingerprint = Fingerprint::of(name);
        Ok(Dataset { fingerprint, present: true, train: split, valid: split, test: split })
    }

    fn model(&self, path: &str) -> Result<BaseModel, InputError> {
        let small = BaseModel {
            fingerprint: Fingerprint::of(path),
            present: true,
            parameters: 1000,
            layers: 1,
            width: 8,
            vocabulary: 100,
            context: 512,
        };
        Ok(BaseModel { present: true, ..known_model(path).unwrap_or(small) })
    }

    fn corpus(&self, name: &str) -> Result<Text, InputError> {
        Ok(Text { fingerprint: Fingerprint::of(name), present: true, bytes: 1_000_000 })
    }

    fn file(&self, path: &str) -> Result<Fingerprint, InputError> {
        Ok(Fingerprint::of(path))
    }
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() && path.file_name().is_some_and(|name| name != "base") {
            files(&path, out);
        } else if path.extension().is_some_and(|e| e == "toml") {
            out.push(path);
        }
    }
}

#[test]
fn plan_and_run_agree_on_every_committed_experiment() {
    let dir = tempfile::tempdir().unwrap();
    let context = context(dir.path());
    let options = workers(&context, 8);
    let mut paths = Vec::new();
    files(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments")), &mut paths);
    assert!(paths.len() >= 28, "{}", paths.len());
    let mut random = inerd_lm::random::stream(1, "lost artefacts");
    for path in paths {
        // One replicate has every arm; the small experiments differ from the full ones in sizes alone.
        let one = [("experiment.seeds.count".to_owned(), "1".to_owned())];
        let experiment = Experiment::load(&path, &one).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let plan = Plan::build(&experiment, &Everything).unwrap();
        for round in 0..2 {
            if round == 1 {
                // Some artefacts get lost, weights and scores alike.
                let lost: Vec<_> = plan.stages.sample(&mut random, plan.stages.len() / 20 + 1).collect();
                for stage in lost {
                    let _ = std::fs::remove_dir_all(context.store.get(stage.id).unwrap().dir());
                }
            }
            let decisions = decide_all(&plan, &context.store, Retry::All, &Plan::is_score);
            let works = plan.stages.iter().zip(decisions).filter(|(_, decision)| decision.works());
            let planned: BTreeSet<Fingerprint> = works.map(|(stage, _)| stage.id).collect();
            let worked = Mutex::new(BTreeSet::new());
            let work = |job: &mut Job<'_>| {
                assert!(worked.lock().unwrap().insert(job.stage.id), "{} was worked twice", job.stage.label);
                Ok(())
            };
            let summary = run_with(&plan, &context, &options, &Unobserved, &work).unwrap();
            assert_eq!(summary.failed(), 0);
            assert!(worked.into_inner().unwrap() == planned, "{}, round {round}", path.display());
        }
    }
}
