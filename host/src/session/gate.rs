//! The gate: a thread that checks candidates while the training goes on.
//!
//! A candidate is read once; what was hashed is what is compiled. It never touches what is at work: it computes with
//! copies of the run's state on a frozen batch. What it is found good with, bound and compiled, is handed to the
//! training.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use lossmith_plugin::{Plugin, Runtime, State};
use sha2::{Digest, Sha256};
use tch::{Device, Kind};

use super::canary::{self, States, copies};
use super::candidate::{Base, Checked, Job, Staged, Wanted};
use super::edit::{self, edited};
use super::files::followed;
use super::message::Mail;
use super::refusal::Refusal;
use super::watch::Followed;
use crate::experiment::{Experiment, Source};
use crate::objective::{Bound, Loader, Places, Strategies};
use crate::run::{self, About, Canary, Change, Edit, PluginEntry, Run, Verdict};
use crate::standard::Standard;
use crate::toolchain::UnderWay;

/// The thread, until this is dropped.
pub(super) struct Gate {
    jobs: Sender<Box<Job>>,
}

impl Gate {
    /// Starts the thread. It answers by mail; what it builds is `under_way`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(
        runtime: Arc<Runtime>,
        device: Device,
        standard: Standard,
        run: Run,
        mail: Sender<Mail>,
        under_way: UnderWay,
    ) -> std::io::Result<Self> {
        let (jobs, received): (_, Receiver<Box<Job>>) = mpsc::channel();
        std::thread::Builder::new().name("gate".into()).spawn(move || {
            let gate = Checker { runtime, device, standard, run, under_way };
            for job in received {
                if mail.send(Mail::Checked(Box::new(gate.judge(*job)))).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { jobs })
    }

    /// Hands over a job. False if the thread is gone.
    pub(super) fn check(&self, job: Box<Job>) -> bool {
        self.jobs.send(job).is_ok()
    }
}

struct Checker {
    runtime: Arc<Runtime>,
    device: Device,
    standard: Standard,
    run: Run,
    under_way: UnderWay,
}

impl Checker {
    fn judge(&self, mut job: Job) -> Checked {
        let (number, asked, mut followed) = (job.number, job.asked.take(), None);
        let reverts = matches!(job.wanted, Wanted::Revision(_));
        let found = self.check(job, &mut followed);
        let abandoned = self.under_way.take_abandoned();
        let (verdict, staged) = match found {
            Ok(Some((verdict, staged))) => (verdict, Some(staged)),
            Ok(None) => (Verdict::Same, None),
            // Its files have changed since, so it says nothing of what is there now.
            Err(_) if abandoned => (Verdict::Superseded, None),
            Err(Refusal { reason, help }) => (Verdict::Refused { reason, help }, None),
        };
        Checked { number, verdict, staged, asked, followed, reverts }
    }

    /// None if nothing would change.
    fn check(&self, job: Job, files: &mut Option<Vec<Followed>>) -> Result<Option<(Verdict, Staged)>, Refusal> {
        let (source, edits, kept) = self.source(&job.wanted, job.settled)?;
        let experiment = source.parse()?;
        if let Wanted::Edited(Base::File(file, _), _) = &job.wanted {
            *files = Some(followed(file, &experiment, &self.standard));
        }
        let changes = edit::changes(&job.live, &experiment)
            .map_err(|error| Refusal::new(format!("the experiment cannot be compared: {error}")))?;
        allowed(&changes, &experiment, &job)?;
        let mut strategies = self.load(&source, &experiment, kept.as_ref(), &job)?;
        let plugins = entries(&strategies.bound);
        if changes.is_empty() && plugins == entries(&job.bound) {
            return Ok(None);
        }
        if let Some(entry) = plugins.iter().find(|entry| job.quarantine.contains(&entry.hash)) {
            let hash = entry.hash.get(..12).unwrap_or_default();
            return Err(Refusal::new(format!("the component of {} ({hash}) was rolled back before", entry.slot))
                .with_help("it is looked at again when its file has other content"));
        }
        let toml = experiment.to_toml().map_err(|error| Refusal::new(error.to_string()))?;
        if job.quarantine.contains(&lossmith_files::hex(&Sha256::digest(&toml))) {
            return Err(Refusal::new("these parameters were rolled back before".into())
                .with_help("they are looked at again when something else changes, too"));
        }
        for bound in &strategies.bound {
            bound.keep_in(&self.run)?;
        }
        let mut about = About { plugins, edits, reset: Vec::new() };
        let keep = |about: &About, brought: Option<&States>| {
            let tensors = brought.map(named).transpose()?;
            Ok::<_, Refusal>(run::store_revision(&self.run, job.number, &toml, about, tensors.as_ref())?)
        };
        keep(&about, None)?;
        let mut states = copies(&job.states)?;
        states.extend(job.brought.as_ref().map(copies).transpose()?.into_iter().flatten());
        let tried = self.try_out(&mut strategies, &job, &experiment, &states);
        strategies.objectives.put_states(BTreeMap::new());
        let (canary, reset) = tried?;
        about.reset.clone_from(&reset);
        if !reset.is_empty() || job.brought.is_some() {
            keep(&about, job.brought.as_ref())?;
        }
        let milliseconds = job.begun.elapsed().as_secs_f64() * 1e3;
        let plugins = about.plugins.clone();
        let verdict = Verdict::Accepted { changes: changes.clone(), plugins, canary, reset, milliseconds };
        let Job { number, revision, brought, .. } = job;
        Ok(Some((verdict, Staged { number, revision, source, experiment, strategies, about, changes, brought })))
    }

    /// The text of what is wanted, what commands changed in it, and its components where the run has them.
    #[expect(clippy::type_complexity, reason = "one caller")]
    fn source(
        &self,
        wanted: &Wanted,
        settled: usize,
    ) -> Result<(Source, Vec<Edit>, Option<BTreeMap<String, PathBuf>>), Refusal> {
        match wanted {
            Wanted::Revision(number) => {
                let revision = self.run.revision(*number)?;
                let source = Source::read(&revision.experiment, &[])?;
                Ok((source, revision.about.edits, Some(self.run.places(&revision.about.plugins))))
            }
            Wanted::Edited(base, edits) => {
                let source = match base {
                    Base::File(path, sets) => Source::read(path, sets)?,
                    Base::Text { source, .. } => source.clone(),
                };
                let applied = if let Base::Text { applied, .. } = base { *applied } else { 0 };
                let (before, new) = edits.split_at(settled.max(applied).min(edits.len()));
                let wanted = || {
                    let wanted = edited(source.clone(), before.get(applied..).unwrap_or_default(), true)?;
                    let wanted = edited(wanted, new, false)?;
                    wanted.parse().map(|_| wanted)
                };
                match (wanted(), source.parse()) {
                    (Ok(wanted), _) => Ok((wanted, edits.clone(), None)),
                    (Err(_), Err(own)) if !new.is_empty() => Err(Refusal::from(own).of_the_file()),
                    (Err(error), _) => Err(error.into()),
                }
            }
        }
    }

    fn load(
        &self,
        source: &Source,
        experiment: &Experiment,
        kept: Option<&BTreeMap<String, PathBuf>>,
        job: &Job,
    ) -> Result<Strategies, Refusal> {
        let places = kept.map_or(Places::Standard(&self.standard), Places::Run);
        let runtime = Arc::clone(&self.runtime);
        let loader = Loader::new(runtime, source, places, self.device, experiment.seed, experiment.limits.clone());
        let loader = loader.under_way(self.under_way.clone());
        let live = job.bound.iter().map(|bound| (bound.source.clone(), Arc::clone(&bound.plugin)));
        let pinned = if job.reread || kept.is_some() { BTreeMap::new() } else { live.collect() };
        let known: Vec<Arc<Plugin>> = job.bound.iter().map(|bound| Arc::clone(&bound.plugin)).collect();
        Ok(Strategies::load(experiment, loader.knowing(known).pinned(pinned))?)
    }
}

/// The components of strategies, as a run records them.
#[must_use]
pub fn entries(bound: &[Bound]) -> Vec<PluginEntry> {
    let entry = |Bound { slot, role, strategy, plugin, .. }: &Bound| PluginEntry {
        slot: slot.clone(),
        role: role.to_string(),
        strategy: strategy.clone(),
        hash: plugin.hash.clone(),
    };
    bound.iter().map(entry).collect()
}

fn allowed(changes: &[Change], experiment: &Experiment, job: &Job) -> Result<(), Refusal> {
    for change in changes {
        if let Some(reason) = edit::fixed(change) {
            let run = "`lossmith train --from RUN@EPOCH --set KEY=VALUE` starts a branch with it";
            return Err(
                Refusal::new(format!("{change}: this cannot change in a running training: {reason}")).with_help(run)
            );
        }
    }
    let complete = job.sample.progress.epoch + 1;
    if experiment.epochs <= complete {
        let text = format!("epochs = {}, but epoch {complete} is at work already", experiment.epochs);
        return Err(Refusal::new(text).with_help("`lossmith session stop RUN` ends the training"));
    }
    experiment.optimizer.check().map_err(|error| Refusal::new(error.to_string()))
}

impl Checker {
    /// Runs the candidate: with what the run keeps, twice, and with nothing, to see what it would keep.
    fn try_out(
        &self,
        strategies: &mut Strategies,
        job: &Job,
        experiment: &Experiment,
        states: &States,
    ) -> Result<(Canary, Vec<String>), Refusal> {
        let sample = &job.sample;
        canary::measure(&mut strategies.objectives, sample, &BTreeMap::new())?;
        let fresh = strategies.objectives.take_states();
        let (states, reset) = fitting(states, &fresh, experiment)?;
        let misfits = || {
            states
                .iter()
                .find_map(|(place, state)| Some((place, fresh.get(place).and_then(|fresh| misfit(state, fresh))?)))
        };
        let first =
            canary::measure(&mut strategies.objectives, sample, &states).map_err(|refusal| match misfits() {
                Some((place, (name, kept, wanted))) => unfit(place, &name, &kept, &wanted),
                None => refusal,
            })?;
        for (place, state) in strategies.objectives.take_states() {
            if let Some((name, kept, wanted)) = fresh.get(&place).and_then(|fresh| misfit(&state, fresh)) {
                return Err(unfit(&place, &name, &kept, &wanted));
            }
        }
        let second = canary::measure(&mut strategies.objectives, sample, &states)?;
        if first.loss.to_bits() != second.loss.to_bits() || !first.gradient.f_equal(&second.gradient)? {
            return Err(Refusal::new("computed twice on one batch it gives two results".into())
                .with_help("keep what must last in `state`, and take random numbers from `random`"));
        }
        // The last batch of an evaluation has any size.
        let images = sample.batch.embeddings.size().first().copied().unwrap_or_default();
        for size in [images, images - 1, images / 2, 1] {
            let some = sample.batch.embeddings.f_narrow(0, 0, size.max(1))?;
            drop(strategies.objectives.fuse(some, sample.batch.slice_count, &sample.progress)?);
        }
        let live = self.live(job);
        let cosine = match &live {
            Some(live) => canary::cosine(&first.gradient, &live.gradient)?,
            None => None,
        };
        let live_loss = live.map(|live| live.loss);
        Ok((Canary { loss: first.loss, live_loss, cosine, milliseconds: first.milliseconds }, reset))
    }

    /// What is at work, on the same batch; none if it fails there.
    fn live(&self, job: &Job) -> Option<canary::Measured> {
        let Job { live, bound, sample, states, .. } = job;
        let source = Source::from_text("the live experiment", live.to_toml().ok()?);
        let pinned = bound.iter().map(|bound| (bound.source.clone(), Arc::clone(&bound.plugin))).collect();
        let (runtime, places) = (Arc::clone(&self.runtime), Places::Standard(&self.standard));
        let loader = Loader::new(runtime, &source, places, self.device, live.seed, live.limits.clone()).pinned(pinned);
        let mut strategies = Strategies::load(live, loader).ok()?;
        canary::measure(&mut strategies.objectives, sample, states).ok()
    }
}

/// What of `states` the candidate begins with: names that do not fit and are to begin anew are left out.
fn fitting(states: &States, fresh: &States, experiment: &Experiment) -> Result<(States, Vec<String>), Refusal> {
    let (mut fitting, mut reset) = (BTreeMap::new(), Vec::new());
    for (place, state) in states {
        let mut state = state.copy()?;
        while let Some((name, ..)) = fresh.get(place).and_then(|fresh| misfit(&state, fresh)) {
            if !experiment.strategy(place).is_some_and(|strategy| strategy.reset.contains(&name)) {
                break;
            }
            state.parameters.remove(&name);
            state.buffers.remove(&name);
            reset.push(format!("{place}/{name}"));
        }
        fitting.insert(place.clone(), state);
    }
    Ok((fitting, reset))
}

type Shape = (Vec<i64>, Kind);

/// A tensor that both have with another shape or dtype: its name, as it is kept, and as it would be made.
fn misfit(kept: &State, fresh: &State) -> Option<(String, Shape, Shape)> {
    let shape = |tensor: &tch::Tensor| (tensor.size(), tensor.kind());
    let tensors = |state: &State| {
        let parameters = state.parameters.iter().map(|(name, parameter)| (name.clone(), shape(&parameter.tensor)));
        parameters.chain(state.buffers.iter().map(|(name, tensor)| (name.clone(), shape(tensor)))).collect()
    };
    let fresh: BTreeMap<String, Shape> = tensors(fresh);
    let kept: BTreeMap<String, Shape> = tensors(kept);
    let pairs = kept.into_iter().filter_map(|(name, kept)| Some((fresh.get(&name)?.clone(), name, kept)));
    pairs.into_iter().find(|(fresh, _, kept)| fresh != kept).map(|(fresh, name, kept)| (name, kept, fresh))
}

fn unfit(place: &str, name: &str, (kept, kept_kind): &Shape, (wanted, wanted_kind): &Shape) -> Refusal {
    let kept = format!("{kept:?} ({kept_kind:?})"); // For people.
    let wanted = format!("{wanted:?} ({wanted_kind:?})"); // For people.
    let text = format!("{place} keeps `{name}` of shape {kept}, and the new code makes it {wanted}");
    Refusal::new(text).with_help(&format!(
        "`reset = [\"{name}\"]` beside the strategy lets it begin anew; code that calls `replace-parameter` or \
         `replace-buffer` carries it over"
    ))
}

/// States as tensors by name, as a checkpoint has them.
fn named(states: &States) -> Result<BTreeMap<String, tch::Tensor>, tch::TchError> {
    states.iter().try_fold(BTreeMap::new(), |mut tensors, (place, state)| {
        tensors.extend(state.tensors(place)?);
        Ok(tensors)
    })
}
