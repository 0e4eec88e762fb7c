//! Every committed experiment loads and plans, and the small ones together fit a working day.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inerd_experiment::{Backend, Calibration, EmptyStore, Experiment, Plan, Retry, Summary, decide_all, duration};

use crate::common::{Fake, experiments};

/// Every file but those that others extend.
fn files(folder: &Path, out: &mut Vec<PathBuf>) {
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

fn load(path: &Path) -> Experiment {
    Experiment::load(path, &[]).unwrap_or_else(|error| {
        let problems: Vec<_> =
            error.problems.iter().map(|p| format!("{:?} {:?} {}", p.file(), p.position(), p.message())).collect();
        panic!("{}: {problems:#?}", path.display());
    })
}

fn plans() -> Vec<(PathBuf, Experiment, Plan)> {
    let mut paths = Vec::new();
    files(&experiments(), &mut paths);
    let plan = |path: PathBuf| {
        let experiment = load(&path);
        // What isn't for two cores is for a GPU.
        let full = path.parent().is_some_and(|p| p.ends_with("full")) || path.ends_with("experiments/paper.toml");
        let backend = if full { Backend::Cuda } else { Backend::Cpu };
        let plan = Plan::build(&experiment, &Fake { backend, ..Fake::default() }).unwrap();
        (path, experiment, plan)
    };
    paths.into_iter().map(plan).collect()
}

fn summary(plan: &Plan) -> Summary {
    let decisions = decide_all(plan, &EmptyStore, Retry::All, &Plan::is_score);
    Summary::new(plan, &decisions, &Calibration::default())
}

#[test]
fn every_committed_experiment_plans_and_states_its_question() {
    let plans = plans();
    assert!(plans.len() >= 28, "{}", plans.len());
    let mut names = BTreeMap::new();
    for (path, experiment, plan) in plans {
        assert_eq!(plan.experiment, experiment.name);
        let question = &experiment.question;
        assert!(!question.question.is_empty() && !question.title.is_empty(), "{}", path.display());
        assert!(question.baseline.is_some() && question.min_effect.is_some(), "{}", path.display());
        let twin = names.insert(experiment.name.clone(), path.clone());
        assert!(twin.is_none(), "{} and {twin:?} have one name", path.display());
        let smoke = Plan::build(&experiment.clone().smoke(), &Fake::default()).unwrap();
        let per_seed = plan.cells.len() / question.seeds.count;
        assert_eq!(
            smoke.cells.len(),
            per_seed * question.seeds.count.min(2),
            "{}: smoke keeps all arms",
            path.display()
        );
    }
}

/// Cells, stages, predicted time and the share of it that is left by sharing.
#[test]
fn costs_of_the_committed_experiments() {
    let mut rows = Vec::new();
    for (_, experiment, plan) in plans() {
        let summary = summary(&plan);
        rows.push(format!(
            "{:<32} {:>6} results {:>6} stages {:>10}  {:>3.0} % of {:>10}",
            experiment.name,
            plan.cells.len(),
            plan.stages.len(),
            duration(summary.all.middle),
            100.0 * summary.share(),
            duration(summary.one_by_one.middle),
        ));
    }
    insta::assert_snapshot!(rows.join("\n"));
}

/// All small experiments in one store: equal stages of different experiments run once, too.
#[test]
fn small_experiments_fit_a_working_day() {
    let mut seconds = BTreeMap::new();
    for (path, experiment, plan) in plans() {
        let folder = path.parent().unwrap();
        let other = ["inerd-tiny", "paper", "quickstart", "wnut17"].contains(&experiment.name.as_str());
        if folder.ends_with("full") || other {
            continue;
        }
        for stage in &plan.stages {
            seconds.insert(stage.id, Calibration::default().cost(stage).seconds.middle);
        }
    }
    let hours = seconds.values().sum::<f64>() / 3600.0;
    assert!((5.0..9.0).contains(&hours), "{hours:.2} h");
}

#[test]
fn question_one_shares_more_than_half_of_its_work() {
    for name in ["q1-merged-vs-individual.toml", "full/q1-merged-vs-individual.toml"] {
        let experiment = load(&experiments().join(name));
        let plan = Plan::build(&experiment, &Fake::default()).unwrap();
        // 4 arms × 8 datasets × before and after × masks on and off × 5 seeds.
        assert_eq!(plan.cells.len(), 4 * 8 * 2 * 2 * 5);
        let share = summary(&plan).share();
        assert!(share <= 0.45, "{name}: {share:.3}");
    }
}

#[test]
fn quickstart_takes_minutes() {
    let experiment = load(&experiments().join("quickstart.toml"));
    let plan = Plan::build(&experiment, &Fake::default()).unwrap();
    let count = |name: &str| plan.stages.iter().filter(|stage| stage.kind.name() == name).count();
    // 2 arms × 3 datasets × 2 masks × 2 seeds.
    assert_eq!(plan.cells.len(), 24);
    // Alone: 3 datasets × 2 seeds; merged: 2 seeds for all three. Masks share the model.
    assert_eq!((count("tokenizer"), count("coarse"), count("fine"), count("generate")), (1, 8, 0, 24));
    let minutes = summary(&plan).all.middle / 60.0;
    assert!(minutes < 5.0, "{minutes:.1}");
}
