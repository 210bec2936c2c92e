//! Measuring steps: a call with its backward pass.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lossmith_plugin::{Plugin, Role, Runtime, State, Value, Way};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind};

use super::native;
use crate::check::CheckError;
use crate::check::batch::{Extras, TrialBatch, classes};
use crate::check::subject::{NotComputed, Subject, finish, refusal};

/// Images of a class, as with a sampler of M per class; the last class has what is left over.
const PER_CLASS: usize = 4;
/// Steps are repeated until this has passed, at least [`LEAST`] times.
const PATIENCE: Duration = Duration::from_millis(400);
const LEAST: usize = 5;

/// The rival that a strategy is compared with.
#[derive(Clone)]
pub enum Rival {
    /// A strategy of the same role in a component.
    Component(Arc<Plugin>, String),
    /// The host's own code, without a sandbox.
    Native(String),
}

/// The measurement of steps at one size.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measurement {
    /// Images.
    pub batch: usize,
    /// Numbers of an embedding.
    pub dimension: i64,
    /// Of the strategy: the median of its steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<f64>,
    /// Of the strategy's steps: a quarter took less than the first, a quarter more than the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quartiles: Option<[f64; 2]>,
    /// Of the strategy where its plugin makes each call step by step, in turns with the strategy; not there where it
    /// does so anyway, since it reads values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_by_step_milliseconds: Option<f64>,
    /// By how much the resident memory rises in a step, at most; not there where the system does not say.
    pub megabytes: Option<f64>,
    /// Of the rival, in turns with the strategy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against_milliseconds: Option<f64>,
    /// Of the rival.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against_quartiles: Option<[f64; 2]>,
    /// Of the rival.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against_megabytes: Option<f64>,
    /// Median over the turns of the strategy's time over the rival's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Why this size was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Something that makes steps.
enum Runner {
    Component(Box<Subject>),
    Native(native::Native),
}

impl Runner {
    fn restart(&mut self) {
        match self {
            Self::Component(subject) => subject.restart(),
            Self::Native(_) => {}
        }
    }

    /// Whether its steps are programs by now.
    fn is_replayed(&mut self, batch: &TrialBatch) -> Result<bool, CheckError> {
        match self {
            Self::Component(subject) => Ok(subject.train(batch, Kind::Float)? == Way::Replayed),
            Self::Native(_) => Ok(false),
        }
    }

    fn step(&mut self, batch: &TrialBatch) -> Result<(), CheckError> {
        match self {
            Self::Component(subject) => drop(subject.train(batch, Kind::Float)?),
            Self::Native(loss) => {
                let input = batch.input(Kind::Float)?;
                if let (Some(embeddings), Some(labels)) = (&input.embeddings, &input.labels) {
                    loss(embeddings, labels)?.f_backward()?;
                    // As the component's: what was computed is read.
                    finish(&embeddings.f_grad()?.f_to_kind(Kind::Double)?)?;
                }
            }
        }
        Ok(())
    }
}

/// What is measured. One process cannot do both: what the allocator keeps for the next step hides what a step takes,
/// and an allocator that keeps nothing is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Milliseconds.
    Time,
    /// Megabytes. The process must have been started with [`KEEP_NOTHING`].
    Memory,
}

/// Variables that make the system's allocator give back what is freed.
pub const KEEP_NOTHING: [(&str, &str); 2] = [("MALLOC_MMAP_THRESHOLD_", "16384"), ("MALLOC_TRIM_THRESHOLD_", "16384")];

/// Measures a strategy with `given` parameters on a device, in turns with a rival, for each of the `dimensions` with
/// batches of each of the `sizes`. `done` is told each. A size that a plugin cannot compute says why.
///
/// # Errors
/// Parameters that do not fit, a native loss that there is not, or what libtorch says.
pub fn measure(
    runtime: &Arc<Runtime>,
    plugin: &Arc<Plugin>,
    (role, strategy, given): (Role, &str, &BTreeMap<String, Value>),
    (sizes, dimensions): (&[usize], &[i64]),
    (rival, device): (Option<&Rival>, Device),
    quantity: Quantity,
    mut done: impl FnMut(&Measurement),
) -> Result<Vec<Measurement>, CheckError> {
    let component = |plugin: &Arc<Plugin>, name: &str, given: &BTreeMap<String, Value>| {
        Ok::<_, CheckError>(Runner::Component(Box::new(Subject::new(runtime, plugin, role, name, given)?.on(device))))
    };
    let mut ours = component(plugin, strategy, given)?;
    let mut plain = Subject::new(runtime, plugin, role, strategy, given)?.on(device).without_programs();
    let mut theirs = match rival {
        None => None,
        Some(Rival::Component(plugin, name)) => Some(component(plugin, name, &BTreeMap::new())?),
        Some(Rival::Native(name)) => Some(Runner::Native(
            native::find(name)
                .ok_or_else(|| CheckError::NoNative { name: name.clone(), known: native::NAMES.join(", ") })?,
        )),
    };
    let mut extras = None;
    let mut rows = Vec::new();
    for &dimension in dimensions {
        for &size in sizes {
            let mut sizes = vec![PER_CLASS; size / PER_CLASS];
            sizes.extend(Some(size % PER_CLASS).filter(|rest| *rest > 0));
            let mut row = Measurement { batch: size, dimension, ..Measurement::default() };
            let known = match extras {
                Some(extras) => Ok(extras),
                None => computable(&mut ours, &sizes, dimension, device),
            };
            let measured = known.and_then(|known| {
                extras = Some(known);
                let batch = classes(40, &sizes, dimension, known)?.on(device)?;
                measure_one(&mut ours, &mut plain, theirs.as_mut(), &batch, quantity, &mut row)
            });
            if let Err(error) = measured {
                let why = told(error)?;
                row = Measurement { batch: size, dimension, error: Some(why), ..Measurement::default() };
            }
            done(&row);
            rows.push(row);
        }
    }
    Ok(rows)
}

fn measure_one(
    ours: &mut Runner,
    plain: &mut Subject,
    mut theirs: Option<&mut Runner>,
    batch: &TrialBatch,
    quantity: Quantity,
    row: &mut Measurement,
) -> Result<(), CheckError> {
    // What an earlier size kept has other shapes.
    plain.restart();
    [Some(&mut *ours), theirs.as_deref_mut()].into_iter().flatten().for_each(Runner::restart);
    if let Runner::Component(subject) = &mut *ours
        && let Some(text) = subject.evaluate(batch, Kind::Float, &State::default())?.not_finite
    {
        return Err(CheckError::Refused(text));
    }
    match quantity {
        Quantity::Time => time(ours, plain, theirs, batch, row)?,
        Quantity::Memory => {
            row.megabytes = rise(|| ours.step(batch))?;
            row.against_megabytes = theirs.map(|theirs| rise(|| theirs.step(batch))).transpose()?.flatten();
        }
    }
    Ok(())
}

/// Why a plugin did not compute a batch; other errors are passed on.
fn told(error: CheckError) -> Result<String, CheckError> {
    if let CheckError::Refused(text) = error {
        return Ok(text);
    }
    let (NotComputed::Told(text) | NotComputed::Fault(text)) = refusal(error)?;
    Ok(text)
}

/// The first kind of batch that the strategy does not refuse; its refusal if there is none.
fn computable(runner: &mut Runner, sizes: &[usize], dimension: i64, device: Device) -> Result<Extras, CheckError> {
    let mut last = None;
    for extras in Extras::ALL {
        match runner.step(&classes(40, sizes, dimension, extras)?.on(device)?) {
            Ok(()) => return Ok(extras),
            Err(error) => match refusal(error)? {
                NotComputed::Told(text) | NotComputed::Fault(text) => last = last.or(Some(text)),
            },
        }
    }
    Err(CheckError::Refused(last.unwrap_or_default()))
}

/// Steps in turns: the strategy's, those that its plugin makes where these are programs, and the rival's.
fn time(
    ours: &mut Runner,
    plain: &mut Subject,
    mut theirs: Option<&mut Runner>,
    batch: &TrialBatch,
    row: &mut Measurement,
) -> Result<(), CheckError> {
    let (mut times, mut plains, mut rivals, mut ratios) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // The first may make parameters, the second is recorded.
    ours.step(batch)?;
    ours.step(batch)?;
    let replayed = ours.is_replayed(batch)?;
    if let Some(theirs) = &mut theirs {
        theirs.step(batch)?;
    }
    let begun = Instant::now();
    while times.len() < LEAST || begun.elapsed() < PATIENCE {
        let time = timed(|| ours.step(batch))?;
        times.push(time);
        if replayed {
            plains.push(timed(|| plain.train(batch, Kind::Float).map(drop))?);
        }
        if let Some(theirs) = &mut theirs {
            let rival = timed(|| theirs.step(batch))?;
            rivals.push(rival);
            ratios.push(time / rival);
        }
    }
    (row.milliseconds, row.quartiles) = (quantile(&mut times, 2), quartiles(&mut times));
    row.step_by_step_milliseconds = quantile(&mut plains, 2);
    (row.against_milliseconds, row.against_quartiles) = (quantile(&mut rivals, 2), quartiles(&mut rivals));
    row.ratio = quantile(&mut ratios, 2);
    Ok(())
}

fn timed(step: impl FnOnce() -> Result<(), CheckError>) -> Result<f64, CheckError> {
    let begun = Instant::now();
    step()?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// The value that `quarters` of four are below; none of no values.
fn quantile(values: &mut [f64], quarters: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() * quarters / 4).copied()
}

fn quartiles(values: &mut [f64]) -> Option<[f64; 2]> {
    quantile(values, 1).zip(quantile(values, 3)).map(|(low, high)| [low, high])
}

/// How much the resident memory of the process rises at most in a step, in megabytes: the system's high-water mark, set
/// back before. The step is made twice, and the second one measured. None where the system has no such mark.
///
/// # Errors
/// That of the step.
pub fn rise<E>(mut step: impl FnMut() -> Result<(), E>) -> Result<Option<f64>, E> {
    let read = |name: &str| -> Option<f64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()
    };
    step()?;
    if std::fs::write("/proc/self/clear_refs", "5").is_err() {
        return Ok(None);
    }
    let before = read("VmRSS");
    step()?;
    Ok(before.zip(read("VmHWM")).map(|(before, peak)| (peak - before).max(0.0) / 1024.0))
}
