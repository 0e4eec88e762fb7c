//! How long a report of 500 stages takes: `cargo run --release -p inerd-report --example report_speed [COPIES] [RUNS]`.
//!
//! 10 arms on 2 datasets with 5 seeds, each tested on COPIES × 100 sentences (default 10). Prints the wall time and the
//! CPU time of every run; results with their date stand beside this file.

#![expect(clippy::print_stdout, reason = "the figures are what the program is for")]

#[path = "../tests/it/fixture.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod fixture;

use std::time::Instant;

use inerd_report::{Options, write_report};

/// Seconds that this process's threads computed.
fn cpu_seconds() -> f64 {
    let status = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = status.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<usize>());
    let copies = arguments.next().transpose()?.unwrap_or(10);
    let runs = arguments.next().transpose()?.unwrap_or(5);
    let input = fixture::large(copies);
    let stages: usize = input.cells.iter().map(|c| c.stages.len()).sum();
    println!("{} cells, {stages} stages, {} sentences a test set", input.cells.len(), 100 * copies);
    for run in 1..=runs {
        let folder = tempfile::tempdir()?;
        let (start, computed) = (Instant::now(), cpu_seconds());
        let files = write_report(&input, folder.path(), Options::default())?;
        let wall = start.elapsed().as_secs_f64();
        println!("run {run}: {wall:.2} s, {:.2} s of CPU, {} files", cpu_seconds() - computed, files.len());
    }
    Ok(())
}
