use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use inerd_experiment::{Decision, Plan, PlanView, Retry, Stage, State, StoreView as _, decide_all, duration, shared};
use inerd_run::{Event, PastRun, Store, calibration, past_runs};
use serde_json::{Value, json};

use crate::Global;
use crate::commands::show::told;
use crate::commands::{ExperimentArguments, Variations, exit_of, inputs};
use crate::exit::Exit;
use crate::output::{Failure, Output, when};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The experiment's file; without it, the newest runs of the store are listed.
    experiment: Option<PathBuf>,
    #[command(flatten)]
    variations: Variations,
    /// Compare the hash of every artefact in the store with what its manifest says.
    #[arg(long)]
    verify: bool,
}

pub(crate) fn run(arguments: Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let store = Store::at(&global.store);
    if arguments.verify {
        return verify(&store, output);
    }
    let Arguments { experiment, variations, .. } = arguments;
    match experiment {
        Some(experiment) => of_experiment(ExperimentArguments { experiment, variations }, &store, global, output),
        None => {
            runs(&past_runs(&store, 10), output);
            Ok(Exit::Success.into())
        }
    }
}

fn verify(store: &Store, output: &mut Output) -> Result<ExitCode, Failure> {
    let failed = |e: inerd_run::Error| Failure::during("verify the store", exit_of(&e), e);
    let damaged: Vec<String> = store.verify().map_err(failed)?.iter().map(ToString::to_string).collect();
    let count = store.artefacts().map_err(failed)?.len();
    let mut text = format!("{count} artefacts, {} damaged\n", damaged.len());
    for damage in &damaged {
        _ = writeln!(text, "  {damage}");
    }
    output.result(&text, &json!({ "artefacts": count, "damaged": damaged }));
    Ok(if damaged.is_empty() { Exit::Success } else { Exit::Store }.into())
}

fn of_experiment(
    file: ExperimentArguments,
    store: &Store,
    global: &Global,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let inputs = inputs(global, super::backend(global)?);
    let (_, plan) = file.plan(&inputs)?;
    let decisions = decide_all(&plan, store, Retry::All, &Plan::is_score);
    let calibration = calibration(store, inputs.backend);
    let summary = PlanView { plan: &plan, decisions: &decisions, calibration: &calibration }.summary();
    let states: Vec<State> = plan.stages.iter().map(|stage| store.state(stage.id)).collect();
    let scores = plan.cells.iter().filter(|cell| store.contains(cell.score)).count();

    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (state, decision) in states.iter().zip(&decisions) {
        *counts.entry(bucket(*state, *decision)).or_default() += 1;
    }
    let mut text = format!("{}: {scores} of {} results\n", plan.experiment, plan.cells.len());
    for (bucket, count) in &counts {
        _ = writeln!(text, "  {bucket:<12} {count:>6} stages");
    }
    _ = writeln!(text, "  left         {:>6}", duration(summary.to_run.middle));
    let seconds = |stage: &Stage| store.get(stage.id).ok()?.manifest.facts.get("seconds").copied();
    let (took, one_by_one) = shared(&plan, seconds);
    if took > 0.0 {
        let share = 100.0 * took / one_by_one;
        let (took, alone) = (duration(took), duration(one_by_one));
        _ = writeln!(text, "  shared       {took:>6} instead of {alone} one by one: {share:.0} % (measured)");
    }
    let noteworthy = |(stage, (state, decision)): (&Stage, (State, Decision))| note(stage, state, decision, store);
    let rows = plan.stages.iter().zip(states.iter().copied().zip(decisions.iter().copied()));
    let notes: Vec<Value> = rows.filter_map(noteworthy).collect();
    for note in &notes {
        let field = |key: &str| note[key].as_str().unwrap_or_default();
        _ = writeln!(text, "  {}  {:<40} {}", &field("id")[..12], field("label"), field("what"));
    }
    let json = json!({
        "experiment": plan.experiment, "results": { "there": scores, "planned": plan.cells.len() },
        "stages": counts, "left": summary.to_run, "notes": notes,
        "shared": { "seconds": took, "one_by_one": one_by_one },
    });
    output.result(&text, &json);
    Ok(Exit::Success.into())
}

/// What a stage is counted as.
fn bucket(state: State, decision: Decision) -> &'static str {
    match (state, decision) {
        (State::Running, _) => "running",
        (State::Failed { .. }, _) => "failed",
        (_, Decision::Skip(inerd_experiment::Skip::Done)) => "done",
        (_, Decision::Skip(_)) => "not needed",
        (_, Decision::Blocked(_)) => "blocked",
        (State::Interrupted { .. }, _) => "interrupted",
        (State::Corrupt, _) => "damaged",
        _ => "to run",
    }
}

/// Stages that somebody wants to know of: at work, failed, interrupted, damaged, without an input.
fn note(stage: &Stage, state: State, decision: Decision, store: &Store) -> Option<Value> {
    let what = match state {
        State::Running => {
            let holder = store.holder(stage.id)?;
            let progress = holder.progress.as_ref();
            let progress = progress.map(|w| format!(": {} {} of {} · {}", w.what, w.done, w.total, w.message));
            format!("{holder}{}", progress.unwrap_or_default())
        }
        State::Failed { class, .. } => {
            let message = store.failure(stage.id).map_or_else(String::new, |failure| failure.message);
            format!("failed ({class}): {message}")
        }
        State::Interrupted { .. } | State::Corrupt => told(state),
        State::Absent if !stage.missing.is_empty() => format!("{decision}: {}", stage.missing.join(", ")),
        _ => return None,
    };
    Some(json!({ "id": stage.id, "label": stage.label, "state": state, "what": what }))
}

fn runs(runs: &[PastRun], output: &mut Output) {
    let mut text = String::new();
    let mut list = Vec::new();
    for run in runs {
        let Some((time, Event::RunStarted { experiment, host, command, plan, .. })) = run.events.first() else {
            continue;
        };
        let how = match run.events.last() {
            Some((_, Event::RunFinished { done, skipped, failed, interrupted })) => {
                let stopped = if *interrupted { ", interrupted" } else { "" };
                format!("{done} done, {skipped} there, {failed} failed{stopped}")
            }
            _ => "at work, or killed".to_owned(),
        };
        _ = writeln!(text, "{}  {}  {experiment} on {host}: {how}", run.name, when(*time));
        list.push(json!({
            "run": run.name, "time_ms": time, "experiment": experiment, "host": host, "command": command, "plan": plan,
            "how": how,
        }));
    }
    if list.is_empty() {
        text.push_str("no run yet\n");
    }
    output.result(&text, &json!({ "runs": list }));
}
