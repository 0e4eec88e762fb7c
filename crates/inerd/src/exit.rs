//! Exit codes: a script can tell what to do from the number alone.

use std::process::ExitCode;

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything asked for is there.
    Success = 0,
    /// At least one stage failed; the others are kept.
    StageFailed = 1,
    /// The command line or the experiment file is wrong.
    Usage = 2,
    /// A dataset, model or tokenizer is missing or unusable.
    Input = 3,
    /// The store can't be used: damaged, full or read-only.
    Store = 4,
    /// Stopped on request; the same command goes on from the checkpoint.
    Interrupted = 5,
    /// A defect of this program.
    Bug = 70,
}

/// The table that `--help` ends with.
pub(crate) const HELP: &str = "Exit codes: 0 success, 1 a stage failed, 2 wrong command line or experiment file, \
3 missing or bad data, model or tokenizer, 4 unusable store, 5 interrupted (run again to go on), 70 a defect of inerd.";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
