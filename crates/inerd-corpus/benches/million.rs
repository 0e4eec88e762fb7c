//! One million sentences read, checked and sub-sampled: under 30 s on two cores and under 2 GB.
//!
//! `cargo bench -p inerd-corpus --bench million` writes a column file of a million generated sentences into a temporary
//! folder, then works on it in a process of its own, so that the peak of memory is that of the work alone.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark reports by printing"
)]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use inerd_corpus::synth::{Synthesis, generate};
use inerd_corpus::{Card, CheckOptions, Sameness, Stats, Subset, check, load, write_conll};

const SENTENCES: usize = 1_000_000;
const TEST: usize = 10_000;
const BLOCK: usize = 20_000;

fn main() {
    if let Ok(folder) = std::env::var("INERD_BENCH_FOLDER") {
        return work(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("million");
    fs::create_dir(&data).unwrap();
    let started = Instant::now();
    let mut train = BufWriter::new(File::create(data.join("train.conll")).unwrap());
    for block in 0..SENTENCES / BLOCK {
        write_conll(&mut train, &sentences(block as u64 + 1, BLOCK)).unwrap();
    }
    train.flush().unwrap();
    write_conll(File::create(data.join("test.conll")).unwrap(), &sentences(0, TEST)).unwrap();
    let bytes = fs::metadata(data.join("train.conll")).unwrap().len();
    println!("written   {:6.1} s  {:.0} MB", started.elapsed().as_secs_f64(), bytes as f64 / 1e6);
    let status = Command::new(std::env::current_exe().unwrap()).env("INERD_BENCH_FOLDER", folder.path()).status();
    assert!(status.unwrap().success());
}

fn sentences(seed: u64, count: usize) -> Vec<inerd_text::Sentence> {
    let recipe =
        Synthesis { grammar: "news".to_owned(), seed, train: count, valid: 0, test: 0, ..Synthesis::default() };
    generate("million", &recipe).unwrap().train
}

fn work(folder: &Path) {
    let card = "format = 1\nname = \"million\"\ntitle = \"A million\"\nlicence = \"MIT\"\n[splits]\nvalid-share = 0.0\n\
                [reader.conll]\n[[file]]\nsplit = \"train\"\npath = \"train.conll\"\n\
                [[file]]\nsplit = \"test\"\npath = \"test.conll\"\n";
    let card = Card::parse("million", card).unwrap();
    let started = Instant::now();
    let lap = |what: &str| {
        let seconds = started.elapsed().as_secs_f64();
        println!("{what:<9} {seconds:6.1} s  {:6.1} s of CPU  {:4.0} MB at most", cpu(), peak());
    };
    let corpus = load(&card, Some(folder)).unwrap();
    assert_eq!((corpus.train.len(), corpus.test.len()), (SENTENCES, TEST));
    lap("read");
    let stats = Stats::of(&corpus);
    assert_eq!(stats.splits[0].1.sentences, SENTENCES);
    lap("counted");
    let found = check(&corpus, &CheckOptions { writing: None, context: None, sameness: Sameness::Near(0.8) });
    assert_eq!(found.test_in_train.of, TEST);
    lap("checked");
    let subset = Subset { fraction: 0.01, stratified: true, ..Subset::default() }.choose(corpus.train);
    assert_eq!(subset.len(), SENTENCES / 100);
    lap("sampled");
    // On a machine that does other work, too, the time of a free core is the CPU time or less.
    let seconds = started.elapsed().as_secs_f64().min(if cpu() > 0.0 { cpu() } else { f64::INFINITY });
    println!("bounds    {:6.1} s  2000 MB: {}", 30.0, if seconds < 30.0 && peak() < 2000.0 { "met" } else { "MISSED" });
}

/// Seconds of CPU that this process has used, on all cores; zero where the system does not say.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = behind_name.split(' ').skip(12).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// The most memory that this process ever held, in MB; zero where the system does not say.
fn peak() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1000.0
}
