use std::fmt::Write as _;
use std::process::ExitCode;

use inerd_experiment::{Decision, Plan, Retry, decide_all};
use inerd_run::Store;

use crate::Global;
use crate::commands::{ExperimentArguments, exit_of, inputs};
use crate::exit::Exit;
use crate::output::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    file: ExperimentArguments,
}

pub(crate) fn run(arguments: Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let (_, plan) = arguments.file.plan(&inputs(global, super::backend(global)?))?;
    let store = Store::open(&global.store).map_err(|e| Failure::during("plan", exit_of(&e), e))?;
    let decisions = decide_all(&plan, &store, Retry::All, &Plan::is_score);
    let json = serde_json::json!({
        "experiment": plan.experiment,
        "fingerprint": plan.fingerprint(),
        "stages": plan.stages.iter().zip(&decisions).map(|(stage, decision)| serde_json::json!({
            "id": stage.id, "label": stage.label, "parents": stage.parents, "decision": decision,
            "why": decision.to_string(), "missing": stage.missing,
        })).collect::<Vec<_>>(),
        "cells": plan.cells,
    });
    output.result(&table(&plan, &decisions), &json);
    Ok(Exit::Success.into())
}

fn table(plan: &Plan, decisions: &[Decision]) -> String {
    let mut text = String::new();
    let widest = plan.stages.iter().map(|s| s.label.chars().count()).max().unwrap_or(0);
    for (stage, decision) in plan.stages.iter().zip(decisions) {
        let missing = if stage.missing.is_empty() { String::new() } else { format!(" ({})", stage.missing.join(", ")) };
        let _ = writeln!(text, "{}  {:widest$}  {decision}{missing}", stage.id.short(), stage.label);
    }
    let works = decisions.iter().filter(|d| d.works()).count();
    let _ = writeln!(text, "\n{} stages, {works} to run; {} cells", plan.stages.len(), plan.cells.len());
    text
}
