use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use inerd_experiment::{Format, Rules};
use inerd_report::{Annotated, predictions_json_lines, predictions_page, predictions_terminal};
use inerd_run::{Context, FileInputs, Prediction, Store, TrainedModel, trained_model};
use inerd_text::Schema;

use crate::Global;
use crate::commands::exit_of;
use crate::exit::Exit;
use crate::output::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The beginning of a trained stage's fingerprint, or a folder with config.json, model.safetensors, tokenizer.json.
    #[arg(long)]
    model: String,
    /// The types to look for, separated by commas; those of the training where it is absent.
    #[arg(long, value_delimiter = ',')]
    types: Vec<String>,
    /// A preset of masking rules, or rules separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "exact")]
    rules: Vec<String>,
    /// Longest answer in tokens.
    #[arg(long, default_value_t = 100)]
    max_new_tokens: usize,
    /// Write an HTML page here.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// One sentence; stdin, a sentence per line, where it is absent.
    #[arg(long)]
    text: Option<String>,
}

pub(crate) fn run(arguments: Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let failed = |e: inerd_run::Error| Failure::during("predict", exit_of(&e), e);
    let store = Store::open(&global.store).map_err(failed)?;
    let folder = PathBuf::from(&arguments.model);
    let model = if folder.is_dir() {
        TrainedModel { dir: folder, schema: Schema::default(), format: Format::default() }
    } else {
        trained_model(&store, &arguments.model).map_err(failed)?
    };
    let schema = if arguments.types.is_empty() { model.schema } else { Schema::new(arguments.types) };
    if schema.is_empty() {
        return Err(Failure::with_help("predict", Exit::Usage, NoTypes, "name them: --types Person,Location"));
    }
    let texts = texts(arguments.text)?;
    let device = global.device.resolve().map_err(|e| Failure::during("choose the device", Exit::Usage, e))?;
    let context = Context {
        store,
        inputs: FileInputs::default(),
        device,
        device_name: global.device.to_string(),
        stop: Arc::new(AtomicBool::new(false)),
    };
    let prediction = Prediction {
        model: model.dir,
        schema,
        format: model.format,
        rules: Rules(arguments.rules),
        max_new_tokens: arguments.max_new_tokens,
        batch: 32,
    };
    let answers = prediction.answer(&texts, &context, &mut |_| {}).map_err(failed)?;
    let annotated: Vec<Annotated> =
        texts.into_iter().zip(answers).map(|(text, a)| Annotated { text, predictions: a.predictions }).collect();
    if let Some(path) = arguments.html {
        let page = predictions_page("Predictions", &annotated);
        std::fs::write(&path, page)
            .map_err(|e| Failure::during(format!("write `{}`", path.display()), Exit::Store, e))?;
        output.say(&format!("open {}", path.display()));
        return Ok(Exit::Success.into());
    }
    let text = if output.is_json() {
        predictions_json_lines(&annotated).map_err(|e| Failure::during("write JSON", Exit::Bug, e))?
    } else {
        predictions_terminal(&annotated, std::io::stdout().is_terminal())
    };
    output.data(&text);
    Ok(Exit::Success.into())
}

/// One text, or every line of stdin that isn't blank.
fn texts(text: Option<String>) -> Result<Vec<String>, Failure> {
    if let Some(text) = text {
        return Ok(vec![text]);
    }
    let mut input = String::new();
    std::io::stdin()
        .read_to_string(&mut input)
        .map_err(|e| Failure::during("read the sentences from stdin", Exit::Input, e))?;
    Ok(input.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect())
}

#[derive(Debug, thiserror::Error)]
#[error("it is not known which types to look for")]
struct NoTypes;
