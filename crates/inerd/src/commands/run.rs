use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use inerd_experiment::{Backend, Experiment, Plan, duration};
use inerd_lm::DeviceChoice;
use inerd_run::{Asked, Context, Device, Options, Outcome, Store, Summary, calibration, widest};
use serde_json::json;

use crate::Global;
use crate::commands::{ExperimentArguments, context, exit_of, inputs, report, run_failure};
use crate::exit::Exit;
use crate::output::{Failure, Output};
use crate::progress::Bars;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    file: ExperimentArguments,
    /// Begin no further stage after the first failure.
    #[arg(long, conflicts_with = "keep_going")]
    fail_fast: bool,
    /// Work everything that doesn't depend on a failed stage. This is what happens anyway; it says so in scripts.
    #[arg(long)]
    keep_going: bool,
    /// Only these stages and what they need: a kind (`fine`), an arm, the beginning of a fingerprint, or a part of a
    /// label. May be repeated.
    #[arg(long, value_name = "STAGE")]
    only: Vec<String>,
    /// Only what failed before, and the results that wait for it.
    #[arg(long, conflicts_with = "only")]
    failed: bool,
    /// Stages worked at the same time: one per GPU, or as many on the CPU.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
    #[command(flatten)]
    adaptive: Adaptive,
    #[command(flatten)]
    text: report::TextArguments,
}

/// Replicates until the results are sure enough.
#[derive(Debug, clap::Args)]
struct Adaptive {
    /// Add replicates one at a time until the 95 % interval of every result is at most ± this many points.
    #[arg(long, value_name = "POINTS")]
    narrow: Option<f64>,
    /// With --narrow: at most this many replicates.
    #[arg(long, value_name = "N", default_value_t = 20)]
    most_seeds: usize,
    /// With --narrow: begin no replicate that would end after this time, such as 90m or 8h.
    #[arg(long, value_name = "TIME", value_parser = budget)]
    budget: Option<Duration>,
}

fn budget(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len()));
    let number: f64 = digits.trim().parse().map_err(|_| "expected a time such as 90m or 8h".to_owned())?;
    let seconds = match unit {
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(format!("`{unit}` is no unit of time: use s, m, h or d")),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|e| e.to_string())
}

pub(crate) fn run(arguments: Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let inputs = inputs(global, super::backend(global)?);
    // The file is read once: whoever edits it while the sweep runs changes the next run.
    let (mut experiment, mut plan) = arguments.file.plan(&inputs)?;
    missing_inputs(&plan, &inputs)?;
    let failed = |e| run_failure(format!("run `{}`", experiment.name), e);
    let store = Store::open(&global.store).map_err(failed)?;
    let mut context = context(global, store, inputs)?;
    context.stop = stop_on_signals();
    let workers = arguments.workers.map(usize::from).or(experiment.executor.workers).unwrap_or(1);
    let mut options = Options {
        fail_fast: arguments.fail_fast && !arguments.keep_going,
        asked: asked(&arguments, &plan)?,
        devices: devices(workers, global, &context),
        calibration: calibration(&context.store, context.inputs.backend),
        ..Options::default()
    };
    let (begin, mut rounds, mut summary) = (Instant::now(), 0, Summary::default());
    loop {
        let round = Instant::now();
        let bars = Bars::new(output.is_json());
        let failed = |e| run_failure(format!("run `{}`", plan.experiment), e);
        summary.add(inerd_run::run(&plan, &context, &options, &bars).map_err(failed)?);
        drop(bars);
        rounds += 1;
        let usual = summary.interrupted || summary.failed() > 0;
        if usual || !another(&arguments.adaptive, &experiment, &plan, &context.store, (begin, round), output)? {
            break;
        }
        experiment.change_seeds("+1").map_err(|e| Failure::during("add a replicate", Exit::Usage, e))?;
        plan = Plan::build(&experiment, &context.inputs)
            .map_err(|e| Failure::during("plan the experiment", Exit::Input, e))?;
        options.asked = asked(&arguments, &plan)?;
    }
    if summary.interrupted {
        output.say("interrupted; the same command goes on from here");
        return Ok(Exit::Interrupted.into());
    }
    let (done, skipped, failed) =
        (summary.count(|o| *o == Outcome::Done), summary.count(|o| *o == Outcome::Skipped), summary.failed());
    output.say(&format!("{done} stages done, {skipped} were there already, {failed} failed"));
    let measured = measured(&plan, &summary, &context.store);
    output.say(&table(&measured));
    let written = report::write(&experiment, &plan, &context.store, arguments.text, global)?;
    let failures: BTreeMap<String, String> = (summary.outcomes.iter())
        .filter_map(|(id, outcome)| match outcome {
            Outcome::Failed { class, message } => Some((id.to_string(), format!("{class}: {message}"))),
            Outcome::Blocked(message) => Some((id.to_string(), format!("blocked: {message}"))),
            _ => None,
        })
        .collect();
    let json = json!({
        "experiment": plan.experiment, "plan": plan.fingerprint(), "rounds": rounds,
        "seeds": experiment.question.seeds.count, "done": done, "skipped": skipped, "failed": failed,
        "failures": failures, "time": measured, "report": written,
    });
    output.result(&report::to_open(&written), &json);
    Ok(if failed == 0 { Exit::Success } else { Exit::StageFailed }.into())
}

/// The stages that the command line names.
fn asked(arguments: &Arguments, plan: &Plan) -> Result<Asked, Failure> {
    if arguments.failed {
        return Ok(Asked::Failed);
    }
    if arguments.only.is_empty() {
        return Ok(Asked::Everything);
    }
    let mut ids = Vec::new();
    for name in &arguments.only {
        let before = ids.len();
        let kind = plan.stages.iter().filter(|stage| stage.kind.name() == name);
        ids.extend(kind.map(|stage| stage.id));
        ids.extend(plan.cells.iter().filter(|cell| cell.arm == *name).map(|cell| cell.score));
        if ids.len() == before {
            let named = |id: &str, label: &str| id.starts_with(&name.to_lowercase()) || label.contains(name.as_str());
            let stages = plan.stages.iter().filter(|stage| named(&stage.id.to_string(), &stage.label));
            ids.extend(stages.map(|stage| stage.id));
        }
        if ids.len() == before {
            let help = "`inerd plan FILE` lists the stages";
            return Err(Failure::with_help("choose the stages", Exit::Usage, NoSuchStage(name.clone()), help));
        }
    }
    Ok(Asked::Only(ids))
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no kind of stage, no arm, no beginning of a fingerprint and no part of a label")]
struct NoSuchStage(String);

/// One device per worker: GPUs in turn, beginning with the chosen one; the CPU as often as asked.
fn devices(workers: usize, global: &Global, context: &Context) -> Vec<(Device, String)> {
    if workers == 1 || context.inputs.backend == Backend::Cpu {
        return vec![(context.device.clone(), context.device_name.clone()); workers];
    }
    let first = if let DeviceChoice::Cuda(index) = global.device { index } else { 0 };
    let known = (first..).map_while(|index| {
        let choice = DeviceChoice::Cuda(index);
        Some((choice.resolve().ok()?, choice.to_string()))
    });
    let known: Vec<_> = known.collect();
    known.iter().cycle().take(workers).cloned().collect()
}

/// Whether a further replicate is wanted and affordable.
fn another(
    adaptive: &Adaptive,
    experiment: &Experiment,
    plan: &Plan,
    store: &Store,
    (begin, round): (Instant, Instant),
    output: &mut Output,
) -> Result<bool, Failure> {
    let Some(narrow) = adaptive.narrow else { return Ok(false) };
    let failed = |e: inerd_run::Error| Failure::during("measure the intervals", exit_of(&e), e);
    let metric = &experiment.question.metric;
    let seeds = experiment.question.seeds.count;
    match widest(plan, store, metric).map_err(failed)? {
        Some(width) => {
            output.say(&format!("{seeds} replicates: {} is known to ± {:.2} points of {metric}", width.of, width.half));
            if width.half <= narrow {
                return Ok(false);
            }
        }
        None => output.say(&format!("{seeds} replicates: fewer than three of a result are independent")),
    }
    if seeds >= adaptive.most_seeds {
        output.say(&format!("not narrow enough after {seeds} replicates; --most-seeds allows no more"));
        return Ok(false);
    }
    // The next replicate takes about as long as the last one did.
    if adaptive.budget.is_some_and(|budget| begin.elapsed() + round.elapsed() > budget) {
        output.say(&format!("not narrow enough after {seeds} replicates, but the budget ends"));
        return Ok(false);
    }
    Ok(true)
}

/// Predicted and measured seconds of the stages that this run has worked, by kind.
fn measured<'a>(plan: &'a Plan, summary: &Summary, store: &Store) -> BTreeMap<&'a str, (usize, f64, f64)> {
    let mut kinds: BTreeMap<&str, (usize, f64, f64)> = BTreeMap::new();
    for stage in &plan.stages {
        if summary.outcomes.get(&stage.id) == Some(&Outcome::Done)
            && let Ok(artefact) = store.get(stage.id)
        {
            let fact = |name: &str| artefact.manifest.facts.get(name).copied().unwrap_or_default();
            let (count, predicted, seconds) = kinds.entry(stage.kind.name()).or_default();
            *count += 1;
            *predicted += fact("predicted_seconds");
            *seconds += fact("seconds");
        }
    }
    kinds
}

fn table(kinds: &BTreeMap<&str, (usize, f64, f64)>) -> String {
    let mut text = String::new();
    for (kind, (count, predicted, seconds)) in kinds {
        let (predicted, took) = (duration(*predicted), duration(*seconds));
        // Writing to a string cannot fail.
        _ = writeln!(text, "{count:>6} × {kind:<10} predicted {predicted:>9}, took {took:>9}");
    }
    text.trim_end().to_owned()
}

/// A dataset that isn't at hand is told before anything is trained, with the way to get it.
fn missing_inputs(plan: &Plan, inputs: &inerd_run::FileInputs) -> Result<(), Failure> {
    let mut names: Vec<&String> = plan.stages.iter().flat_map(|s| &s.missing).collect();
    names.sort();
    names.dedup();
    let Some(first) = names.first() else { return Ok(()) };
    let how = inputs.missing(first);
    let missing = Missing { names: names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ") };
    Err(Failure::with_help(
        format!("run `{}`", plan.experiment),
        Exit::Input,
        missing,
        how.unwrap_or_else(|| "put it where the plan looks for it".to_owned()),
    ))
}

#[derive(Debug, thiserror::Error)]
#[error("{names} is not at hand")]
struct Missing {
    names: String,
}

/// A flag that SIGINT, SIGTERM and SIGUSR1 set: the stage at work writes a checkpoint and the command leaves with a
/// code of its own. A second SIGINT or SIGTERM ends the process at once.
fn stop_on_signals() -> Arc<AtomicBool> {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Registered first: at the second signal the flag is set already and the process ends.
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop));
    }
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        let _ = signal_hook::flag::register(signal, Arc::clone(&stop));
    }
    stop
}
