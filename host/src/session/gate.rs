//! The gate: a thread that checks candidates while the training goes on.
//!
//! A candidate is read once; what was hashed is what is compiled. It never touches what is at work: it computes with
//! copies of the run's state on a frozen batch. What it is found good with, bound and compiled, is handed to the
//! training.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use lossmith_plugin::candidate::{Measured, States, TriedOut, copies, cosine, measure, try_out};
use lossmith_plugin::{Plugin, Runtime};
use sha2::{Digest, Sha256};
use tch::Device;

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
            return Err(Refusal::of_component(&entry.slot, &entry.hash));
        }
        let toml = experiment.to_toml().map_err(|error| Refusal::new(error.to_string()))?;
        if job.quarantine.contains(&lossmith_files::hex(&Sha256::digest(&toml))) {
            return Err(Refusal::of_parameters());
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
        let may_reset = |place: &str, name: &str| {
            experiment.strategy(place).is_some_and(|strategy| strategy.reset.iter().any(|reset| reset == name))
        };
        let TriedOut { measured, reset } = try_out(&mut strategies.objectives, &job.sample, &states, may_reset)?;
        let live = self.live(&job);
        let cosine = live.as_ref().map(|live| cosine(&measured.gradient, &live.gradient)).transpose()?.flatten();
        let (loss, milliseconds) = (Some(measured.loss), measured.milliseconds);
        let canary = Canary { loss, live_loss: live.map(|live| live.loss), cosine, milliseconds };
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

    /// What is at work, on the same batch; none if it fails there.
    fn live(&self, job: &Job) -> Option<Measured> {
        let Job { live, bound, sample, states, .. } = job;
        let source = Source::from_text("the live experiment", live.to_toml().ok()?);
        let pinned = bound.iter().map(|bound| (bound.source.clone(), Arc::clone(&bound.plugin))).collect();
        let (runtime, places) = (Arc::clone(&self.runtime), Places::Standard(&self.standard));
        let loader = Loader::new(runtime, &source, places, self.device, live.seed, live.limits.clone()).pinned(pinned);
        let mut strategies = Strategies::load(live, loader).ok()?;
        measure(&mut strategies.objectives, sample, states).ok()
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

/// States as tensors by name, as a checkpoint has them.
fn named(states: &States) -> Result<BTreeMap<String, tch::Tensor>, tch::TchError> {
    states.iter().try_fold(BTreeMap::new(), |mut tensors, (place, state)| {
        tensors.extend(state.tensors(place)?);
        Ok(tensors)
    })
}
