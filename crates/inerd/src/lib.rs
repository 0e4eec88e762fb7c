//! The `inerd` command: arguments in, one call into the rooms, progress and exit code out. No logic lives here.

mod collect;
mod commands;
mod exit;
mod output;
mod progress;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser};
use inerd_lm::DeviceChoice;

use crate::output::{Format, Output};

/// Named-entity recognition by informed decoding: experiments from one TOML file to a report.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: commands::Command,
    #[command(flatten)]
    global: Global,
}

/// Options that mean the same on every command.
#[derive(Debug, Args)]
struct Global {
    /// Folder of the artefacts.
    #[arg(long, global = true, env = "INERD_STORE", default_value = "store", value_name = "DIR")]
    store: PathBuf,
    /// Folder that reports are written to.
    #[arg(long, global = true, env = "INERD_REPORTS", default_value = "reports", value_name = "DIR")]
    reports: PathBuf,
    /// Folder of the datasets that are not shipped, one subfolder each.
    #[arg(long, global = true, env = "INERD_DATA", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Folder of your own dataset cards, which `inerd data add` writes.
    #[arg(long, global = true, env = "INERD_CARDS", default_value = "cards", value_name = "DIR")]
    cards: PathBuf,
    /// Folder of the models that are not shipped.
    #[arg(long, global = true, env = "INERD_MODELS", value_name = "DIR")]
    models_dir: Option<PathBuf>,
    /// Folder of plain texts to pre-train on, `<name>.txt` or `<name>.txt.zst`.
    #[arg(long, global = true, env = "INERD_TEXTS", value_name = "DIR")]
    texts_dir: Option<PathBuf>,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, global = true, env = "INERD_DEVICE", default_value = "auto", value_name = "DEVICE")]
    device: DeviceChoice,
    /// For people, or JSON for programs.
    #[arg(long, global = true, value_enum, default_value_t = Format::Human, value_name = "FORMAT")]
    output: Format,
}

/// Parses the process's arguments, runs the command and gives its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    output::start_logging();
    let mut output = Output::new(cli.global.output);
    match cli.command.run(&cli.global, &mut output) {
        Ok(code) => code,
        Err(error) => output.fail(error),
    }
}
