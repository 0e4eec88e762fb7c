mod lm;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use inerd_decoding::{DecodeBench, DecodeFigures, Tokenizer, bench_decode};
use inerd_run::Vocabulary;
use inerd_text::{InvalidRecord, Schema, Sentence, read_numbered_json_lines};
use serde_json::Value;

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
    /// What the masks of informed decoding cost, along the gold answers, at token and at text level.
    Decode(Decode),
    /// Training: pairs and tokens per CPU second, memory, padding.
    Train(lm::Train),
    /// Generation with and without masks: sentences and tokens per CPU second, memory.
    Generate(lm::Generate),
}

#[derive(Debug, clap::Args)]
struct Decode {
    /// A `tokenizer.json`; a `config.json` beside it says which token ends a sequence.
    #[arg(long, value_name = "FILE")]
    tokenizer: PathBuf,
    /// One sentence per line: {"text": …, "entities": [{"type": …, "start": …, "end": …}]}, offsets in characters.
    #[arg(long, value_name = "FILE")]
    sentences: PathBuf,
    /// A JSON list of type names.
    #[arg(long, value_name = "FILE")]
    types: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    match &arguments.what {
        What::Decode(arguments) => decode(arguments, output),
        What::Train(arguments) => lm::train(arguments, global, output),
        What::Generate(arguments) => lm::generate(arguments, global, output),
    }
}

fn decode(decode: &Decode, output: &mut Output) -> Result<ExitCode, Failure> {
    let tokenizer: Arc<dyn Tokenizer> = Arc::new(Vocabulary(Arc::new(load(&decode.tokenizer)?)));
    let types = types(&decode.types)?;
    let sentences = sentences(&decode.sentences, &types)?;
    let figures = bench_decode(&tokenizer, &sentences, &types, inerd_lm::bench::peak_mb)
        .map_err(|error| Failure::during("measure decoding", Exit::Input, error))?;
    output.result(&table(&figures), &figures);
    Ok(Exit::Success.into())
}

/// Distinct names, none of them blank.
fn types(path: &Path) -> Result<Vec<String>, Failure> {
    let types: Vec<String> = serde_json::from_reader(open(path)?).map_err(|error| {
        let help = "it holds a JSON list of type names, such as [\"Person\", \"Location\"]";
        Failure::with_help(format!("read {}", path.display()), Exit::Input, error, help)
    })?;
    if let Some(at) = types.iter().position(|name| name.trim().is_empty()) {
        return Err(unreadable(path, Unusable(format!("name {} of the list is empty", at + 1))));
    }
    Ok(types)
}

/// Sentences whose entities have known types: an unknown one could not be written at all.
fn sentences(path: &Path, types: &[String]) -> Result<Vec<Sentence>, Failure> {
    let known = Schema::new(types);
    let read: Vec<(usize, Sentence)> =
        read_numbered_json_lines(open(path)?).map_err(|error| unreadable(path, error))?;
    for (line, sentence) in &read {
        if let Some(entity) = sentence.entities.iter().find(|e| !known.contains(&e.kind)) {
            let reason = format!("the type `{}` is not in the list of types; add it there", entity.kind);
            return Err(unreadable(path, InvalidRecord { line: *line, reason }));
        }
    }
    Ok(read.into_iter().map(|(_, sentence)| sentence).collect())
}

/// An input that can be read and not used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unusable(String);

/// The tokenizer, with the end-of-sequence that a configuration beside it names.
fn load(path: &Path) -> Result<inerd_lm::Tokenizer, Failure> {
    let beside = |name: &str| -> Option<Value> {
        serde_json::from_str(&std::fs::read_to_string(path.with_file_name(name)).ok()?).ok()
    };
    // Several ids may end an answer; the first is the one that ends a text.
    let id = |value: &Value| value.as_u64().or_else(|| value.get(0)?.as_u64()).and_then(|id| u32::try_from(id).ok());
    let by_id = beside("config.json").and_then(|config| id(config.get("eos_token_id")?));
    let tokenizer = inerd_lm::Tokenizer::load(path, by_id).map_err(|error| unreadable(path, error));
    if by_id.is_some() || tokenizer.is_ok() {
        return tokenizer;
    }
    let named = beside("tokenizer_config.json").and_then(|config| {
        let name = config.get("eos_token")?;
        Some(name.as_str().or_else(|| name.get("content")?.as_str())?.to_owned())
    });
    // Any id lets the file be read; then it knows the id of the name.
    let by_name = named.and_then(|name| inerd_lm::Tokenizer::load(path, Some(0)).ok()?.token_id(&name));
    match by_name {
        Some(id) => inerd_lm::Tokenizer::load(path, Some(id)).map_err(|error| unreadable(path, error)),
        None => tokenizer,
    }
}

fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    File::open(path).map(BufReader::new).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::during(format!("read {}", path.display()), Exit::Input, error)
}

fn table(figures: &DecodeBench) -> String {
    let rows: [(&str, fn(&DecodeFigures) -> f64); 9] = [
        ("mask, µs, mean", |f| f.mask_us_mean),
        ("mask, µs, median", |f| f.mask_us_p50),
        ("mask, µs, 99th percentile", |f| f.mask_us_p99),
        ("accept, µs", |f| f.accept_us),
        ("compile, ms per sentence", |f| f.compile_ms_per_sentence),
        ("all-in, µs per token", |f| f.all_in_us_per_token),
        ("allowed per mask", |f| f.allowed_per_mask),
        ("gold tokens forbidden", |f| f.gold_tokens_forbidden as f64),
        ("peak, MB", |f| f.peak_mb),
    ];
    let mut text = format!("{:27}{:>12}{:>12}\n", "", "token level", "text level");
    for (name, value) in rows {
        let [token, text_level] = [value(&figures.token_level), value(&figures.text_level)];
        text.push_str(&format!("{name:27}{token:>12.4}{text_level:>12.4}\n"));
    }
    text
}
