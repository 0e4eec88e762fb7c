use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use inerd_lm::generate::Free;
use inerd_lm::hub::{Fetched, Hub};
use inerd_lm::{Config, Contents, LanguageModel, Request, Settings, Tokenizer, contents, generate};
use serde::Serialize;

use crate::Global;
use crate::exit::Exit;
use crate::output::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Bring a model from the Hugging Face hub into the models' folder. What is there already isn't fetched again.
    Fetch(Fetch),
    /// What a model's folder holds, and whether it fits together.
    Inspect(Inspect),
    /// The logits behind a text or a list of token ids.
    Logits(Logits),
    /// Go on from a prompt, greedily.
    Generate(Generate),
    /// Write a model anew: an adapter worked in, names and number formats as they were.
    Export(Export),
}

#[derive(Debug, clap::Args)]
struct Fetch {
    /// `owner/name` on the hub.
    name: String,
    /// A branch, a tag or a commit; it is pinned to the commit that it stands for now.
    #[arg(long)]
    revision: Option<String>,
    /// The hub, or a mirror of it.
    #[arg(long, env = "HF_ENDPOINT", default_value = "https://huggingface.co", value_name = "URL")]
    endpoint: String,
    /// For models that ask for one; the one that the hub's own tools have stored where it is absent.
    #[arg(long, env = "HF_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Inspect {
    /// A model's folder, or its name below the models' folder.
    model: String,
    /// Compare every byte with the checksums of a fetched model.
    #[arg(long)]
    verify: bool,
}

/// A model, and what is put onto it.
#[derive(Debug, clap::Args)]
struct Choice {
    /// A model's folder, or its name below the models' folder.
    #[arg(long, value_name = "DIR")]
    model: String,
    /// The folder of a low-rank adapter, ours or PEFT's.
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Logits {
    #[command(flatten)]
    choice: Choice,
    /// Read as the tokenizer reads it, with the begin-of-sequence that it may add.
    #[arg(long, required_unless_present = "ids", conflicts_with = "ids")]
    text: Option<String>,
    /// Token ids, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    ids: Option<Vec<u32>>,
}

#[derive(Debug, clap::Args)]
struct Generate {
    #[command(flatten)]
    choice: Choice,
    #[arg(long)]
    prompt: String,
    /// At most this many new tokens; fewer where the model ends the text.
    #[arg(long, default_value_t = 50, value_name = "N")]
    max_new: usize,
}

#[derive(Debug, clap::Args)]
struct Export {
    #[command(flatten)]
    choice: Choice,
    /// The folder to write into.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    match &arguments.what {
        What::Fetch(fetch) => fetch.run(global, output),
        What::Inspect(inspect) => inspect.run(global, output),
        What::Logits(logits) => logits.run(global, output),
        What::Generate(generate) => generate.run(global, output),
        What::Export(export) => export.run(global, output),
    }?;
    Ok(Exit::Success.into())
}

/// Where fetched models go unless told otherwise.
const MODELS: &str = "models";

impl Fetch {
    fn run(&self, global: &Global, output: &mut Output) -> Result<(), Failure> {
        let dir = global.models_dir.clone().unwrap_or_else(|| PathBuf::from(MODELS)).join(&self.name);
        let hub = Hub { endpoint: self.endpoint.clone(), token: self.token.clone(), bars: !output.is_json() };
        let fetched = hub.fetch(&self.name, self.revision.as_deref(), &dir).map_err(|error| {
            let help = format!(
                "a folder with config.json, model.safetensors and tokenizer.json works as well: put it at {}",
                dir.display()
            );
            Failure::with_help("fetch a model", Exit::Input, error, help)
        })?;
        let mut human = format!("{} at {}\n", fetched.name, fetched.revision);
        for (name, file) in &fetched.files {
            let _ = writeln!(human, "{}  {:>14}  {name}", file.sha256, file.bytes);
        }
        let _ = writeln!(human, "in {}", dir.display());
        output.result(&human, &fetched);
        Ok(())
    }
}

/// What `inspect` tells.
#[derive(Debug, Serialize)]
struct Inspection {
    config: Config,
    parameters: u64,
    layers: usize,
    width: usize,
    vocabulary: usize,
    context: usize,
    weights: Contents,
    tokens: Option<usize>,
    end_of_sequence: Option<u32>,
    origin: Option<Fetched>,
    /// Absent where it wasn't asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    unchanged: Option<bool>,
}

impl Inspect {
    fn run(&self, global: &Global, output: &mut Output) -> Result<(), Failure> {
        let dir = super::inputs(global, inerd_experiment::Backend::default()).model_dir(&self.model);
        let failed = |error| Failure::during("inspect the model", Exit::Input, error);
        let config = Config::read(&dir.join("config.json")).map_err(failed)?;
        let tokenizer = tokenizer(&dir, &config)?;
        let origin = Fetched::read(&dir).map_err(failed)?;
        let mut unchanged = None;
        if let (true, Some(origin)) = (self.verify, &origin) {
            if let Some(file) = origin.verify(&dir).map_err(failed)? {
                let error = inerd_lm::Error::Fetch {
                    name: origin.name.clone(),
                    reason: format!("`{file}` is not as it was fetched; delete the folder and fetch the model again"),
                };
                return Err(failed(error));
            }
            unchanged = Some(true);
        }
        let inspection = Inspection {
            parameters: config.parameters(),
            layers: config.layers(),
            width: config.width(),
            vocabulary: config.vocab_size(),
            context: config.context(),
            weights: contents(&dir).map_err(failed)?,
            tokens: tokenizer.as_ref().map(Tokenizer::vocab_size),
            end_of_sequence: tokenizer.as_ref().map(Tokenizer::end_of_sequence).or(config.eos_token()),
            origin,
            unchanged,
            config,
        };
        output.result(&inspection.human(), &inspection);
        Ok(())
    }
}

impl Inspection {
    fn human(&self) -> String {
        let family = serde_json::to_value(&self.config).ok().and_then(|c| Some(c["model_type"].as_str()?.to_owned()));
        let formats: BTreeMap<_, _> = self.weights.formats.iter().collect();
        let formats: Vec<String> = formats.iter().map(|(format, count)| format!("{count} {format}")).collect();
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:16}{value}");
        };
        line("family", family.unwrap_or_default());
        line("parameters", self.parameters.to_string());
        line("layers", self.layers.to_string());
        line("width", self.width.to_string());
        line("vocabulary", self.vocabulary.to_string());
        line("context", format!("{} tokens", self.context));
        let Contents { files, tensors, values, bytes, .. } = &self.weights;
        line(
            "weights",
            format!("{tensors} tensors ({}), {values} values, {bytes} bytes in {files} file(s)", formats.join(", ")),
        );
        line("tokenizer", self.tokens.map_or("none".to_owned(), |tokens| format!("{tokens} tokens")));
        line("ends with", self.end_of_sequence.map_or("unknown".to_owned(), |id| format!("token {id}")));
        if let Some(origin) = &self.origin {
            line("origin", format!("{} at {}", origin.name, origin.revision));
        }
        if self.unchanged == Some(true) {
            line("checksums", "as fetched".to_owned());
        }
        text
    }
}

impl Choice {
    fn dir(&self, global: &Global) -> PathBuf {
        super::inputs(global, inerd_experiment::Backend::default()).model_dir(&self.model)
    }

    fn load(&self, global: &Global) -> Result<(LanguageModel, inerd_lm::Device), Failure> {
        let device = global.device.resolve().map_err(|e| Failure::during("choose the device", Exit::Usage, e))?;
        let failed = |error| Failure::during("load the model", Exit::Input, error);
        let model = LanguageModel::load(&self.dir(global), &device).map_err(failed)?;
        let model = match &self.adapter {
            Some(adapter) => model.load_adapter(adapter, "default").map_err(failed)?.merged(),
            None => model,
        };
        Ok((model, device))
    }
}

/// The tokenizer of a model's folder; `None` where there is none.
fn tokenizer(dir: &Path, config: &Config) -> Result<Option<Tokenizer>, Failure> {
    let path = dir.join("tokenizer.json");
    if !path.exists() {
        return Ok(None);
    }
    let loaded = Tokenizer::load(&path, config.eos_token());
    loaded.map(Some).map_err(|error| Failure::during("load the tokenizer", Exit::Input, error))
}

/// The tokenizer that reads a text for a model.
fn text_tokenizer(dir: &Path, model: &LanguageModel) -> Result<Tokenizer, Failure> {
    let failed = |error| Failure::during("load the tokenizer", Exit::Input, error);
    let tokenizer = Tokenizer::load(&dir.join("tokenizer.json"), model.config.eos_token()).map_err(failed)?;
    model.check_tokenizer(&tokenizer).map_err(failed)?;
    Ok(tokenizer)
}

/// Token ids of a text for a model; an empty one begins with what begins a sequence.
fn ids(dir: &Path, tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let ids = tokenizer.encode_with_special(text);
    if !ids.is_empty() {
        return ids;
    }
    vec![special(dir, "bos_token_id").first().copied().unwrap_or(tokenizer.end_of_sequence())]
}

/// Token ids under a name in the folder's generation settings or configuration.
fn special(dir: &Path, name: &str) -> Vec<u32> {
    let read = |file: &str| -> Option<Vec<u32>> {
        let text = std::fs::read(dir.join(file)).ok()?;
        let value = serde_json::from_slice::<serde_json::Value>(&text).ok()?.get(name)?.clone();
        let listed = value.as_array().cloned().unwrap_or_else(|| vec![value]);
        let ids: Vec<u32> = listed.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()).collect();
        (!ids.is_empty()).then_some(ids)
    };
    read("generation_config.json").or_else(|| read("config.json")).unwrap_or_default()
}

impl Logits {
    fn run(&self, global: &Global, output: &mut Output) -> Result<(), Failure> {
        let (model, device) = self.choice.load(global)?;
        let dir = self.choice.dir(global);
        let ids = match (&self.ids, &self.text) {
            (Some(ids), _) => ids.clone(),
            (None, text) => ids(&dir, &text_tokenizer(&dir, &model)?, text.as_deref().unwrap_or_default()),
        };
        model.check_ids(&ids).map_err(|error| Failure::during("compute logits", Exit::Input, error))?;
        let logits = model.last_logits(&ids, &device);
        if output.is_json() {
            output.data(&format!("{}\n", serde_json::json!({ "ids": ids, "logits": logits })));
            return Ok(());
        }
        let tokenizer = tokenizer(&dir, &model.config)?;
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let mut text = String::new();
        for &token in order.iter().take(10) {
            let spelled = tokenizer.as_ref().map_or_else(String::new, |t| format!("{:?}", t.decode(&[token as u32])));
            let _ = writeln!(text, "{:>12.6}  {token:>8}  {spelled}", logits[token]);
        }
        output.data(&text);
        Ok(())
    }
}

/// What `generate` tells.
#[derive(Debug, Serialize)]
struct Generated {
    /// Prompt and continuation.
    ids: Vec<u32>,
    /// The continuation alone.
    new_ids: Vec<u32>,
    text: String,
}

impl Generate {
    fn run(&self, global: &Global, output: &mut Output) -> Result<(), Failure> {
        let (model, device) = self.choice.load(global)?;
        let dir = self.choice.dir(global);
        let tokenizer = text_tokenizer(&dir, &model)?;
        let prompt = ids(&dir, &tokenizer, &self.prompt);
        let failed = |error| Failure::during("generate", Exit::Input, error);
        model.check_ids(&prompt).map_err(failed)?;
        let mut ends = special(&dir, "eos_token_id");
        ends.push(tokenizer.end_of_sequence());
        let settings =
            Settings { batch: 1, max_new_tokens: self.max_new, end_of_sequence: tokenizer.end_of_sequence() };
        let request = Request::new(prompt.clone(), Box::new(Free));
        let outputs = generate(&model, vec![request], settings, &device, &mut |_| {}).map_err(failed)?;
        let mut new_ids = outputs.into_iter().next().map(|answer| answer.ids).unwrap_or_default();
        // Some models have several tokens that end a text; the first one does.
        if let Some(end) = new_ids.iter().position(|id| ends.contains(id)) {
            new_ids.truncate(end + 1);
        }
        let ids = [prompt, new_ids.clone()].concat();
        // What begins and ends a sequence is no text, also where the tokenizer doesn't mark it so.
        let begins = special(&dir, "bos_token_id");
        let shown: Vec<u32> = ids.iter().copied().filter(|id| !begins.contains(id) && !ends.contains(id)).collect();
        let text = tokenizer.decode_text(&shown);
        output.result(&text, &Generated { ids, new_ids, text: text.clone() });
        Ok(())
    }
}

impl Export {
    fn run(&self, global: &Global, output: &mut Output) -> Result<(), Failure> {
        let (model, _) = self.choice.load(global)?;
        let dir = self.choice.dir(global);
        let failed = |error| Failure::during("write the model", Exit::Store, error);
        let io = |error: std::io::Error| Failure::during(format!("write `{}`", self.to.display()), Exit::Store, error);
        std::fs::create_dir_all(&self.to).map_err(io)?;
        model.export(&self.to).map_err(failed)?;
        let others = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"];
        for name in others.iter().filter(|name| dir.join(name).is_file()) {
            std::fs::copy(dir.join(name), self.to.join(name)).map_err(io)?;
        }
        output.say(&format!("written to {}", self.to.display()));
        Ok(())
    }
}
