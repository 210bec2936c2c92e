//! Starting, resuming, branching and repeating a training.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lossmith_plugin::Runtime;
use tch::Device;

use super::Training;
use crate::experiment::{Experiment, MOST_THREADS, Source};
use crate::objective::Places;
use crate::run::{
    self, Checkpoint, Claim, Manifest, Preprocessing, RowKind, Run, RunError, Status, TeacherEntry, Versions,
};
use crate::session::{Seen, entries, followed};
use crate::standard::Standard;
use crate::started;
use crate::teacher::Teacher;
use crate::train::assembly::{Assembly, Site, device_name, kept};
use crate::train::branch_checks::{check_unseen, trains};
use crate::train::checkpoints::{Checkpoints, newest};
use crate::train::epoch_length::Pace;
use crate::train::location::{Accepting, CHANGED_PARTS, Elsewhere, absolute, changed, files, same_files};
use crate::train::metrics::Metrics;
use crate::train::revisions::{Revisions, revision_at};
use crate::train::state::{Fit, TrainingState};
use crate::train::training_error::TrainingError;

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
        training.seen = seen;
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
        training.revisions.inherit(revision.about.edits);
        training.restore(Some(&checkpoint), Fit::Where)?;
        // An epoch may have another number of steps here.
        training.state.count_from(checkpoint.epoch);
        let rows = from.metrics()?.rows.into_iter().filter(|row| row.step <= checkpoint.step);
        let (step, values) = (training.state.step(), rows.flat_map(|row| row.values).collect());
        training.metrics.inherit(checkpoint.epoch, step, values)?;
        training.save_epoch(None)?;
        training.run().mark_origin(checkpoint.epoch)?;
        training.resumed = true;
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
        Self::resume_claimed(run, claim, elsewhere, runtime)
    }

    fn resume_claimed(
        run: Run,
        claim: Claim,
        elsewhere: &Elsewhere,
        runtime: Arc<Runtime>,
    ) -> Result<Self, TrainingError> {
        let (checkpoint, mut warnings) = newest(&run)?;
        let (step, epoch) = checkpoint.as_ref().map_or((0, 0), |checkpoint| (checkpoint.step, checkpoint.epoch));
        let revisions = Revisions::at(&run, step)?;
        let (assembly, source) =
            kept(&run, revisions.revision(), Arc::clone(&runtime), elsewhere, checkpoint.is_some())?;
        let changes = changed(&run, &assembly.dataset, elsewhere.accept_changes, Accepting::GoesOn)?;
        if let Some(undone) = begins_anew(&run, checkpoint.as_ref(), &changes)? {
            // Before the change is recorded: what is saved inside the epoch is of the data before.
            run.forget_interrupted()?;
            let mut training = Self::resume_claimed(run, claim, elsewhere, runtime)?;
            training.warnings.push(undone);
            return Ok(training);
        }
        let (pace, begins) = goes_on_with(&run, &assembly, &changes, (step, epoch))?;
        warnings.extend(remarks(&run, &assembly, checkpoint.is_some(), &changes)?);
        let teacher = teacher(&assembly)?;
        if let (Some(teacher), Some(began)) = (&teacher, run.manifest()?.teacher) {
            teacher.check_is(&began.digest)?;
        }
        let (state, checkpoints) = (TrainingState::new(assembly)?, Checkpoints::new(run, Some(claim)));
        let mut training = Self::assemble(state, teacher, runtime, checkpoints, revisions, source)?;
        training.state.set_pace(pace);
        training.restore(checkpoint.as_ref(), Fit::Exact)?;
        let probation = training.state.experiment().session.probation_steps;
        training.revisions.resume_probation(training.checkpoints.run(), checkpoint.as_ref(), probation)?;
        let best = training.checkpoints.recollect(&training.state, &mut training.metrics)?;
        training.checkpoints.mark_again(best, &training.state)?;
        if begins && checkpoint.is_some() && !training.run().checkpoints()?.contains_key(&epoch) {
            // What an epoch with the new data can go back to.
            training.save_epoch(None)?;
        }
        training.warnings.extend(warnings);
        training.resumed = true;
        if let Some(revision) = training.revisions.scripted(step) {
            training.follow(revision, &mut |_| ())?;
        }
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
        let steps = training.state.steps();
        let ended = original.status()? == Status::Finished && change.is_none();
        let last = original.summary()?.step.min(change.unwrap_or(u64::MAX));
        let until = if ended { None } else { Some(last / steps * steps) };
        if let Some(origin) = original.origin_checkpoint() {
            // A branch began with the state of another run.
            let checkpoint = run::load_checkpoint(&origin)?;
            training.restore(Some(&checkpoint), Fit::Exact)?;
            let row = original.metrics()?.rows.into_iter().find(|row| row.kind == RowKind::Origin);
            let (step, values) = (training.state.step(), row.map(|row| row.values).unwrap_or_default());
            training.metrics.inherit(checkpoint.epoch, step, values)?;
            training.save_epoch(None)?;
            training.run().mark_origin(checkpoint.epoch)?;
        }
        training.revisions.repeat(original, until)?;
        Ok(training)
    }

    /// Keeps the sources that another run has of the components at work.
    fn copy_sources(&self, from: &Run) -> Result<(), RunError> {
        self.run().copy_sources(from, self.state.bound().iter().map(|bound| bound.plugin.hash.as_str()))
    }

    /// Sets everything to a checkpoint, or to the beginning without one.
    fn restore(&mut self, checkpoint: Option<&Checkpoint>, fit: Fit) -> Result<(), TrainingError> {
        self.checkpoints.restore(checkpoint, fit, &mut self.state, &mut self.metrics)
    }

    /// Makes the run's folder.
    fn make(
        assembly: Assembly,
        source: &Source,
        runtime: Arc<Runtime>,
        origin: Option<(PathBuf, Vec<String>)>,
        parent: Option<String>,
    ) -> Result<Self, TrainingError> {
        // Whatever is wrong with them is said before there is a folder.
        let mut state = TrainingState::new(assembly)?;
        state.try_fusion()?;
        let teacher = teacher(state.assembly())?;
        let Experiment { run: config, name, .. } = state.experiment();
        let run = Run::create(&config.directory, name)?;
        let made = record(&run, state.assembly(), teacher.as_ref(), origin, parent).and_then(|()| {
            let (checkpoints, revisions) = (Checkpoints::new(run.clone(), None), Revisions::new(run.clone()));
            Self::assemble(state, teacher, runtime, checkpoints, revisions, source.clone())
        });
        made.inspect_err(|_| {
            // Nothing is in it yet that anybody could use. The first error is the one to tell.
            let _ = std::fs::remove_dir_all(run.path());
        })
    }

    fn assemble(
        state: TrainingState,
        teacher: Option<Teacher>,
        runtime: Arc<Runtime>,
        checkpoints: Checkpoints,
        mut revisions: Revisions,
        source: Source,
    ) -> Result<Self, TrainingError> {
        let metrics = Metrics::open(checkpoints.run())?;
        revisions.start_from_text(source);
        Ok(Self {
            runtime,
            teacher,
            state,
            checkpoints,
            revisions,
            metrics,
            session: None,
            lead: None,
            checkpoint_asked: None,
            rollback_asked: None,
            seen: None,
            resumed: false,
            warnings: Vec::new(),
            fusion_told: false,
        })
    }
}

/// The teacher of an experiment, if it has one.
pub(in crate::train) fn teacher(assembly: &Assembly) -> Result<Option<Teacher>, TrainingError> {
    let Assembly { experiment, dataset, device, .. } = assembly;
    let Some(config) = &experiment.teacher else { return Ok(None) };
    let (folder, batch_size) = (experiment.run.directory.join(".teacher"), experiment.evaluation.batch_size.get());
    Ok(Some(Teacher::load(config, dataset, *device, &folder, batch_size)?))
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

/// What to say where the epoch at work begins anew, as the data has changed inside of it: from the checkpoint of its
/// start, whose file keeps what it has. `None` where nothing is undone, or no such checkpoint is kept.
fn begins_anew(
    run: &Run,
    checkpoint: Option<&Checkpoint>,
    changes: &[String],
) -> Result<Option<String>, TrainingError> {
    let Some(Checkpoint { epoch, step, .. }) = checkpoint.filter(|_| !changes.is_empty()) else { return Ok(None) };
    let Some(start) = run.checkpoints()?.remove(epoch) else { return Ok(None) };
    let undone = step.saturating_sub(run::load_checkpoint(&start)?.step);
    Ok((undone > 0)
        .then(|| format!("epoch {} begins anew: its {undone} steps with the data of before are undone", epoch + 1)))
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
        remarks.push(format!("the parts are drawn anew: {CHANGED_PARTS}"));
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
        command: started::words(),
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
