//! What training costs on this machine, on made-up pairs: its cost depends on their lengths alone.

use burn::tensor::Device;
use inerd_lm::LanguageModel;
use inerd_lm::bench::{cpu_seconds, peak_mb};
use serde::Serialize;

use crate::{Error, Example, Flow, Hooks, Loss, Schedule, Settings, Step, Trained, lay_out, train};

/// What is trained on.
#[derive(Debug, Clone)]
pub struct TrainBench {
    /// Pairs per optimiser step.
    pub batch: usize,
    /// Tokens of prompt and response of each pair; used over and over in this order.
    pub lengths: Vec<(usize, usize)>,
    pub loss: Loss,
    /// Tokens allowed at each position of a response, where the loss looks at them.
    pub allowed: usize,
    /// Measured steps, behind one that isn't counted.
    pub steps: usize,
}

/// What it cost. Times are CPU seconds of all threads together.
#[derive(Debug, Clone, Serialize)]
pub struct TrainFigures {
    /// Median over the steps.
    pub cpu_seconds_per_step: f64,
    pub pairs_per_cpu_second: f64,
    /// Tokens of prompts and responses.
    pub tokens_per_cpu_second: f64,
    /// Elapsed time.
    pub pairs_per_second: f64,
    pub peak_mb: f64,
    /// Share of the positions that hold nothing, 0 to 1.
    pub padding: f64,
    pub last_loss: f64,
}

impl TrainBench {
    /// Trains for the steps, all with the same learning rate; `scratch` is an empty folder.
    pub fn run(&self, model: LanguageModel, device: &Device, scratch: &std::path::Path) -> Result<TrainFigures, Error> {
        let vocabulary = model.config.vocab_size() as u32;
        let steps = self.steps.max(1) + 1;
        let examples: Vec<Example> = (0..steps * self.batch).map(|i| self.example(i, vocabulary)).collect();
        let settings = Settings {
            epochs: 1,
            max_steps: None,
            patience: None,
            batch: self.batch,
            micro_batch: self.batch,
            learning_rate: 1e-4,
            schedule: Schedule::Constant { warmup: 0.0 },
            weight_decay: 0.01,
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            clip: Some(1.0),
            loss: self.loss,
            seed: 1,
            checkpoint_every: None,
            co_regularization: None,
            pl_marker: None,
        };
        let mut watch = Watch { marks: vec![Mark::now(0.0)], peak_mb: 0.0 };
        let trained = train(vec![model], &examples, &settings, device, scratch, &mut watch)?;
        drop::<Trained>(trained);
        let mut times: Vec<(f64, f64)> = (watch.marks[1..].windows(2))
            .map(|pair| (pair[1].cpu - pair[0].cpu, (pair[1].time - pair[0].time).as_secs_f64()))
            .collect();
        let total: (f64, f64) = times.iter().fold((0.0, 0.0), |sum, t| (sum.0 + t.0, sum.1 + t.1));
        let counted = times.len() as f64;
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        let tokens: usize = examples[self.batch..].iter().map(|e| e.ids.len()).sum();
        let padding = |batch: &[Example]| lay_out(&batch.iter().collect::<Vec<_>>(), device).padding();
        Ok(TrainFigures {
            cpu_seconds_per_step: times[times.len() / 2].0,
            // Steps differ in length: the mean, not the median.
            pairs_per_cpu_second: counted * self.batch as f64 / total.0,
            tokens_per_cpu_second: tokens as f64 / total.0,
            pairs_per_second: counted * self.batch as f64 / total.1,
            peak_mb: watch.peak_mb,
            padding: examples.chunks(self.batch).map(padding).sum::<f64>() / steps as f64,
            last_loss: watch.marks.last().map_or(0.0, |mark| mark.loss),
        })
    }

    fn example(&self, i: usize, vocabulary: u32) -> Example {
        let (prompt, response) = self.lengths[i % self.lengths.len()];
        let token = |t: usize| (i as u32 * 7919 + t as u32 * 104_729 + 13) % vocabulary;
        let ids: Vec<u32> = (0..prompt + response).map(token).collect();
        let allowed = |t: usize| {
            let mut among: Vec<u32> = (0..self.allowed as u32).map(|j| (ids[t] + j * 97) % vocabulary).collect();
            among.sort_unstable();
            among.dedup();
            among
        };
        let allowed = (self.loss == Loss::Allowed).then(|| (prompt..prompt + response).map(allowed).collect());
        Example { ids, response: prompt, allowed, spans: Vec::new() }
    }
}

/// Notes the time after every step.
struct Watch {
    marks: Vec<Mark>,
    peak_mb: f64,
}

struct Mark {
    cpu: f64,
    time: std::time::Instant,
    loss: f64,
}

impl Mark {
    fn now(loss: f64) -> Self {
        Self { cpu: cpu_seconds(), time: std::time::Instant::now(), loss }
    }
}

impl Hooks for Watch {
    fn on_step(&mut self, step: &Step) -> Flow {
        self.marks.push(Mark::now(step.loss));
        // Before anything is written to disk.
        self.peak_mb = peak_mb();
        Flow::Continue
    }

    fn validate(
        &mut self,
        _: &LanguageModel,
        _: usize,
    ) -> Result<Option<f64>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(None)
    }
}
