//! Whether a device computes what the CPU computes: logits, gradients, a short training; and how fast it is.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use inerd_lm::bench::GenerateBench;
use inerd_lm::{Config, Gpt2Config, LanguageModel};
use serde::Serialize;

use crate::bench::TrainBench;
use crate::{Error, Example, Loss, lay_out, response_loss};

/// Largest differences to the CPU, relative to the largest value there, and speeds.
#[derive(Debug, Clone, Serialize)]
pub struct Examination {
    pub logits: f64,
    pub gradients: f64,
    /// Of the last loss of a short training.
    pub training: f64,
    pub generated_tokens_per_second: f64,
    pub trained_tokens_per_second: f64,
}

impl Examination {
    /// Whether no difference is larger than `tolerance`, relatively.
    pub fn is_within(&self, tolerance: f64) -> bool {
        [self.logits, self.gradients, self.training].iter().all(|difference| *difference <= tolerance)
    }
}

/// Compares `device` with the CPU on a small model with random weights.
pub fn examine(device: &Device) -> Result<Examination, Error> {
    let cpu = Device::flex();
    let model = |device: &Device| LanguageModel::random(Config::Gpt2(Gpt2Config::new(4096, 256, 256, 4, 4)), 1, device);
    let (here, there) = (model(device)?, model(&cpu)?);
    let ids: Vec<u32> = (0..100).map(|t| (t * 7919 + 13) % 4096).collect();
    let logits = difference(&here.last_logits(&ids, device), &there.last_logits(&ids, &cpu));
    let gradients = difference(&gradient(&here, device), &gradient(&there, &cpu));
    let scratch = std::env::temp_dir().join(format!("inerd-doctor-{}", std::process::id()));
    let train = |model: LanguageModel, device: &Device| {
        let bench = TrainBench { batch: 8, lengths: vec![(40, 25)], loss: Loss::Response, allowed: 0, steps: 10 };
        let figures = bench.run(model, device, &scratch);
        // What is left behind costs room, and nothing else.
        let _ = std::fs::remove_dir_all(&scratch);
        figures
    };
    let generate = GenerateBench { batch: 8, prompt: 40, length: 25, allowed: Some(20), forced: 0, rounds: 3 };
    let generated = generate.run(&here, device)?;
    let (trained, reference) = (train(here, device)?, train(there, &cpu)?);
    Ok(Examination {
        logits,
        gradients,
        training: difference(&[trained.last_loss as f32], &[reference.last_loss as f32]),
        generated_tokens_per_second: generated.sentences_per_second * 25.0,
        trained_tokens_per_second: trained.pairs_per_second * 65.0,
    })
}

/// All gradients of one batch's loss, one behind another.
fn gradient(model: &LanguageModel, device: &Device) -> Vec<f32> {
    let examples: Vec<Example> = (0..4u32)
        .map(|i| Example {
            ids: (0..30 + i).map(|t| (t * 31 + i * 97) % 4096).collect(),
            response: 20,
            ..Example::default()
        })
        .collect();
    let examples: Vec<&Example> = examples.iter().collect();
    let device = device.clone().autodiff();
    let decoder = model.decoder.clone().train();
    let Some((loss, _)) =
        response_loss(&decoder, &examples, &lay_out(&examples, &device), Loss::Response, None, &device)
    else {
        return Vec::new();
    };
    let mut collect = Collect { gradients: GradientsParams::from_grads(loss.backward(), &decoder), values: Vec::new() };
    decoder.visit(&mut collect);
    collect.values
}

struct Collect {
    gradients: GradientsParams,
    values: Vec<f32>,
}

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.values.extend(gradient.into_data().iter::<f32>());
        }
    }
}

/// The largest difference, relative to the largest value.
fn difference(here: &[f32], there: &[f32]) -> f64 {
    let largest = there.iter().fold(f32::MIN_POSITIVE, |top, x| top.max(x.abs()));
    let apart = here.iter().zip(there).fold(0.0_f32, |top, (a, b)| top.max((a - b).abs()));
    f64::from(apart) / f64::from(largest)
}
