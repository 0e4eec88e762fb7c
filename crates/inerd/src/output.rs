//! The only module that prints. Data go to stdout, talk goes to stderr.
#![expect(clippy::print_stderr, reason = "this is where printing is done")]

use std::io::Write as _;
use std::process::ExitCode;

use clap::ValueEnum;
use miette::{Diagnostic, Report};
use serde::Serialize;

use crate::exit::Exit;

/// Whom the output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Human,
    Json,
}

/// Where results and messages go.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
}

/// An error on its way out: what to show and which code to leave with.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) report: Report,
    pub(crate) exit: Exit,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { report: Report::new(error), exit }
    }

    /// An error of another room, told as "failed to {action}" with its causes below.
    pub(crate) fn during(
        action: impl Into<String>,
        exit: Exit,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::new(exit, Failed { action: action.into(), source: Box::new(error), help: None })
    }

    pub(crate) fn with_help(
        action: impl Into<String>,
        exit: Exit,
        error: impl std::error::Error + Send + Sync + 'static,
        help: impl Into<String>,
    ) -> Self {
        Self::new(exit, Failed { action: action.into(), source: Box::new(error), help: Some(help.into()) })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("failed to {action}")]
struct Failed {
    action: String,
    source: Box<dyn std::error::Error + Send + Sync>,
    help: Option<String>,
}

impl Diagnostic for Failed {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// The result: `human` for people, `value` as JSON for programs.
    pub(crate) fn result(&mut self, human: &str, value: &impl Serialize) {
        match self.format {
            Format::Human => write(&format!("{}\n", human.trim_end())),
            Format::Json => match serde_json::to_string_pretty(value) {
                Ok(json) => write(&format!("{json}\n")),
                Err(error) => eprintln!("inerd: the result can't be written as JSON: {error}"),
            },
        }
    }

    /// Data that are text already, whoever reads them.
    #[expect(clippy::unused_self, reason = "printing goes through the one who prints")]
    pub(crate) fn data(&mut self, text: &str) {
        write(text);
    }

    /// Something said along the way; programs don't get it.
    pub(crate) fn say(&mut self, message: &str) {
        if self.format == Format::Human {
            eprintln!("{message}");
        }
    }

    pub(crate) fn fail(&mut self, failure: Failure) -> ExitCode {
        match self.format {
            Format::Human => eprintln!("{:?}", failure.report),
            Format::Json => {
                let causes: Vec<String> = failure.report.chain().map(ToString::to_string).collect();
                eprintln!("{}", serde_json::json!({ "error": causes, "exit_code": failure.exit as u8 }));
            }
        }
        failure.exit.into()
    }
}

/// A command line that could not be understood, or a request for help.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let wrong = error.use_stderr();
    // Printing fails only where the terminal is gone; the exit code still tells.
    let _ = error.print();
    if wrong { Exit::Usage.into() } else { Exit::Success.into() }
}

/// Log lines of the rooms go to stderr; `INERD_LOG` chooses them (for example `inerd_training=debug`).
pub(crate) fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing_subscriber::filter::LevelFilter::ERROR.into())
        .with_env_var("INERD_LOG")
        .from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
}

/// Milliseconds since 1970 as a date and time, UTC: `2026-11-24 13:05:09`.
///
/// Days to a date: Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
pub(crate) fn when(time_ms: u64) -> String {
    let (days, seconds) = (time_ms / 86_400_000, time_ms / 1000 % 86_400);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Writes data to stdout. A reader that has enough (`inerd … | head`) may close it; anything else that fails is said.
fn write(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        eprintln!("inerd: the result can't be written: {error}");
    }
}

/// A line said on stderr from within a progress display.
pub(crate) fn line(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::when;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(when(0), "1970-01-01 00:00:00");
        assert_eq!(when(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(when(1_795_651_199_000), "2026-11-25 23:59:59");
        assert_eq!(when(4_107_542_400_000), "2100-03-01 00:00:00");
    }
}
