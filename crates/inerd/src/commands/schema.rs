use std::process::ExitCode;

use inerd_experiment::{json_schema, reference};

use crate::exit::Exit;
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The reference page (Markdown) instead of the JSON schema.
    #[arg(long)]
    page: bool,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> ExitCode {
    output.data(&if arguments.page { reference() } else { format!("{:#}\n", json_schema()) });
    Exit::Success.into()
}
