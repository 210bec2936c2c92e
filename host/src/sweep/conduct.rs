//! Runs a sweep: trains the runs that are missing, selects values, measures the test part of what is selected.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use lossmith_plugin::suggest::nearest;
use lossmith_plugin::{Level, Runtime};

use super::error::SweepError;
use super::existing_runs::{self, Done};
use super::input_digests::InputDigests;
use super::load::Sweep;
use super::plan::{Cell, Plan, Trial};
use super::results::{Results, RunOutcome};
use super::selection;
use super::test_part::TestPart;
use crate::data::PartName;
use crate::run::{Direction, report};
use crate::standard::Standard;
use crate::train::{Elsewhere, End, Interrupts, StrategyCheck, Trained, Training, TrainingError, TrainingEvent};

/// The options of a sweep.
#[derive(Clone, Debug)]
pub struct SweepOptions {
    /// The folder of the results.
    pub output: PathBuf,
    /// Where bare names of plugins are looked for.
    pub standard: Standard,
    /// Whether to pass over runs that fail. A prepared run that fails always ends the sweep.
    pub keep_going: bool,
}

/// An event of a sweep.
#[derive(Debug)]
pub enum SweepEvent<'a> {
    /// A run is complete.
    Run {
        /// Its number, from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// Name of its experiment.
        name: &'a str,
        /// The selected metric on the validation part; none if a prepared run has none.
        validation: Option<f64>,
        /// How long it took; none if it was there already.
        seconds: Option<f64>,
    },
    /// A run failed and is passed over.
    Failed {
        /// Its number, from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// Name of its experiment.
        name: &'a str,
        /// What ended it.
        error: &'a TrainingError,
    },
    /// A run is there that is not kept, since it was trained on something else than is there now.
    Changed {
        /// Name of its experiment.
        name: &'a str,
        /// The folder of the run.
        run: &'a Path,
        /// What changed.
        what: &'a str,
    },
    /// The test part of a chosen run is measured.
    Tested {
        /// Its number among the chosen ones, from 1.
        number: usize,
        /// How many are chosen.
        of: usize,
        /// Name of its experiment.
        name: &'a str,
        /// How long it took; none if it was measured already.
        seconds: Option<f64>,
    },
    /// A strategy warns.
    Warning {
        /// Name of the experiment.
        name: &'a str,
        /// The strategy's place in it.
        slot: &'a str,
        /// The text.
        text: &'a str,
    },
}

/// The outcome of a complete sweep.
#[derive(Debug)]
pub struct Complete {
    /// The measurements of its runs.
    pub results: Results,
    /// Names of the runs that failed and were passed over.
    pub failed: Vec<String>,
}

/// Runs a sweep: makes the runs that are not there, chooses, measures the test part of what was chosen. None if a
/// signal stopped it; the run at work has saved its state then.
///
/// # Errors
/// An experiment is wrong (before anything is trained), or a run failed.
pub fn conduct(
    sweep: &Sweep,
    options: &SweepOptions,
    runtime: Arc<Runtime>,
    interrupts: &Interrupts,
    watch: &mut dyn FnMut(SweepEvent<'_>),
) -> Result<Option<Complete>, SweepError> {
    let mut plan = Plan::new(sweep, &mut StrategyCheck::new(Arc::clone(&runtime), &options.standard))?;
    // A damaged file shows before anything is trained.
    let mut test_part = TestPart::open(&options.output)?;
    let of = sweep.config.prepare.len()
        + plan.methods().iter().map(|(_, method)| runs(&plan, sweep, *method)).sum::<usize>();
    let (threads, digests) = (tch::get_num_threads(), InputDigests::default());
    let mut conductor =
        Conductor { sweep, options, runtime, interrupts, watch, number: 0, of, failed: Vec::new(), threads, digests };
    for (index, prepare) in sweep.config.prepare.iter().enumerate() {
        match conductor.run(&plan.preparation(index)?, true)? {
            RunEnd::Done(done) => plan.prepared(&prepare.name, &done.path),
            RunEnd::Stopped | RunEnd::Failed => return Ok(None),
        }
    }
    let Some((done, chosen)) = conductor.all(&plan)? else { return Ok(None) };
    let tested: Vec<_> = done.iter().filter(|(cell, _)| is_chosen(&chosen, cell)).collect();
    for (number, (cell, done)) in tested.iter().enumerate() {
        if !conductor.test(&plan.trial(**cell)?, done, &mut test_part, (number + 1, tested.len()))? {
            return Ok(None);
        }
    }
    let outcome = |(cell, done): (&Cell, &Done)| {
        let chosen = is_chosen(&chosen, cell);
        Ok::<_, SweepError>(RunOutcome {
            name: plan.trial(*cell)?.name,
            setting: sweep.config.setting[cell.setting].name.clone(),
            method: sweep.config.method[cell.method].name.clone(),
            value: match plan.varied(cell.method, cell.value).as_slice() {
                [(_, value)] => Some((*value).clone()),
                _ => None,
            },
            varied: plan
                .varied(cell.method, cell.value)
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.clone()))
                .collect(),
            seed: cell.seed,
            fold: sweep.config.folds.map(|_| cell.fold),
            chosen,
            validation: done.validation.clone(),
            test: chosen.then(|| test_part.get(&done.path).cloned()).flatten(),
            train_metrics: picked(&done.training, &sweep.config.train_metrics),
        })
    };
    let results = Results {
        name: sweep.config.name.clone(),
        select: sweep.config.select.clone(),
        selection_seeds: sweep.selection_seeds().to_vec(),
        runs: done.iter().map(outcome).collect::<Result<_, _>>()?,
    };
    Ok(Some(Complete { results, failed: conductor.failed }))
}

/// How many runs a method has in a setting.
fn runs(plan: &Plan<'_>, sweep: &Sweep, method: usize) -> usize {
    let (selection, all) = (sweep.selection_seeds().len(), sweep.config.seeds.len());
    (plan.value_count(method) * selection + all - selection) * sweep.folds()
}

/// The runs that are complete.
type Made = BTreeMap<Cell, Done>;

/// The number of the chosen value of a method in a setting.
type Chosen = BTreeMap<(usize, usize), usize>;

fn is_chosen(chosen: &Chosen, cell: &Cell) -> bool {
    chosen.get(&(cell.setting, cell.method)) == Some(&cell.value)
}

fn picked(values: &BTreeMap<String, f64>, names: &[String]) -> BTreeMap<String, f64> {
    names.iter().filter_map(|name| Some((name.clone(), *values.get(name)?))).collect()
}

/// How a run ended.
enum RunEnd {
    Done(Done),
    Failed,
    Stopped,
}

/// The conductor of a sweep: what all of its runs share.
struct Conductor<'a> {
    sweep: &'a Sweep,
    options: &'a SweepOptions,
    runtime: Arc<Runtime>,
    interrupts: &'a Interrupts,
    watch: &'a mut dyn FnMut(SweepEvent<'_>),
    number: usize,
    of: usize,
    failed: Vec<String>,
    /// Threads of an operation where an experiment does not say.
    threads: i32,
    digests: InputDigests,
}

impl Conductor<'_> {
    /// Makes the runs that choose, chooses, and makes the rest. None if it was stopped.
    fn all(&mut self, plan: &Plan<'_>) -> Result<Option<(Made, Chosen)>, SweepError> {
        let (sweep, selection) = (self.sweep, self.sweep.selection_seeds());
        let mut done = Made::new();
        for (setting, method) in plan.methods() {
            for value in 0..plan.value_count(method) {
                if !self.seeds(plan, Cell { setting, method, value, seed: 0, fold: 0 }, selection, &mut done)? {
                    return Ok(None);
                }
            }
        }
        let direction = Direction::of(&sweep.config.select).unwrap_or(Direction::Neither);
        let mut chosen = Chosen::new();
        for (setting, method) in plan.methods() {
            let reached = |value, (seed, fold): (&u64, usize)| {
                let done: &Done = done.get(&Cell { setting, method, value, seed: *seed, fold })?;
                done.validation.get(&sweep.config.select).copied()
            };
            let count = plan.value_count(method);
            let runs = || selection.iter().flat_map(|seed| (0..sweep.folds()).map(move |fold| (seed, fold)));
            let values: Vec<Vec<_>> = (0..count).map(|value| runs().map(|run| reached(value, run)).collect()).collect();
            // A method without values has nothing to choose from.
            let best = if count == 1 { Some(0) } else { selection::best(&values, direction) };
            chosen.extend(best.map(|best| ((setting, method), best)));
        }
        let rest = sweep.config.seeds.get(selection.len()..).unwrap_or_default();
        for ((setting, method), value) in &chosen {
            let cell = Cell { setting: *setting, method: *method, value: *value, seed: 0, fold: 0 };
            if !self.seeds(plan, cell, rest, &mut done)? {
                return Ok(None);
            }
        }
        Ok(Some((done, chosen)))
    }

    /// Makes the runs of a value with some seeds, in each fold. False if it was stopped.
    fn seeds(&mut self, plan: &Plan<'_>, cell: Cell, seeds: &[u64], done: &mut Made) -> Result<bool, SweepError> {
        let folds = self.sweep.folds();
        for (seed, fold) in seeds.iter().flat_map(|seed| (0..folds).map(move |fold| (seed, fold))) {
            let cell = Cell { seed: *seed, fold, ..cell };
            match self.run(&plan.trial(cell)?, false)? {
                RunEnd::Done(run) => _ = done.insert(cell, run),
                RunEnd::Failed => {}
                RunEnd::Stopped => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Makes a run, if it is not there.
    fn run(&mut self, trial: &Trial, prepared: bool) -> Result<RunEnd, SweepError> {
        self.number += 1;
        let (number, of, name) = (self.number, self.of, trial.name.as_str());
        if self.interrupts.stopped() {
            return Ok(RunEnd::Stopped);
        }
        let begun = Instant::now();
        let (done, seconds) = match self.train(trial) {
            Ok(Trainee::Kept(done)) => (done, None),
            Ok(Trainee::Trained(done)) => (done, Some(begun.elapsed().as_secs_f64())),
            Ok(Trainee::Stopped) => return Ok(RunEnd::Stopped),
            Err(error) => {
                // Another process at work on this run will finish it; it has not failed.
                if !self.options.keep_going || prepared || matches!(error, TrainingError::AtWork { .. }) {
                    return Err(SweepError::Run { name: name.to_owned(), error });
                }
                (self.watch)(SweepEvent::Failed { number, of, name, error: &error });
                self.failed.push(name.to_owned());
                return Ok(RunEnd::Failed);
            }
        };
        if !prepared {
            self.check_metrics(name, &done)?;
        }
        let validation = done.validation.get(&self.sweep.config.select).copied();
        (self.watch)(SweepEvent::Run { number, of, name, validation, seconds });
        Ok(RunEnd::Done(done))
    }

    fn train(&mut self, trial: &Trial) -> Result<Trainee, TrainingError> {
        // The run before may have set it, and results depend on it in the last bits.
        tch::set_num_threads(self.threads);
        let kept = existing_runs::find(&self.sweep.config.directory, trial, &self.options.standard, &mut self.digests)?;
        if let Some(done) = kept.done {
            return Ok(Trainee::Kept(done));
        }
        if let Some((run, what)) = &kept.changed {
            (self.watch)(SweepEvent::Changed { name: &trial.name, run, what });
        }
        let mut training = self.begin(trial, kept.begun)?;
        let watch = &mut *self.watch;
        let ended = training.train(self.interrupts, &mut |event| {
            if let TrainingEvent::Line { slot, level: Level::Warn, text } = event {
                watch(SweepEvent::Warning { name: &trial.name, slot: &slot, text: &text });
            }
        });
        let report = report::write(training.run());
        match ended? {
            End::Interrupted => Ok(Trainee::Stopped),
            End::Finished => {
                report?;
                Ok(Trainee::Trained(Done::read(training.run())?))
            }
        }
    }

    /// Goes on with the first of the runs that can be gone on with, or starts a new one.
    fn begin(&self, trial: &Trial, begun: Vec<PathBuf>) -> Result<Training, TrainingError> {
        for path in begun {
            match Training::resume(&path, &Elsewhere::default(), Arc::clone(&self.runtime)) {
                // What is damaged is begun anew.
                Err(TrainingError::Run(_)) => {}
                resumed => return resumed,
            }
        }
        Training::start(&trial.source, Arc::clone(&self.runtime), &self.options.standard)
    }

    /// Checks that a run has the metrics that the sweep asks for.
    fn check_metrics(&self, name: &str, done: &Done) -> Result<(), SweepError> {
        if done.validation.is_empty() {
            return Err(SweepError::NoValidation { name: name.to_owned() });
        }
        let config = &self.sweep.config;
        let report = config.report.iter().enumerate().map(|(index, metric)| (format!("report.{index}"), metric));
        for (place, metric) in std::iter::once(("select".to_owned(), &config.select)).chain(report) {
            if !done.validation.contains_key(metric) {
                let known: Vec<&String> = done.validation.keys().collect();
                let help = match nearest(metric, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("measured: {}", done.validation.keys().cloned().collect::<Vec<_>>().join(", ")),
                };
                let message = format!("`{metric}` is not measured");
                return Err(self.sweep.source.wrong_value(&place, message, Some(help)).into());
            }
        }
        if let Some(metric) = &config.per_class
            && !done.validation.keys().any(|name| name.starts_with(&format!("{metric}.")))
        {
            let classes = done.validation.keys().filter_map(|name| name.split_once('.')).map(|(metric, _)| metric);
            let classes: std::collections::BTreeSet<&str> = classes.filter(|name| name.ends_with("accuracy")).collect();
            let help = match classes.is_empty() {
                true => "a table [evaluation.classification] in the experiment measures accuracies for each class"
                    .to_owned(),
                false => format!("measured for each class: {}", classes.into_iter().collect::<Vec<_>>().join(", ")),
            };
            let message = format!("`{metric}` is not measured for each class");
            return Err(self.sweep.source.wrong_value("per-class", message, Some(help)).into());
        }
        Ok(())
    }

    /// Measures the test part of a run, if that was not done. False if the sweep was stopped.
    fn test(
        &mut self,
        trial: &Trial,
        done: &Done,
        test_part: &mut TestPart,
        (number, of): (usize, usize),
    ) -> Result<bool, SweepError> {
        if self.interrupts.stopped() {
            return Ok(false);
        }
        let begun = Instant::now();
        let mut seconds = None;
        if test_part.get(&done.path).is_none() {
            tch::set_num_threads(self.threads);
            let trained = Trained::open(&done.path, "best", &Elsewhere::default(), Arc::clone(&self.runtime));
            let measured = trained.and_then(|mut trained| {
                let evaluation = trained.evaluate(PartName::Test, &mut |_| ())?;
                Ok(evaluation.values(trained.class_names()))
            });
            let failed = |error| SweepError::Run { name: trial.name.clone(), error };
            test_part.put(&done.path, measured.map_err(failed)?)?;
            seconds = Some(begun.elapsed().as_secs_f64());
        }
        (self.watch)(SweepEvent::Tested { number, of, name: &trial.name, seconds });
        Ok(true)
    }
}

/// How a training came to its end.
enum Trainee {
    Kept(Done),
    Trained(Done),
    Stopped,
}
