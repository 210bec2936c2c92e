//! The progress of a training: bars on a terminal, plain lines elsewhere, JSON on request.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lossmith_plugin::Level;
use lossmith_plugin::printable::{harmless_json, printable};

use super::error::CliError;
use super::{evaluation, output};
use crate::data::PartName;
use crate::eval::Measuring;
use crate::run;
use crate::train::{End, TrainingEvent};

/// Without a terminal, a line at most this often: a log of an hour has 60 of them.
const QUIET: Duration = Duration::from_secs(60);

/// Shows the events of a training.
pub(super) struct ProgressView {
    json: bool,
    terminal: bool,
    bar: ProgressBar,
    /// What is live, and the last news of edits.
    live: String,
    news: String,
    epochs: u64,
    steps: u64,
    loss: f64,
    images: u64,
    epoch_begun: Instant,
    last_line: Instant,
}

impl ProgressView {
    pub(super) fn new(json: bool) -> Self {
        let terminal = !json && std::io::stderr().is_terminal();
        let now = Instant::now();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let (live, news) = (String::new(), String::new());
        Self {
            json,
            terminal,
            bar,
            live,
            news,
            epochs: 0,
            steps: 0,
            loss: f64::NAN,
            images: 0,
            epoch_begun: now,
            last_line: now,
        }
    }

    pub(super) fn show(&mut self, event: &TrainingEvent<'_>) {
        if self.json {
            // A measurement tells many times a second how far it is, and nothing has happened yet. A path that is no
            // Unicode has no line.
            if !matches!(event, TrainingEvent::Measuring { .. })
                && let Ok(line) = serde_json::to_string(event)
            {
                self.print(&harmless_json(&line));
            }
            return;
        }
        match event {
            TrainingEvent::Ready {
                run,
                data,
                device,
                parameters,
                weights,
                bound,
                teacher,
                epochs,
                steps,
                from_step,
            } => {
                (self.epochs, self.steps) = (*epochs, *steps);
                self.print(&data.to_string());
                self.print(&format!("network of {parameters} numbers on {device}"));
                if let Some(weights) = weights {
                    self.print(&format!("{:<18} {weights}", "weights"));
                }
                let live = bound.iter().map(|bound| (&bound.strategy, &bound.plugin.hash));
                self.live = live_line(0, live);
                for bound in *bound {
                    let (plugin, hash) = (&bound.plugin.name, bound.plugin.hash.get(..12).unwrap_or_default());
                    self.print(&format!("{:<18} {} (plugin {plugin}, {hash})", bound.slot, bound.strategy));
                }
                if let Some(teacher) = teacher {
                    self.print(&format!("{:<18} {teacher}", "teacher"));
                }
                self.print(&format!("run: {}", run.display()));
                if *from_step > 0 {
                    self.print(&format!("going on after step {from_step}"));
                }
                self.begin_epoch();
            }
            TrainingEvent::Step { epoch, epochs, step, images, loss } => {
                self.epochs = *epochs;
                self.step(*epoch, *step, *images, *loss);
            }
            TrainingEvent::Line { slot, level, text } => {
                if *level != Level::Debug {
                    self.print(&format!("{slot} {}: {text}", level.name()));
                }
            }
            TrainingEvent::Epoch { epoch, epochs, loss, seconds, values, best } => {
                self.epochs = *epochs;
                let digits = self.epochs.to_string().len();
                let mut line = format!("epoch {epoch:>digits$}/{}  loss {loss:.4}", self.epochs);
                for (name, value) in
                    values.iter().filter(|(name, _)| SHOWN.iter().any(|shown| name.ends_with(&format!("/{shown}"))))
                {
                    line += &format!("  {} {value:.4}", name.strip_prefix("validation/").unwrap_or(name));
                }
                line += &format!("  {seconds:.1} s");
                line += if *best { "  best so far" } else { "" };
                self.print(&line);
                self.begin_epoch();
            }
            TrainingEvent::Measuring { part, now } => self.measuring(*part, *now),
            // A command is answered where it was given.
            TrainingEvent::Session { event: run::Event::Control { .. }, .. } => {}
            TrainingEvent::Session { event, milliseconds } => {
                let taken = milliseconds.map_or(String::new(), |milliseconds| format!("\n  in {milliseconds:.1} ms"));
                let text = event.to_string();
                self.news = text.lines().next().unwrap_or_default().to_owned();
                if let run::Event::Swap { revision, plugins, .. } | run::Event::Rollback { to: revision, plugins, .. } =
                    event
                {
                    let live = plugins.iter().map(|plugin| (&plugin.strategy, &plugin.hash));
                    self.live = live_line(*revision, live);
                }
                self.print(&format!("{text}{taken}"));
                self.bar.set_message(printable(&format!("{}  {}", self.live, self.news)));
            }
            TrainingEvent::Tested { epoch, values } => {
                self.bar.finish_and_clear();
                self.print(&format!("test part, with the weights of epoch {epoch}:"));
                let values =
                    values.iter().map(|(name, value)| (name.strip_prefix("test/").unwrap_or(name).to_owned(), *value));
                self.print(evaluation::text(&values.collect()).trim_end());
            }
            TrainingEvent::Ended(End::Finished) => {}
            TrainingEvent::Ended(End::Interrupted) => self.print("stopped; the state is saved"),
        }
    }

    /// A line after the end.
    pub(super) fn note(&self, text: &str) -> Result<(), CliError> {
        if self.json { Ok(()) } else { output::line(text) }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn begin_epoch(&mut self) {
        self.images = 0;
        self.epoch_begun = Instant::now();
        self.bar.finish_and_clear();
        if self.terminal {
            let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len}  {eta} left\n{wide_msg}");
            self.bar = ProgressBar::new(self.steps);
            // The template is a constant that indicatif accepts; without it its own style would do.
            self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            self.bar.set_message(printable(&format!("{}  {}", self.live, self.news)));
        }
    }

    fn step(&mut self, epoch: u64, step: u64, images: usize, loss: Option<f64>) {
        self.images += images as u64;
        self.loss = loss.unwrap_or(self.loss);
        let rate = self.images as f64 / self.epoch_begun.elapsed().as_secs_f64().max(1e-9);
        let loss = if self.loss.is_nan() { String::new() } else { format!("loss {:.4}  ", self.loss) };
        if self.terminal {
            self.bar.set_prefix(format!("epoch {}/{}  {loss}{rate:.0} images/s", epoch + 1, self.epochs));
            self.bar.set_position(step);
        } else if self.last_line.elapsed() >= QUIET {
            self.last_line = Instant::now();
            let left = (self.steps - step) as f64 / step.max(1) as f64 * self.epoch_begun.elapsed().as_secs_f64();
            let of = (epoch + 1, self.epochs, step, self.steps);
            self.print(&format!(
                "epoch {}/{}  step {}/{}  {loss}{rate:.0} images/s  {left:.0} s left",
                of.0, of.1, of.2, of.3
            ));
        }
    }

    /// A measurement can take longer than the epoch before it.
    fn measuring(&mut self, part: PartName, Measuring { what, done, of }: Measuring) {
        let text = format!("measuring the {part} part: {what} {done}/{of}");
        if self.terminal {
            self.bar.set_message(text);
        } else if self.last_line.elapsed() >= QUIET {
            self.last_line = Instant::now();
            self.print(&text);
        }
    }

    fn print(&self, text: &str) {
        self.bar.suspend(|| {
            // A training goes on when nobody reads its lines.
            let _ = output::line(text);
        });
    }
}

/// The strategies that are live, each with the beginning of its component's hash.
fn live_line<'a>(revision: u64, live: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let live = live.map(|(strategy, hash)| format!("{strategy} {}", hash.get(..6).unwrap_or_default()));
    format!("revision {revision}: {}", live.collect::<Vec<_>>().join(", "))
}

/// The metrics in the line of an epoch; the record has all.
const SHOWN: [&str; 4] = ["precision-at-1", "r-precision", "map-at-r", "nearest-neighbours-accuracy"];
