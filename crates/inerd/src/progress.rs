//! Progress for people: one bar for the stages, one for each stage at work.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use inerd_experiment::{Fingerprint, Stage, duration};
use inerd_run::{Event, Observer, Work};

/// Draws a run on stderr. Nothing is drawn where stderr is no terminal; the log then gets a line per stage.
#[derive(Debug)]
pub(crate) struct Bars {
    all: MultiProgress,
    stages: ProgressBar,
    /// Of the stages at work.
    work: Mutex<BTreeMap<Fingerprint, ProgressBar>>,
    quiet: bool,
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━─")
}

impl Bars {
    pub(crate) fn new(quiet: bool) -> Self {
        let bars = MultiProgress::new();
        if quiet {
            bars.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        let stages = bars.add(ProgressBar::new(0));
        stages.set_style(style("{prefix:>9} {bar:30.green/dim} {pos}/{len} stages · {elapsed} · {msg}"));
        stages.set_prefix("run");
        Self { all: bars, stages, work: Mutex::default(), quiet }
    }

    fn line(&self, text: &str) {
        if !self.quiet {
            self.stages.suspend(|| crate::output::line(text));
        }
    }

    /// A stage is at work no more.
    fn end(&self, stage: &Fingerprint) {
        let bar = self.work.lock().unwrap_or_else(PoisonError::into_inner).remove(stage);
        if let Some(bar) = bar {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }
}

impl Observer for Bars {
    fn event(&self, event: &Event) {
        match event {
            Event::RunStarted { stages, .. } => self.stages.set_length(*stages as u64),
            Event::StageStarted { label, .. } => self.stages.set_message(label.clone()),
            Event::StageSkipped { .. } => self.stages.inc(1),
            Event::StageAwaited { label, holder, .. } => self.line(&format!("  waiting   {label}: {holder} has it")),
            Event::StageFinished { stage, label, seconds, predicted, .. } => {
                self.end(stage);
                self.stages.inc(1);
                self.line(&format!("{seconds:>8.1} s  {label} (predicted {})", duration(*predicted)));
            }
            Event::StageRetried { stage, label, class, message } => {
                self.end(stage);
                self.line(&format!("  again     {label} ({class}): {message}"));
            }
            Event::StageFailed { stage, label, class, message } => {
                self.end(stage);
                self.stages.inc(1);
                let class = class.map_or_else(|| "blocked".to_owned(), |class| class.to_string());
                self.line(&format!("  failed    {label} ({class}): {message}"));
            }
            Event::StageInterrupted { stage, label } => {
                self.end(stage);
                self.line(&format!("  stopped   {label}"));
            }
            Event::RunFinished { .. } => self.stages.finish_and_clear(),
        }
    }

    fn work(&self, stage: &Stage, work: &Work) {
        let mut bars = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bars.entry(stage.id).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(0));
            bar.set_style(style("{prefix:>9} {bar:30.cyan/dim} {pos}/{len} · {msg} · {eta} left"));
            bar
        });
        bar.set_length(work.total as u64);
        bar.set_position(work.done as u64);
        bar.set_prefix(work.what.clone());
        bar.set_message(format!("{} · {}", stage.label, work.message));
    }
}
