//! What a stage costs that has nothing to do: CPU time per stage of a first run and of a second one that finds
//! everything done. `cargo run --release -p inerd-run --example idle_stages [stages] [repetitions]`
#![expect(clippy::print_stdout, reason = "a program that prints")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use inerd_experiment::{Cell, Plan, Score, ScoreStage, Space, Stage, StageKind, TokenizerStage, Work};
use inerd_run::{Context, Device, FileInputs, Options, Store, Unobserved, run_with};

/// Half of the stages read nothing, each other one reads one of them.
fn plan(stages: usize) -> Plan {
    let stage = |kind: StageKind, label: String| {
        let (id, parents) = (kind.fingerprint(Space::Real), kind.parents());
        Stage { id, kind, parents, label, missing: Vec::new(), continues: None, work: Work::default() }
    };
    let mut plan = Plan {
        format: Plan::FORMAT,
        experiment: "idle".to_owned(),
        space: Space::Real,
        stages: Vec::new(),
        cells: Vec::new(),
    };
    for n in 0..stages / 2 {
        let root = TokenizerStage { vocabulary: n, datasets: Vec::new(), corpora: Vec::new() };
        let root = stage(StageKind::Tokenizer(root), format!("root {n}"));
        let score = ScoreStage { settings: Score::default(), generations: root.id, corpus: root.id };
        let score = stage(StageKind::Score(score), format!("score {n}"));
        plan.cells.push(Cell {
            arm: "idle".to_owned(),
            point: BTreeMap::new(),
            dataset: "none".to_owned(),
            seed: n as u64,
            score: score.id,
            lineage: Vec::new(),
        });
        plan.stages.extend([root, score]);
    }
    plan
}

/// CPU seconds of this process and of the children that it waited for (`man 5 proc`: utime to cstime, in ticks of 10 ms).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: f64 = behind_name.split(' ').skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn context(store: &Path) -> Result<Context, inerd_run::Error> {
    Ok(Context {
        store: Store::open(store)?,
        inputs: FileInputs::default(),
        device: Device::flex(),
        device_name: "cpu".to_owned(),
        stop: Arc::default(),
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let stages: usize = arguments.next().map_or(Ok(100), |n| n.parse())?;
    let repetitions: usize = arguments.next().map_or(Ok(50), |n| n.parse())?;
    let plan = plan(stages);
    let parent = std::env::temp_dir().join(format!("inerd-idle-{}", std::process::id()));
    for (what, fresh) in [("first run", true), ("second run", false)] {
        let (begin, wall) = (cpu(), Instant::now());
        for repetition in 0..repetitions {
            // The second runs find the stores of the first ones.
            let context = context(&parent.join(repetition.to_string()))?;
            let summary = run_with(&plan, &context, &Options::default(), &Unobserved, &|_| Ok(()))?;
            let worked = summary.count(|outcome| *outcome == inerd_run::Outcome::Done);
            assert_eq!(worked, if fresh { plan.stages.len() } else { 0 });
        }
        let each = 1000.0 / (repetitions * plan.stages.len()) as f64;
        let (cpu, wall) = (each * (cpu() - begin), each * wall.elapsed().as_secs_f64());
        println!("{what:<10}  {cpu:>7.4} ms of CPU time a stage, {wall:>7.4} ms on the clock ({stages} stages)");
    }
    std::fs::remove_dir_all(&parent)?;
    Ok(())
}
