//! Progress for people: one bar for the stages, one for the stage at work.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use inerd_run::{Event, Observer, Work};

/// Draws a run on stderr. Nothing is drawn where stderr is no terminal; the log then gets a line per stage.
#[derive(Debug)]
pub(crate) struct Bars {
    stages: ProgressBar,
    work: ProgressBar,
    quiet: bool,
}

impl Bars {
    pub(crate) fn new(quiet: bool) -> Self {
        let bars = MultiProgress::new();
        if quiet {
            bars.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        let style = |template: &str| {
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━━─")
        };
        let stages = bars.add(ProgressBar::new(0));
        stages.set_style(style("{prefix:>9} {bar:30.green/dim} {pos}/{len} stages · {elapsed} · {msg}"));
        stages.set_prefix("run");
        let work = bars.add(ProgressBar::new(0));
        work.set_style(style("{prefix:>9} {bar:30.cyan/dim} {pos}/{len} · {msg} · {eta} left"));
        Self { stages, work, quiet }
    }

    fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        self.stages.suspend(|| crate::output::line(text));
    }
}

impl Observer for Bars {
    fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted { stages, .. } => self.stages.set_length(*stages as u64),
            Event::StageStarted { label, .. } => {
                self.stages.set_message(label.clone());
                self.work.reset();
                self.work.set_length(0);
            }
            Event::StageSkipped { .. } => self.stages.inc(1),
            Event::StageFinished { label, seconds, .. } => {
                self.stages.inc(1);
                self.line(&format!("{seconds:>8.1} s  {label}"));
            }
            Event::StageFailed { label, class, message, .. } => {
                self.stages.inc(1);
                self.line(&format!("  failed    {label} ({class}): {message}"));
            }
            Event::RunFinished { .. } => {
                self.work.finish_and_clear();
                self.stages.finish_and_clear();
            }
            Event::StageInterrupted { .. } => {}
        }
    }

    fn work(&mut self, work: &Work) {
        self.work.set_length(work.total as u64);
        self.work.set_position(work.done as u64);
        self.work.set_prefix(work.what);
        self.work.set_message(work.message.clone());
    }
}
