//! The loss against a computation by hand, and training that survives being stopped.

use std::path::Path;

use burn::tensor::Device;
use inerd_lm::{Config, Gpt2Config, LanguageModel};
use inerd_training::{
    Example, Flow, Hooks, Loss, Schedule, Settings, Step, Trained, mean_loss, pack, response_loss, train,
};

fn model(device: &Device) -> LanguageModel {
    LanguageModel::random(Config::Gpt2(Gpt2Config::new(40, 48, 32, 2, 4)), 3, device).unwrap()
}

/// Repeats of a pattern that a model can learn: the response copies the prompt's first token.
fn examples(count: u32) -> Vec<Example> {
    (0..count)
        .map(|i| {
            let (a, b) = (2 + i % 17, 2 + (i * 7) % 31);
            let prompt: Vec<u32> = (0..3 + i % 6).map(|t| 2 + (a + t * b) % 37).collect();
            let response = vec![a, prompt[0], 1, 0];
            Example {
                response: prompt.len(),
                allowed: Some(vec![vec![2, 5, 9, a.max(10)], (2..39).collect(), vec![1], vec![0, 1]]),
                ids: [prompt, response].concat(),
                spans: Vec::new(),
            }
        })
        .map(|mut e| {
            for (list, token) in e.allowed.iter_mut().flatten().zip(&e.ids[e.response..]) {
                list.push(*token);
                list.sort_unstable();
                list.dedup();
            }
            e
        })
        .collect()
}

/// One full pass per position, everything in f64, nothing packed or gathered.
fn by_hand(model: &LanguageModel, examples: &[Example], loss: Loss, device: &Device) -> (f64, usize) {
    let (mut sum, mut count) = (0.0, 0);
    for example in examples {
        for at in example.response..example.ids.len() {
            let logits = model.last_logits(&example.ids[..at], device);
            let all: Vec<u32> = (0..40).collect();
            let allowed = match loss {
                Loss::Response => &all,
                Loss::Allowed => &example.allowed.as_ref().unwrap()[at - example.response],
            };
            if allowed.len() < 2 {
                continue;
            }
            let total: f64 = allowed.iter().map(|&t| f64::from(logits[t as usize]).exp()).sum();
            sum += total.ln() - f64::from(logits[example.ids[at] as usize]);
            count += 1;
        }
    }
    (sum, count)
}

#[test]
fn both_losses_equal_a_computation_by_hand() {
    let device = Device::flex();
    let model = model(&device);
    let examples = examples(11);
    let references: Vec<&Example> = examples.iter().collect();
    for loss in [Loss::Response, Loss::Allowed] {
        let (want, tokens) = by_hand(&model, &examples, loss, &device);
        let (sum, counted) =
            response_loss(&model.decoder, &references, &pack(&references), loss, None, &device).unwrap();
        assert_eq!(counted, tokens, "{loss:?}");
        let got = f64::from(sum.into_scalar::<f32>());
        assert!((got - want).abs() < 1e-4 * want, "{loss:?}: {got} instead of {want}");
        let mean = mean_loss(&model, &examples, loss, &device);
        assert!((mean - want / tokens as f64).abs() < 1e-4, "{loss:?}: {mean}");
    }
}

struct Quiet {
    stop_after: usize,
    losses: Vec<f64>,
}

impl Hooks for Quiet {
    fn on_step(&mut self, step: &Step) -> Flow {
        self.losses.push(step.loss);
        if step.step == self.stop_after { Flow::Stop } else { Flow::Continue }
    }

    fn validate(
        &mut self,
        _: &LanguageModel,
        epoch: usize,
    ) -> Result<Option<f64>, Box<dyn std::error::Error + Send + Sync>> {
        // Later is better: the last epoch's weights are the ones to keep.
        Ok(Some(epoch as f64))
    }
}

fn settings(micro_batch: usize) -> Settings {
    Settings {
        epochs: 3,
        max_steps: None,
        patience: None,
        batch: 8,
        micro_batch,
        learning_rate: 3e-3,
        schedule: Schedule::Linear { warmup: 0.1 },
        weight_decay: 0.01,
        betas: (0.9, 0.999),
        epsilon: 1e-8,
        clip: Some(1.0),
        loss: Loss::Response,
        seed: 5,
        checkpoint_every: None,
        co_regularization: None,
        pl_marker: None,
    }
}

fn run(dir: &Path, settings: &Settings, stop_after: usize) -> (Trained, Vec<f64>) {
    let device = Device::flex();
    let mut hooks = Quiet { stop_after, losses: Vec::new() };
    let trained = train(vec![model(&device)], &examples(44), settings, &device, dir, &mut hooks).unwrap();
    (trained, hooks.losses)
}

fn weights(trained: Trained) -> Vec<u8> {
    let Trained::Finished { model, .. } = trained else { panic!("not finished") };
    let dir = tempfile::tempdir().unwrap();
    model.save(dir.path()).unwrap();
    std::fs::read(dir.path().join("model.safetensors")).unwrap()
}

#[test]
fn a_training_stopped_anywhere_ends_with_the_same_bits() {
    let whole = tempfile::tempdir().unwrap();
    let (trained, losses) = run(whole.path(), &settings(8), usize::MAX);
    assert_eq!(losses.len(), 18);
    assert!(losses[17] < losses[0] - 0.5, "the loss does not fall: {losses:?}");
    let uninterrupted = weights(trained);
    // Inside the first epoch, at its end, inside the last one, behind the very last step.
    for stop in [1, 6, 16, 18] {
        let dir = tempfile::tempdir().unwrap();
        let (trained, before) = run(dir.path(), &settings(8), stop);
        assert!(matches!(trained, Trained::Interrupted { steps } if steps == stop));
        let (trained, after) = run(dir.path(), &settings(8), usize::MAX);
        assert_eq!([before, after].concat(), losses, "stopped after {stop}");
        assert!(weights(trained) == uninterrupted, "other weights when stopped after step {stop}");
    }
}

#[test]
fn accumulated_micro_batches_are_the_batch() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (_, whole) = run(dirs[0].path(), &settings(8), usize::MAX);
    let (_, pieces) = run(dirs[1].path(), &settings(3), usize::MAX);
    for (a, b) in whole.iter().zip(&pieces) {
        assert!((a - b).abs() < 2e-3 * a, "{whole:?} against {pieces:?}");
    }
}

#[test]
fn an_example_longer_than_the_context_and_an_empty_corpus_are_errors() {
    let device = Device::flex();
    let dir = tempfile::tempdir().unwrap();
    let mut hooks = Quiet { stop_after: usize::MAX, losses: Vec::new() };
    let long = Example { ids: vec![1; 49], response: 40, ..Example::default() };
    for (examples, said) in [(vec![long], "49 tokens"), (vec![], "no training example")] {
        let error = train(vec![model(&device)], &examples, &settings(8), &device, dir.path(), &mut hooks).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}
