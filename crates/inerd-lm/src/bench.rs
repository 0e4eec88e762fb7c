//! What generation costs on this machine, under a constraint that is made up: its cost doesn't depend on what is
//! written, so that random weights will do.

use burn::tensor::Device;
use serde::Serialize;

use crate::generate::{Allowed, Constraint, Free, Request, Settings, generate};
use crate::{Error, LanguageModel};

/// What is generated.
#[derive(Debug, Clone, Copy)]
pub struct GenerateBench {
    /// Rows decoded together.
    pub batch: usize,
    /// Tokens of each prompt.
    pub prompt: usize,
    /// Tokens of each answer.
    pub length: usize,
    /// Tokens allowed at a position with a choice; `None` for no mask at all.
    pub allowed: Option<usize>,
    /// Positions without a choice, of every hundred of an answer.
    pub forced: usize,
    /// Measured batches, behind one that isn't counted.
    pub rounds: usize,
}

/// What it cost. Times are CPU seconds of all threads together, medians over the rounds.
#[derive(Debug, Clone, Serialize)]
pub struct GenerateFigures {
    pub cpu_seconds_per_sentence: f64,
    pub sentences_per_cpu_second: f64,
    pub tokens_per_cpu_second: f64,
    /// Elapsed time.
    pub sentences_per_second: f64,
    pub peak_mb: f64,
}

impl GenerateBench {
    /// Runs the rounds.
    pub fn run(&self, model: &LanguageModel, device: &Device) -> Result<GenerateFigures, Error> {
        let vocabulary = model.config.vocab_size() as u32;
        let settings = Settings {
            batch: self.batch,
            max_new_tokens: self.length,
            // No id of the vocabulary: answers end with their length.
            end_of_sequence: u32::MAX,
        };
        let round = |round: usize| -> Result<(f64, f64), Error> {
            let request = |row: usize| {
                let seed = (round * self.batch + row) as u32;
                let prompt = (0..self.prompt as u32).map(|t| (seed * 7919 + t * 104_729 + 13) % vocabulary).collect();
                let constraint: Box<dyn Constraint> = match self.allowed {
                    Some(allowed) => {
                        Box::new(MadeUp { bench: *self, vocabulary, seed, at: 0, allowed: vec![0; allowed] })
                    }
                    None => Box::new(Free),
                };
                Request::new(prompt, constraint)
            };
            let requests = (0..self.batch).map(request).collect();
            let (cpu, elapsed) = (cpu_seconds(), std::time::Instant::now());
            generate(model, requests, settings, device, &mut |_| {})?;
            Ok((cpu_seconds() - cpu, elapsed.elapsed().as_secs_f64()))
        };
        round(0)?;
        let mut times: Vec<(f64, f64)> = (1..=self.rounds.max(1)).map(round).collect::<Result<_, _>>()?;
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (cpu, elapsed) = times[times.len() / 2];
        let sentences = self.batch as f64;
        Ok(GenerateFigures {
            cpu_seconds_per_sentence: cpu / sentences,
            sentences_per_cpu_second: sentences / cpu,
            tokens_per_cpu_second: sentences * self.length as f64 / cpu,
            sentences_per_second: sentences / elapsed,
            peak_mb: peak_mb(),
        })
    }
}

/// A constraint with a fixed share of forced positions; which tokens are allowed follows from row and position.
struct MadeUp {
    bench: GenerateBench,
    vocabulary: u32,
    seed: u32,
    at: usize,
    allowed: Vec<u32>,
}

impl MadeUp {
    fn token(&self, j: usize) -> u32 {
        (self.seed * 31 + self.at as u32 * 1009 + j as u32 * 97) % self.vocabulary
    }

    /// Forced positions lie evenly among the others; the first has a choice.
    fn is_forced(&self) -> bool {
        let passed = |at: usize| at * self.bench.forced / 100;
        self.at > 0 && passed(self.at + 1) > passed(self.at)
    }
}

impl Constraint for MadeUp {
    fn allowed(&mut self) -> Allowed<'_> {
        let count = if self.is_forced() { 1 } else { self.allowed.capacity() };
        let mut tokens: Vec<u32> = (0..count).map(|j| self.token(j)).collect();
        tokens.sort_unstable();
        tokens.dedup();
        self.allowed.clear();
        self.allowed.extend(tokens);
        Allowed::Only(&self.allowed)
    }

    fn forced(&mut self, run: &mut Vec<u32>) {
        let start = self.at;
        while self.is_forced() && self.at < self.bench.length {
            run.push(self.token(0));
            self.at += 1;
        }
        self.at = start;
    }

    fn advance(&mut self, _: u32) {
        self.at += 1;
    }
}

/// CPU time of this process so far, all threads together, in seconds (Linux; 0 elsewhere).
pub fn cpu_seconds() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds = threads.filter_map(|thread| {
        let times = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        times.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() * 1e-9
}

/// Peak memory of this process in megabytes (Linux; 0 elsewhere).
pub fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
