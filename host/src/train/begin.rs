//! Starting, resuming, branching and repeating a training.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::assembly::{Assembly, device_name};
use super::averages::Averages;
use super::keep::{Fit, newest, prepare};
use super::live::Live;
use super::shadows::Shadows;
use super::training::Training;
use super::training_error::TrainingError;
use crate::experiment::{Experiment, Source};
use crate::objective::{Bound, Places};
use crate::plugin::Runtime;
use crate::run::{self, Manifest, Preprocessing, RowKind, Run, Status, TeacherEntry, Versions};
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
        let assembly = Assembly::new(source, Arc::clone(&runtime), Places::Standard(standard), |loader| loader)?;
        let mut training = Self::make(assembly, source, runtime, origin, None)?;
        training.live.seen = seen;
        Ok(training)
    }

    /// Makes a run that begins with the state of another. Components that the other run has are taken from it; the experiment
    /// is the other's with `sets` applied.
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
        let places = from.places(&revision.about.plugins);
        let kept = Source::read(&revision.experiment, &[])?;
        let kept = Assembly::new(&kept, Arc::clone(&runtime), Places::Run(&places), |loader| loader)?;
        let bound = kept.strategies.bound.iter();
        let pinned = bound.map(|bound| (bound.source.clone(), Arc::clone(&bound.plugin))).collect();
        let standard = Places::Standard(standard);
        let assembly = Assembly::new(&source, Arc::clone(&runtime), standard, |loader| loader.pinned(pinned))?;
        let parent = format!("{}@{}", from.name(), checkpoint.epoch);
        let manifest = from.manifest()?;
        let origin = manifest.experiment.map(|file| (file, [manifest.sets.as_slice(), sets].concat()));
        let mut training = Self::make(assembly, &source, runtime, origin, Some(parent))?;
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

    /// Loads a run that was stopped, with the experiment and the components that it kept, as of its last checkpoint, or from
    /// the beginning where there is none yet.
    ///
    /// # Errors
    /// When the folder is no run, is being trained, or what it kept is damaged.
    pub fn resume(path: &Path, runtime: Arc<Runtime>) -> Result<Self, TrainingError> {
        let run = Run::open(path)?;
        if run.status()? == Status::Running {
            return Err(TrainingError::AtWork { run: path.to_owned() });
        }
        run.tidy()?;
        let (checkpoint, damaged) = newest(&run)?;
        let step = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.step);
        let live = Live::at(run.clone(), step)?;
        let (assembly, source) = kept(&run, live.revision(), Arc::clone(&runtime))?;
        let teacher = teacher(&assembly)?;
        if let (Some(teacher), Some(began)) = (&teacher, run.manifest()?.teacher) {
            teacher.check_is(&began.digest)?;
        }
        let mut training = Self::assemble(assembly, teacher, runtime, run, live, source)?;
        training.restore(checkpoint.as_ref(), Fit::Exact)?;
        training.go_on_probation(checkpoint.as_ref())?;
        let best = training.recollect()?;
        if let Some(epoch) = best.filter(|epoch| training.saved == Some(epoch * training.steps())) {
            // The process may have died between the checkpoint and its mark.
            training.run.mark_best(epoch)?;
        }
        training.warnings = damaged;
        training.live.resumed = true;
        training.scripted(&mut |_| ())?;
        Ok(training)
    }

    /// Makes a run that repeats another from its beginning, with the same revisions at the same epochs, up to its last complete
    /// epoch.
    ///
    /// # Errors
    /// When the folder is no run, what it kept is damaged, or the data is another.
    pub fn repeat(path: &Path, runtime: Arc<Runtime>) -> Result<Self, TrainingError> {
        let original = Run::open(path)?;
        let manifest = original.manifest()?;
        let (mut assembly, source) = kept(&original, 0, Arc::clone(&runtime))?;
        let found = assembly.dataset.digest();
        if found != manifest.data {
            return Err(TrainingError::OtherData { found: found.to_owned(), expected: manifest.data });
        }
        // Sums depend on how many threads share them.
        assembly.experiment.threads = Some(manifest.threads as usize);
        tch::set_num_threads(i32::try_from(manifest.threads).unwrap_or(i32::MAX));
        let mut training = Self::make(assembly, &source, runtime, None, Some(original.name()))?;
        let steps = training.steps();
        let until =
            if original.status()? == Status::Finished { None } else { Some(original.summary()?.step / steps * steps) };
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

/// The experiment of a run's revision, with the components that the run kept, and the text of it.
pub(super) fn kept(run: &Run, revision: u64, runtime: Arc<Runtime>) -> Result<(Assembly, Source), TrainingError> {
    let revision = run.revision(revision)?;
    let source = Source::read(&revision.experiment, &[])?;
    let places = run.places(&revision.about.plugins);
    let assembly = Assembly::new(&source, runtime, Places::Run(&places), |loader| loader)?;
    Ok((assembly, source))
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
    for Bound { plugin, .. } in &strategies.bound {
        run.store_plugin(&plugin.bytes)?;
    }
    run.write_experiment(&experiment.to_toml()?)?;
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
        commit: run::commit(Path::new(".")),
        preprocessing: Some(Preprocessing::new(
            dataset.size(),
            dataset.preparation().mean(),
            dataset.preparation().std(),
        )),
        plugins: entries(&strategies.bound),
        teacher: teacher
            .map(|teacher| TeacherEntry { name: teacher.name().to_owned(), digest: teacher.digest().to_owned() }),
        experiment: file,
        sets,
        parent,
    })?;
    Ok(())
}
