//! `lossmith train`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use lossmith_plugin::Runtime;

use super::error::CliError;
use super::interrupt::Ear;
use super::output;
use super::progress::ProgressView;
use crate::experiment::{Experiment, Source, rooted};
use crate::ranks::{Place, Ranks, RanksConfig};
use crate::run::{Run, Status, report};
use crate::standard::Standard;
use crate::train::{Elsewhere, End, Origin, Training, TrainingError, extends, follow};

/// Train an experiment, go on with a run that was stopped, or branch off from one.
///
/// While it runs, `lossmith session` controls it. With --watch, edits of the experiment file and of the components are
/// checked beside the training and taken between two epochs; what is refused, or fails in its first steps, does not
/// cost the run.
///
/// Under torchrun, srun or `lossmith launch` several processes train the run together.
#[derive(Args, Debug)]
pub(super) struct TrainArgs {
    /// The experiment file. With --resume: another configuration for the run, from the next epoch on.
    #[arg(required_unless_present_any = ["resume", "from"], conflicts_with = "from")]
    experiment: Option<PathBuf>,
    /// Change a key of the experiment: `--set model.width=64`, `--set objective.0.loss.params.margin=0.3`. May be
    /// repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the whole experiment with every default, and stop.
    #[arg(long, conflicts_with = "resume")]
    print_config: bool,
    /// Go on with a run that was interrupted, from its last checkpoint, as if it had never stopped. A finished one goes
    /// on where --set gives it more epochs.
    #[arg(long, value_name = "RUN", conflicts_with = "from")]
    resume: Option<PathBuf>,
    /// Take what differs from the run's configuration, from the next epoch on, and data that changed.
    #[arg(long, requires = "resume")]
    accept_changes: bool,
    /// Where the data of the run is now, if it was moved.
    #[arg(long, value_name = "PATH", requires = "resume")]
    data: Option<PathBuf>,
    /// Make a run that begins with the state of another one, with its experiment and what --set changes in it.
    #[arg(long, value_name = "RUN@EPOCH")]
    from: Option<String>,
    /// Follow the experiment file, the components, and the sources of plugins that are given as crates.
    #[arg(long)]
    watch: bool,
}

pub(super) fn train(args: &TrainArgs, json: bool) -> Result<(), CliError> {
    let place = if args.print_config { None } else { Place::from_environment().map_err(TrainingError::from)? };
    let Some(place) = place else { return lead(args, json, None) };
    share_cores(&place);
    let rank = place.rank;
    let ranks = Ranks::join(place, of_ranks(args).patience());
    let ranks = Arc::new(ranks.map_err(TrainingError::from)?);
    if ranks.is_first() {
        return lead(args, json, Some(&ranks)).inspect_err(|error| match error {
            // The others know it.
            CliError::Interrupted { .. } => {}
            error => ranks.fail(&error.to_string()),
        });
    }
    let interrupts = Ear::open()?.ready()?;
    follow(&ranks, &runtime()?, &Standard::from_environment(), &interrupts).map_err(|error| {
        ranks.fail(&error.to_string());
        // Whoever started the ranks may show what all of them say.
        let _ = writeln!(io::stderr(), "rank {rank} ends:");
        error.into()
    })
}

/// `[ranks]` of the experiment, as far as this rank sees it: what is wrong with it, rank 0 says.
fn of_ranks(args: &TrainArgs) -> RanksConfig {
    let sets: Vec<_> = args.set.iter().map(|set| rooted(set, Path::new(""))).collect();
    let source = match (&args.experiment, &args.resume, &args.from) {
        (Some(path), _, _) => Source::read(path, &sets).ok(),
        (None, Some(run), _) => Source::read(&run.join("experiment.toml"), &sets).ok(),
        (None, None, _) => None,
    };
    source.and_then(|source| source.parse().ok()).map(|experiment| experiment.ranks).unwrap_or_default()
}

/// Gives each rank of a machine as many of its cores, unless somebody chose.
fn share_cores(place: &Place) {
    if std::env::var_os("OMP_NUM_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        tch::set_num_threads(i32::try_from((cores / place.local_size.max(1)).max(1)).unwrap_or(1));
    }
}

/// Trains as the process that has the run's record: alone, or as rank 0.
fn lead(args: &TrainArgs, json: bool, ranks: Option<&Arc<Ranks>>) -> Result<(), CliError> {
    let standard = Standard::from_environment();
    let sets: Vec<_> = args.set.iter().map(|set| rooted(set, Path::new(""))).collect();
    let ear = Ear::open()?;
    let mut training = match (&args.experiment, &args.resume, &args.from) {
        (experiment, Some(path), _) => {
            let run = Run::open(path)?;
            if run.status()? == Status::Finished {
                extends(path, experiment.as_deref(), &args.set)?;
            }
            let elsewhere = Elsewhere { data: args.data.clone(), device: None, accept_changes: args.accept_changes };
            let mut training = Training::resume(path, &elsewhere, runtime()?)?;
            training.reconfigure(experiment.as_deref(), &sets, &standard, args.accept_changes)?;
            training
        }
        (_, None, Some(from)) if args.print_config => {
            return print(&Training::branch_experiment(&origin(from)?, &sets)?, json);
        }
        (_, None, Some(from)) => Training::branch(&origin(from)?, &sets, runtime()?, &standard)?,
        (Some(path), None, None) => {
            let source = Source::read(path, &sets)?;
            if args.print_config {
                return print(&source.parse()?, json);
            }
            Training::start(&source, runtime()?, &standard)?
        }
        (None, None, None) => return Err(CliError::Usage("give an experiment file, or --resume RUN".into())),
    };
    let file = args.experiment.as_deref().map(|file| (file, sets.as_slice()));
    let interrupts = ear.ready()?;
    if let Some(ranks) = ranks {
        training.lead(ranks)?;
    }
    training.open_session(&standard, args.watch, file)?;
    let mut progress = ProgressView::new(json);
    let outcome = training.train(&interrupts, &mut |event| progress.show(&event));
    progress.finish();
    let run = training.run();
    let report = report::write(run);
    match outcome {
        Ok(End::Finished) => {
            report?;
            let kept = run.kept_checkpoints()?;
            progress.note(&format!("checkpoints: {kept}; `run.keep` says how many of the last are kept"))?;
            progress.note(&format!("report: {}", run.path().join("report.html").display()))
        }
        Ok(End::Interrupted) => Err(CliError::Interrupted { run: run.path().display().to_string() }),
        Err(error) => Err(error.into()),
    }
}

/// Prints an experiment with every default.
fn print(experiment: &Experiment, json: bool) -> Result<(), CliError> {
    if json { output::json(experiment) } else { output::line(&experiment.to_toml().map_err(TrainingError::from)?) }
}

/// `RUN@EPOCH`, where the epoch may be `best` or `last`.
fn origin(text: &str) -> Result<Origin, CliError> {
    let (run, checkpoint) = text.rsplit_once('@').ok_or_else(|| {
        CliError::Usage(format!("--from {text}: expected RUN@EPOCH, for instance runs/a-20250131-140502@3"))
    })?;
    Ok(Origin { run: run.into(), checkpoint: checkpoint.to_owned() })
}

fn runtime() -> Result<Arc<Runtime>, CliError> {
    Ok(Arc::new(Runtime::new().map_err(CliError::engine)?))
}
