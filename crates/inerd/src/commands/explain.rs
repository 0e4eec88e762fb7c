use std::fmt::Write as _;
use std::process::ExitCode;

use inerd_experiment::{Difference, Fingerprint, Plan, Retry, Stage, StoreView as _, decide_all, value_differences};
use inerd_run::Store;
use serde_json::json;

use crate::Global;
use crate::commands::show::told;
use crate::commands::{ExperimentArguments, exit_of, find, inputs};
use crate::exit::Exit;
use crate::output::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The beginning of a stage's fingerprint, as `plan` and `status` show it.
    stage: String,
    #[command(flatten)]
    file: ExperimentArguments,
}

pub(crate) fn run(arguments: Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let (_, plan) = arguments.file.plan(&inputs(global, super::backend(global)?))?;
    let store = Store::at(&global.store);
    let found = find::stage(&arguments.stage, &store, Some(&plan))?;
    let Some(stage) = &found.stage else {
        let error = NotPlanned { id: found.id, experiment: plan.experiment.clone() };
        return Err(Failure::with_help("explain the stage", Exit::Usage, error, "`inerd show` tells what it is"));
    };
    let decisions = decide_all(&plan, &store, Retry::All, &Plan::is_score);
    let decision = plan.stages.iter().zip(&decisions).find(|(s, _)| s.id == stage.id).map(|(_, decision)| *decision);
    let readers: Vec<&Stage> = plan.stages.iter().filter(|s| s.parents.contains(&stage.id)).collect();
    let cells = plan.cells.iter().filter(|cell| cell.score == stage.id || cell.lineage.contains(&stage.id)).count();
    let nearest = nearest(stage, &store)?;
    let parents: Vec<_> = stage.parents.iter().filter_map(|id| plan.stage(*id)).collect();

    let mut text = format!("{} ({})\n", stage.label, stage.id.short());
    let why = decision.map_or_else(|| "not planned".to_owned(), |decision| decision.to_string());
    // Writing to a string cannot fail.
    _ = writeln!(text, "  {why}");
    for missing in &stage.missing {
        _ = writeln!(text, "  missing   {missing}");
    }
    for parent in &parents {
        _ = writeln!(text, "  reads     {} {}: {}", parent.id.short(), parent.label, told(store.state(parent.id)));
    }
    for reader in readers.iter().take(12) {
        _ = writeln!(text, "  read by   {} {}: {}", reader.id.short(), reader.label, told(store.state(reader.id)));
    }
    if cells > 0 {
        _ = writeln!(text, "  behind    {cells} of the experiment's {} results", plan.cells.len());
    }
    match &nearest {
        Some((id, differences)) => {
            _ = writeln!(text, "  the nearest stage in the store, {}, differs in", id.short());
            for difference in differences {
                _ = writeln!(text, "    {}", shown(difference));
            }
        }
        None => _ = writeln!(text, "  the store has no other stage of its kind"),
    }
    let nearest = nearest.map(|(id, differences)| json!({ "id": id, "differences": differences }));
    let json = json!({
        "id": stage.id, "label": stage.label, "decision": decision, "why": why, "missing": stage.missing,
        "parents": parents.iter().map(|p| json!({ "id": p.id, "label": p.label, "state": store.state(p.id) })).collect::<Vec<_>>(),
        "results": cells, "nearest": nearest,
    });
    output.result(&text, &json);
    Ok(Exit::Success.into())
}

#[derive(Debug, thiserror::Error)]
#[error("{} is no stage of {experiment}", id.short())]
struct NotPlanned {
    id: Fingerprint,
    experiment: String,
}

/// One line: `body.settings.lr: 0.001 → 0.0003`.
pub(super) fn shown(difference: &Difference) -> String {
    let side =
        |value: &Option<serde_json::Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
    format!("{}: {} → {}", difference.path, side(&difference.left), side(&difference.right))
}

/// The stage in the store whose identity differs in the fewest places: the answer to "why does this run again?".
fn nearest(stage: &Stage, store: &Store) -> Result<Option<(Fingerprint, Vec<Difference>)>, Failure> {
    let failed = |e: inerd_run::Error| Failure::during("look into the store", exit_of(&e), e);
    if !store.root().join("objects").is_dir() {
        return Ok(None);
    }
    let identity = stage.kind.identity();
    let mut nearest: Option<(Fingerprint, Vec<Difference>)> = None;
    for id in store.artefacts().map_err(failed)?.into_iter().filter(|id| *id != stage.id) {
        // A damaged artefact has nothing to say here.
        let Ok(artefact) = store.get(id) else { continue };
        if artefact.manifest.stage["kind"] == identity["kind"] {
            let differences = value_differences(&artefact.manifest.stage, &identity);
            if nearest.as_ref().is_none_or(|(_, least)| differences.len() < least.len()) {
                nearest = Some((id, differences));
            }
        }
    }
    Ok(nearest)
}
