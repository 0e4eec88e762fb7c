mod lm;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use inerd_decoding::{DecodeBench, DecodeFigures, Tokenizer, bench_decode};
use inerd_run::Vocabulary;
use inerd_text::Sentence;

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
    let sentences: Vec<Sentence> =
        inerd_text::read_json_lines(open(&decode.sentences)?).map_err(|error| unreadable(&decode.sentences, error))?;
    let types: Vec<String> =
        serde_json::from_reader(open(&decode.types)?).map_err(|error| unreadable(&decode.types, error))?;
    let figures = bench_decode(&tokenizer, &sentences, &types, inerd_lm::bench::peak_mb)
        .map_err(|error| Failure::during("measure decoding", Exit::Input, error))?;
    output.result(&table(&figures), &figures);
    Ok(Exit::Success.into())
}

/// The tokenizer, with the end-of-sequence of the configuration beside it where there is one.
fn load(path: &Path) -> Result<inerd_lm::Tokenizer, Failure> {
    let end_of_sequence = std::fs::read_to_string(path.with_file_name("config.json"))
        .ok()
        .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
        .and_then(|config| config.get("eos_token_id")?.as_u64())
        .and_then(|id| u32::try_from(id).ok());
    inerd_lm::Tokenizer::load(path, end_of_sequence).map_err(|error| unreadable(path, error))
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
