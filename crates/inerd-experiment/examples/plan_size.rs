//! Plans a large sweep and prints what that took: `cargo run --release -p inerd-experiment --example plan_size 10000`.
#![expect(clippy::print_stdout, reason = "a program that prints")]

use std::path::Path;
use std::time::Instant;

use inerd_experiment::{
    BaseModel, Calibration, Dataset, EmptyStore, Experiment, Files, Fingerprint, InputError, Inputs, Plan, PlanView,
    Retry, SplitSize, Text, decide_all, known_model,
};

/// Datasets of one size under every name.
struct World;

impl Inputs for World {
    fn dataset(&self, name: &str) -> Result<Dataset, InputError> {
        let split = |sentences| SplitSize { sentences, words: 20 * sentences, entities: sentences };
        let fingerprint = Fingerprint::of(name);
        Ok(Dataset { fingerprint, present: true, train: split(3000), valid: split(500), test: split(1000) })
    }

    fn model(&self, path: &str) -> Result<BaseModel, InputError> {
        known_model(path).ok_or_else(|| unknown(path))
    }

    fn corpus(&self, name: &str) -> Result<Text, InputError> {
        Err(unknown(name))
    }

    fn file(&self, path: &str) -> Result<Fingerprint, InputError> {
        Err(unknown(path))
    }
}

fn unknown(name: &str) -> InputError {
    InputError { message: format!("nothing is called {name}"), help: "there are only datasets here".to_owned() }
}

struct OneFile(String);

impl Files for OneFile {
    fn read(&self, _: &Path) -> Result<String, String> {
        Ok(self.0.clone())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted: usize = std::env::args().nth(1).map_or(Ok(10_000), |n| n.parse())?;
    // Five stages per point and seed: fine-tuning, and two decodings with their scores. Two datasets, three seeds.
    let rates = wanted.div_ceil(5 * 2 * 3);
    let rates: Vec<String> = (1..=rates).map(|n| format!("{n}e-6")).collect();
    let text = format!(
        "data = {{ pool = [\"a\", \"b\"] }}\n[experiment]\nseeds = {{ count = 3 }}\n[grid]\n\
         \"data.target\" = [\"a\", \"b\"]\n\"fine.lr\" = [{}]\n\"generate.rules\" = [\"exact\", \"none\"]\n",
        rates.join(", ")
    );

    let start = Instant::now();
    let experiment = Experiment::read("sweep.toml", &[], &OneFile(text))?;
    let read = start.elapsed();
    let plan = Plan::build(&experiment, &World)?;
    let planned = start.elapsed();
    let decisions = decide_all(&plan, &EmptyStore, Retry::All, &Plan::is_score);
    let view = PlanView { plan: &plan, decisions: &decisions, calibration: &Calibration::default() };
    let shown = view.text(20).len() + view.svg().len();
    let total = start.elapsed();

    println!("stages        {}", plan.stages.len());
    println!("cells         {}", plan.cells.len());
    println!("read          {:.3} s", read.as_secs_f64());
    println!("planned       {:.3} s", planned.as_secs_f64() - read.as_secs_f64());
    println!("decided+shown {:.3} s ({shown} bytes)", total.as_secs_f64() - planned.as_secs_f64());
    println!("total         {:.3} s", total.as_secs_f64());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(peak) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
        println!("peak memory   {}", peak.trim());
    }
    Ok(())
}
