use std::process::ExitCode;

use inerd_report::explain;

use crate::exit::Exit;
use crate::output::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A point of a figure: FIGURE.svg#ID, as the page shows it when the point is clicked.
    #[arg(value_name = "FIGURE.svg#ID")]
    what: String,
}

/// Prints the chain from a point to its runs, their configurations, the commit and the data.
pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> Result<ExitCode, Failure> {
    let explanation = explain(&arguments.what)
        .map_err(|e| Failure::during(format!("explain `{}`", arguments.what), Exit::Usage, e))?;
    output.result(&explanation.to_string(), &explanation);
    Ok(Exit::Success.into())
}
