//! Every committed experiment loads and plans.

use crate::common::{Fake, experiments};
use inerd_experiment::{Experiment, Plan};

fn files(folder: &std::path::Path, out: &mut Vec<std::path::PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() && path.file_name().is_some_and(|name| name != "base") {
            files(&path, out);
        } else if path.extension().is_some_and(|ext| ext == "toml") {
            out.push(path);
        }
    }
}

#[test]
fn every_committed_experiment_plans() {
    let mut paths = Vec::new();
    files(&experiments(), &mut paths);
    assert!(paths.len() >= 2);
    for path in paths {
        let experiment = Experiment::load(&path, &[]).unwrap_or_else(|error| {
            let problems: Vec<_> =
                error.problems.iter().map(|p| format!("{:?} {}", p.position(), p.message())).collect();
            panic!("{}: {problems:#?}", path.display());
        });
        let plan = Plan::build(&experiment, &Fake::default()).unwrap();
        assert_eq!(plan.experiment, experiment.name);
        assert!(!experiment.question.question.is_empty(), "{}", path.display());
        assert!(experiment.question.baseline.is_some(), "{}", path.display());
        assert!(experiment.question.min_effect.is_some(), "{}", path.display());
    }
}

#[test]
fn quickstart_shares_what_its_arms_have_in_common() {
    let experiment = Experiment::load(experiments().join("quickstart.toml"), &[]).unwrap();
    let plan = Plan::build(&experiment, &Fake::default()).unwrap();
    let count = |name: &str| plan.stages.iter().filter(|stage| stage.kind.name() == name).count();
    // 2 arms × 3 datasets × 2 masks × 2 seeds.
    assert_eq!(plan.cells.len(), 24);
    // Alone: 3 datasets × 2 seeds; merged: 2 seeds for all three. Masks share the model.
    assert_eq!(count("coarse"), 8);
    assert_eq!(count("fine"), 0);
    assert_eq!(count("tokenizer"), 1);
    assert_eq!(count("generate"), 24);
}
