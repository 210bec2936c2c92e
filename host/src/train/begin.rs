//! Starting, resuming, branching and repeating a training.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lossmith_plugin::Runtime;
use tch::Device;

use super::assembly::{Assembly, Site, device_name};
use super::averages::Averages;
use super::checkpoints::{Fit, newest, prepare};
use super::epoch_steps::Pace;
use super::location::{Accepting, Elsewhere, absolute, changed, files, same_files};
use super::revisions::Live;
use super::shadows::Shadows;
use super::training::Training;
use super::training_error::TrainingError;
use super::unseen::{check_unseen, trains};
use crate::experiment::{Experiment, MOST_THREADS, Source};
use crate::objective::Places;
use crate::run::{self, Manifest, Preprocessing, RowKind, Run, RunError, Status, TeacherEntry, Versions};
use crate::session::{Base, Seen, entries, followed};
use crate::standard::Standard;
use crate::teacher::Teacher;

/// Where a branch begins: a run and the epoch of one of its checkpoints.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The run's folder.
    pub run: PathBuf,
    /// The checkpoint: `best`, `last`, or an epoch.
    pub checkpoint: String,
}

impl Training {
    /// Loads everything and makes the run's folder. Bare names of plugins are looked for as `standard` says.
    ///
    /// # Errors
    /// What is wrong with the experiment, its plugins, or its data. No run is made then.
    pub fn start(source: &Source, runtime: Arc<Runtime>, standard: &Standard) -> Result<Self, TrainingError> {
        let origin = source.origin().map(|(file, sets)| (file.to_owned(), sets.to_vec()));
        let seen = match &origin {
            Some((file, _)) => {
                let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
                Some(Seen::now(followed(&file, &source.parse()?, standard)))
            }
            None => None,
        };
        let places = Places::Standard(standard);
        let assembly = Assembly::new(source, Arc::clone(&runtime), places, Site::default(), |loader| loader)?;
        let mut training = Self::make(assembly, source, runtime, origin, None)?;
        training.live.seen = seen;
        Ok(training)
    }

    /// The experiment of a branch: that of the other run at the checkpoint, with `sets` applied.
    ///
    /// # Errors
    /// What is wrong with the run, the checkpoint, or the settings.
    pub fn branch_experiment(origin: &Origin, sets: &[String]) -> Result<Experiment, TrainingError> {
        let from = Run::open(&origin.run)?;
        let checkpoint = run::load_checkpoint(&from.checkpoint(&origin.checkpoint)?)?;
        let revision = from.revision(revision_at(&from.timeline()?, checkpoint.step))?;
        Ok(Source::read(&revision.experiment, sets)?.parse()?)
    }

    /// Makes a run that begins with the state of another. Components that the other run has are taken from it; the
    /// experiment is the other's with `sets` applied.
    ///
    /// # Errors
    /// What is wrong with the run, the checkpoint, the experiment, its plugins, or its data. No run is made then.
    pub fn branch(
        origin: &Origin,
        sets: &[String],
        runtime: Arc<Runtime>,
        standard: &Standard,
    ) -> Result<Self, TrainingError> {
        let from = Run::open(&origin.run)?;
        let checkpoint = run::load_checkpoint(&from.checkpoint(&origin.checkpoint)?)?;
        let revision = from.revision(revision_at(&from.timeline()?, checkpoint.step))?;
        let source = Source::read(&revision.experiment, sets)?;
        trains(&from, checkpoint.epoch, source.parse()?.epochs)?;
        let places = from.places(&revision.about.plugins);
        let kept = Source::read(&revision.experiment, &[])?;
        let experiment = kept.parse()?;
        same_files(&from, &experiment, true)?;
        let data = Elsewhere::default().place(&from, &experiment)?;
        // The data may have moved since; other data is where the experiment says it.
        let data = data.filter(|_| source.parse().is_ok_and(|wanted| wanted.data.path == experiment.data.path));
        let site = |run: Option<PathBuf>| Site { data: data.clone(), restored: run.is_some(), run, ..Site::default() };
        let of_parent = site(Some(from.path().to_owned()));
        let kept = Assembly::new(&kept, Arc::clone(&runtime), Places::Run(&places), of_parent, |loader| loader)?;
        let bound = kept.strategies.bound.iter();
        let pinned = bound.map(|bound| (bound.source.clone(), Arc::clone(&bound.plugin))).collect();
        let standard = Places::Standard(standard);
        let assembly =
            Assembly::new(&source, Arc::clone(&runtime), standard, site(None), |loader| loader.pinned(pinned))?;
        check_unseen(&from, &kept, &assembly)?;
        let parent = format!("{}@{}", from.name(), checkpoint.epoch);
        let manifest = from.manifest()?;
        let origin = manifest.experiment.map(|file| (file, [manifest.sets.as_slice(), sets].concat()));
        let mut training = Self::make(assembly, &source, runtime, origin, Some(parent))?;
        training.copy_sources(&from)?;
        training.live.edits = revision.about.edits;
        training.restore(Some(&checkpoint), Fit::Where)?;
        // An epoch may have another number of steps here.
        training.step = checkpoint.epoch * training.steps();
        let rows = from.metrics()?.rows.into_iter().filter(|row| row.step <= checkpoint.step);
        training.inherit(checkpoint.epoch, rows.flat_map(|row| row.values).collect())?;
        training.save_epoch(None)?;
        training.run.mark_origin(checkpoint.epoch)?;
        training.live.resumed = true;
        Ok(training)
    }

    /// Loads a run that was stopped, with the experiment and the components that it kept, as of its last checkpoint, or
    /// from the beginning where there is none yet.
    ///
    /// # Errors
    /// When the folder is no run, is being trained, or what it kept is damaged.
    pub fn resume(path: &Path, elsewhere: &Elsewhere, runtime: Arc<Runtime>) -> Result<Self, TrainingError> {
        let run = Run::open(path)?;
        let claim = run.claim()?.filter(|_| !run.status().is_ok_and(|status| status == Status::Running));
        let Some(claim) = claim else { return Err(TrainingError::AtWork { run: path.to_owned() }) };
        run.tidy()?;
        let (checkpoint, mut warnings) = newest(&run)?;
        let (step, epoch) = checkpoint.as_ref().map_or((0, 0), |checkpoint| (checkpoint.step, checkpoint.epoch));
        let live = Live::at(run.clone(), step)?;
        let (assembly, source) = kept(&run, live.revision(), Arc::clone(&runtime), elsewhere, checkpoint.is_some())?;
        let changes = changed(&run, &assembly.dataset, elsewhere.accept_changes, Accepting::GoesOn)?;
        let (pace, begins) = goes_on_with(&run, &assembly, &changes, (step, epoch))?;
        warnings.extend(remarks(&run, &assembly, checkpoint.is_some(), &changes)?);
        let teacher = teacher(&assembly)?;
        if let (Some(teacher), Some(began)) = (&teacher, run.manifest()?.teacher) {
            teacher.check_is(&began.digest)?;
        }
        let mut training = Self::assemble(assembly, teacher, runtime, run, live, source)?;
        training.claim = Some(claim);
        training.pace = pace;
        training.restore(checkpoint.as_ref(), Fit::Exact)?;
        training.go_on_probation(checkpoint.as_ref())?;
        let best = training.recollect()?;
        if let Some(epoch) = best.filter(|epoch| *epoch == training.epoch_count() && training.inside() == 0)
            && training.run.checkpoints()?.contains_key(&epoch)
        {
            // The process may have died between the checkpoint and its mark. An earlier epoch has its mark, whether it
            // is still kept or not.
            training.run.mark_best(epoch)?;
        }
        if begins && checkpoint.is_some() {
            // What an epoch with the new data can go back to.
            training.save_epoch(None)?;
        }
        training.warnings = warnings;
        training.live.resumed = true;
        training.scripted(&mut |_| ())?;
        Ok(training)
    }

    /// Makes a run that repeats another from its beginning, with the same revisions at the same epochs, up to its last
    /// complete epoch.
    ///
    /// # Errors
    /// When the folder is no run, what it kept is damaged, or the data is another.
    pub fn repeat(path: &Path, elsewhere: &Elsewhere, runtime: Arc<Runtime>) -> Result<Self, TrainingError> {
        let original = Run::open(path)?;
        let manifest = original.manifest()?;
        let (mut assembly, source) =
            kept(&original, 0, Arc::clone(&runtime), elsewhere, original.origin_checkpoint().is_some())?;
        let history = original.data_history()?;
        if assembly.dataset.digest() != history.first {
            // Where the run went on with this data, what it began with is another all the same.
            changed(&original, &assembly.dataset, false, Accepting::Never)?;
            let (found, expected) = (assembly.dataset.digest().to_owned(), history.first);
            return Err(TrainingError::OtherData {
                found,
                expected,
                changes: "\n  the run went on with this data later, and began with another".to_owned(),
                advice: Accepting::Never.help(),
            });
        }
        // Nobody has both the data from before a change and that from after it.
        let change = history.changes.first_key_value().map(|(step, _)| *step);
        if !(1..=MOST_THREADS).contains(&(manifest.threads as usize)) {
            let manifest = original.path().join("manifest.json");
            return Err(RunError::damaged(&manifest)(format!("1 to {MOST_THREADS} threads are expected")).into());
        }
        // Sums depend on how many threads share them.
        assembly.experiment.threads = Some(manifest.threads as usize);
        tch::set_num_threads(i32::try_from(manifest.threads).unwrap_or(i32::MAX));
        let mut training = Self::make(assembly, &source, runtime, None, Some(original.name()))?;
        training.copy_sources(&original)?;
        let steps = training.steps();
        let ended = original.status()? == Status::Finished && change.is_none();
        let last = original.summary()?.step.min(change.unwrap_or(u64::MAX));
        let until = if ended { None } else { Some(last / steps * steps) };
        if let Some(origin) = original.origin_checkpoint() {
            // A branch began with the state of another run.
            let checkpoint = run::load_checkpoint(&origin)?;
            training.restore(Some(&checkpoint), Fit::Exact)?;
            let row = original.metrics()?.rows.into_iter().find(|row| row.kind == RowKind::Origin);
            training.inherit(checkpoint.epoch, row.map(|row| row.values).unwrap_or_default())?;
            training.save_epoch(None)?;
            training.run.mark_origin(checkpoint.epoch)?;
        }
        training.live.repeat(original, until)?;
        Ok(training)
    }

    /// Keeps the sources that another run has of the components at work.
    pub(super) fn copy_sources(&self, from: &Run) -> Result<(), run::RunError> {
        let bound = self.assembly.strategies.bound.iter();
        self.run.copy_sources(from, bound.map(|bound| bound.plugin.hash.as_str()))
    }

    /// Makes the run's folder.
    fn make(
        mut assembly: Assembly,
        source: &Source,
        runtime: Arc<Runtime>,
        origin: Option<(PathBuf, Vec<String>)>,
        parent: Option<String>,
    ) -> Result<Self, TrainingError> {
        // Whatever is wrong with them is said before there is a folder.
        prepare(&assembly)?;
        if assembly.experiment.fusion.is_some() {
            assembly.try_fusion()?;
        }
        let teacher = teacher(&assembly)?;
        let Experiment { run: config, name, .. } = &assembly.experiment;
        let run = Run::create(&config.directory, name)?;
        let made = record(&run, &assembly, teacher.as_ref(), origin, parent).and_then(|()| {
            Self::assemble(assembly, teacher, runtime, run.clone(), Live::new(run.clone()), source.clone())
        });
        made.inspect_err(|_| {
            // Nothing is in it yet that anybody could use. The first error is the one to tell.
            let _ = std::fs::remove_dir_all(run.path());
        })
    }

    fn assemble(
        assembly: Assembly,
        teacher: Option<Teacher>,
        runtime: Arc<Runtime>,
        run: Run,
        mut live: Live,
        source: Source,
    ) -> Result<Self, TrainingError> {
        let (sampler, optimizer) = prepare(&assembly)?;
        let log = run.open_metrics()?;
        let Experiment { optimizer: config, session, .. } = &assembly.experiment;
        let shadows = Shadows::new(config, session.shadow_share);
        live.base = Some(Base::Text { source, applied: live.edits.len() });
        Ok(Self {
            runtime,
            assembly,
            teacher,
            sampler,
            optimizer,
            shadows,
            run,
            log,
            adopted: 0,
            step: 0,
            saved: None,
            best: None,
            stale: 0,
            pace: Pace::default(),
            claim: None,
            last: Arc::default(),
            recent: Averages::default(),
            whole: Averages::default(),
            live,
            warnings: Vec::new(),
            fusion_told: false,
        })
    }
}

/// The revision of a step; at the step of a swap, the one before it, which the checkpoint of that step is of.
pub(super) fn revision_at(timeline: &BTreeMap<u64, u64>, step: u64) -> u64 {
    timeline.range(..step).next_back().map_or(0, |(_, revision)| *revision)
}

/// The teacher of an experiment, if it has one.
fn teacher(assembly: &Assembly) -> Result<Option<Teacher>, TrainingError> {
    let Assembly { experiment, dataset, device, .. } = assembly;
    let Some(config) = &experiment.teacher else { return Ok(None) };
    let (folder, batch_size) = (experiment.run.directory.join(".teacher"), experiment.evaluation.batch_size.get());
    Ok(Some(Teacher::load(config, dataset, *device, &folder, batch_size)?))
}

/// The experiment of a run's revision, with the components that the run kept, and the text of it. `restored` says
/// whether a checkpoint gives the network its weights.
pub(super) fn kept(
    run: &Run,
    revision: u64,
    runtime: Arc<Runtime>,
    elsewhere: &Elsewhere,
    restored: bool,
) -> Result<(Assembly, Source), TrainingError> {
    let revision = run.revision(revision)?;
    let source = Source::read(&revision.experiment, &[])?;
    let places = run.places(&revision.about.plugins);
    let experiment = source.parse()?;
    same_files(run, &experiment, restored)?;
    let data = elsewhere.place(run, &experiment)?;
    let site = Site { data, device: elsewhere.device.clone(), run: Some(run.path().to_owned()), restored };
    let assembly = Assembly::new(&source, runtime, Places::Run(&places), site, |loader| loader)?;
    Ok((assembly, source))
}

/// Writes down that a run goes on with other data or with data in another place, and returns where its present epochs
/// begin, and whether that is now.
/// `complete` are the steps and the epochs of the checkpoint.
fn goes_on_with(
    run: &Run,
    assembly: &Assembly,
    changes: &[String],
    complete: (u64, u64),
) -> Result<(Pace, bool), TrainingError> {
    let (history, dataset) = (run.data_history()?, &assembly.dataset);
    let path = absolute(dataset.path());
    let before = history.path.clone().or(run.manifest()?.data_path).or(assembly.experiment.data.path.clone());
    if before.is_some_and(|before| before != path) {
        run.record(run::Event::DataMoved { path })?;
    }
    let (digest, step, epoch) = history.at(complete.0);
    if digest == dataset.digest() {
        return Ok((Pace { step, epoch }, false));
    }
    // Accepted now, or by a process that came to no later checkpoint than this one.
    let (step, epoch) = complete;
    let data = dataset.digest().to_owned();
    run.record(run::Event::DataChanged { epoch, step, data, changes: changes.to_vec() })?;
    run.write_data_files(&files(dataset))?;
    Ok((Pace { step, epoch }, true))
}

/// What to say of a run that goes on.
fn remarks(
    run: &Run,
    assembly: &Assembly,
    from_checkpoint: bool,
    changes: &[String],
) -> Result<Vec<String>, TrainingError> {
    let mut remarks = Vec::new();
    if !from_checkpoint {
        remarks.push("the run has no checkpoint yet: it begins at epoch 1 again".to_owned());
    }
    if !changes.is_empty() {
        remarks.push(format!("goes on with changed data: {}", changes.join("; ")));
    }
    let (before, now) = (run.manifest()?.threads, tch::get_num_threads().unsigned_abs());
    if assembly.device == Device::Cpu && before != now {
        remarks.push(format!(
            "the run began with {before} threads and goes on with {now}: sums are rounded in another order, so its \
             last bits are not those of a run that never stopped; `--set threads={before}` of a new run, or \
             OMP_NUM_THREADS={before}, keeps them"
        ));
    }
    Ok(remarks)
}

/// Writes what it takes to run this again.
fn record(
    run: &Run,
    assembly: &Assembly,
    teacher: Option<&Teacher>,
    origin: Option<(PathBuf, Vec<String>)>,
    parent: Option<String>,
) -> Result<(), TrainingError> {
    let Assembly { experiment, device, dataset, strategies, .. } = assembly;
    for bound in &strategies.bound {
        bound.keep_in(run)?;
    }
    run.write_experiment(&experiment.to_toml()?)?;
    run.write_data_files(&files(dataset))?;
    let (file, sets) = origin.map_or((None, Vec::new()), |(file, sets)| (Some(file), sets));
    run.write_manifest(&Manifest {
        name: experiment.name.clone(),
        started: jiff::Timestamp::now(),
        command: std::env::args().collect(),
        versions: Versions::current(lossmith_torch_shim::version()?),
        seed: experiment.seed,
        device: device_name(*device),
        threads: tch::get_num_threads().unsigned_abs(),
        data: dataset.digest().to_owned(),
        data_path: Some(absolute(dataset.path())),
        commit: run::commit(Path::new(".")),
        preprocessing: Some(Preprocessing::new(
            dataset.size(),
            dataset.preparation().mean(),
            dataset.preparation().std(),
        )),
        plugins: entries(&strategies.bound),
        teacher: teacher
            .map(|teacher| TeacherEntry { name: teacher.name().to_owned(), digest: teacher.digest().to_owned() }),
        files: assembly.files()?,
        experiment: file,
        sets,
        parent,
    })?;
    Ok(())
}
