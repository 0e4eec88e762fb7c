//! `bench train` and `bench generate`: a model's shape is what costs, so that random weights do.

use std::path::PathBuf;
use std::process::ExitCode;

use inerd_lm::bench::GenerateBench;
use inerd_lm::{Config, LanguageModel};
use inerd_training::Loss;
use inerd_training::bench::TrainBench;
use serde_json::json;

use crate::Global;
use crate::exit::Exit;
use crate::output::{Failure, Output};

#[derive(Debug, clap::Args)]
struct Model {
    /// A folder with a config.json. Its weights are used where it has any, else random ones.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Measure with a low-rank adapter of this rank on all dense layers.
    #[arg(long, value_name = "RANK")]
    lora: Option<usize>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Train {
    #[command(flatten)]
    model: Model,
    /// Pairs per step.
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Tokens of each prompt.
    #[arg(long, default_value_t = 40)]
    prompt: usize,
    /// Tokens of each response.
    #[arg(long, default_value_t = 25)]
    length: usize,
    /// Lengths of real pairs instead: a JSON list of [prompt, response].
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "length"])]
    lengths: Option<PathBuf>,
    /// Run the softmax of the loss over this many allowed tokens instead of the vocabulary.
    #[arg(long, value_name = "TOKENS")]
    allowed: Option<usize>,
    /// Measured steps.
    #[arg(long, default_value_t = 3)]
    steps: usize,
}

#[derive(Debug, clap::Args)]
pub(super) struct Generate {
    #[command(flatten)]
    model: Model,
    /// Sentences decoded together.
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Tokens of each prompt.
    #[arg(long, default_value_t = 40)]
    prompt: usize,
    /// Tokens of each answer.
    #[arg(long, default_value_t = 25)]
    length: usize,
    /// Tokens that the mask leaves at each position with a choice.
    #[arg(long, default_value_t = 20, value_name = "TOKENS")]
    allowed: usize,
    /// No mask at all.
    #[arg(long, conflicts_with_all = ["allowed", "forced"])]
    free: bool,
    /// Positions without a choice, of every hundred.
    #[arg(long, default_value_t = 40, value_name = "PERCENT")]
    forced: usize,
    /// Measured batches.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

pub(super) fn train(arguments: &Train, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let lengths = match &arguments.lengths {
        None => vec![(arguments.prompt, arguments.length)],
        Some(path) => serde_json::from_reader(super::open(path)?).map_err(|error| super::unreadable(path, error))?,
    };
    if lengths.is_empty() || lengths.iter().any(|&(prompt, response)| prompt == 0 || response == 0) {
        return Err(Failure::during("measure training", Exit::Usage, Empty));
    }
    let device = super::super::device(global)?;
    let bench = TrainBench {
        batch: arguments.batch.max(1),
        lengths,
        loss: if arguments.allowed.is_some() { Loss::Allowed } else { Loss::Response },
        allowed: arguments.allowed.unwrap_or(0),
        steps: arguments.steps,
    };
    let model = load(&arguments.model, &device)?;
    let scratch = Scratch::new().map_err(|error| Failure::during("measure training", Exit::Input, error))?;
    let figures = bench
        .run(model, &device, &scratch.0)
        .map_err(|error| Failure::during("measure training", Exit::Input, error))?;
    let human = format!(
        "{:.3} CPU s per step, {:.2} pairs and {:.0} tokens per CPU s, {:.2} pairs per s, {:.1} % padding, peak {:.0} MB\n",
        figures.cpu_seconds_per_step,
        figures.pairs_per_cpu_second,
        figures.tokens_per_cpu_second,
        figures.pairs_per_second,
        100.0 * figures.padding,
        figures.peak_mb
    );
    output.result(&human, &json!({ "batch": bench.batch, "lora": arguments.model.lora, "figures": figures }));
    Ok(Exit::Success.into())
}

pub(super) fn generate(arguments: &Generate, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let device = super::super::device(global)?;
    let bench = GenerateBench {
        batch: arguments.batch.max(1),
        prompt: arguments.prompt.max(1),
        length: arguments.length.max(1),
        allowed: (!arguments.free).then_some(arguments.allowed.max(1)),
        forced: arguments.forced.min(100),
        rounds: arguments.rounds,
    };
    let model = load(&arguments.model, &device)?;
    let figures =
        bench.run(&model, &device).map_err(|error| Failure::during("measure generation", Exit::Input, error))?;
    let human = format!(
        "{:.4} CPU s per sentence, {:.2} sentences and {:.0} tokens per CPU s, {:.2} sentences per s, peak {:.0} MB\n",
        figures.cpu_seconds_per_sentence,
        figures.sentences_per_cpu_second,
        figures.tokens_per_cpu_second,
        figures.sentences_per_second,
        figures.peak_mb
    );
    output.result(&human, &json!({ "batch": bench.batch, "lora": arguments.model.lora, "figures": figures }));
    Ok(Exit::Success.into())
}

fn load(arguments: &Model, device: &inerd_lm::Device) -> Result<LanguageModel, Failure> {
    let failed = |error: inerd_lm::Error| Failure::during("load the model", Exit::Input, error);
    let has_weights = ["model.safetensors", "model.safetensors.index.json"];
    let model = if has_weights.iter().any(|name| arguments.model.join(name).exists()) {
        LanguageModel::load(&arguments.model, device)
    } else {
        Config::read(&arguments.model.join("config.json")).and_then(|config| LanguageModel::random(config, 1, device))
    };
    model.map_err(failed)
}

#[derive(Debug, thiserror::Error)]
#[error("a prompt or response has no tokens")]
struct Empty;

/// A folder for the checkpoint that ends every training; gone with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let dir = std::env::temp_dir().join(format!("inerd-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind costs room, and nothing else.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
