//! `lossmith train`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::error::CliError;
use super::interrupt::stop_flag;
use super::output;
use super::plugins;
use super::progress::Progress;
use crate::experiment::Source;
use crate::plugin::Runtime;
use crate::run::{Run, Status, report};
use crate::train::{End, Training, TrainingError};

/// Train an experiment, or go on with a run that was stopped.
#[derive(Args, Debug)]
pub(super) struct TrainArgs {
    /// The experiment file.
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    experiment: Option<PathBuf>,
    /// Change a key of the experiment: `--set model.width=64`, `--set objective.0.loss.params.margin=0.3`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "resume")]
    set: Vec<String>,
    /// Print the whole experiment with every default, and stop.
    #[arg(long, conflicts_with = "resume")]
    print_config: bool,
    /// Go on with a run that was interrupted, from its last checkpoint.
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
}

pub(super) fn train(args: &TrainArgs, json: bool) -> Result<(), CliError> {
    let mut training = match (&args.experiment, &args.resume) {
        (_, Some(path)) => {
            let run = Run::open(path)?;
            if run.status()? == Status::Finished {
                return output::line(&if json {
                    serde_json::json!({ "event": "finished", "run": path }).to_string()
                } else {
                    format!("{0} is finished; `lossmith eval {0}` measures it", path.display())
                });
            }
            Training::resume(path, runtime()?)?
        }
        (Some(path), None) => {
            let source = Source::read(path, &args.set)?;
            if args.print_config {
                let experiment = source.parse()?;
                return if json {
                    output::json(&experiment)
                } else {
                    output::line(&experiment.to_toml().map_err(TrainingError::from)?)
                };
            }
            Training::start(&source, runtime()?, &plugins::directory())?
        }
        (None, None) => return Err(CliError::Usage("give an experiment file, or --resume RUN".into())),
    };
    let stop = stop_flag()?;
    let mut progress = Progress::new(json);
    let outcome = training.train(&stop, &mut |event| progress.show(&event));
    progress.finish();
    let run = training.run();
    let report = report::write(run);
    match outcome {
        Ok(End::Finished) => {
            report?;
            progress.note(&format!("report: {}", run.path().join("report.html").display()))
        }
        Ok(End::Interrupted) => Err(CliError::Interrupted { run: run.path().display().to_string() }),
        Err(error) => Err(error.into()),
    }
}

fn runtime() -> Result<Arc<Runtime>, CliError> {
    Ok(Arc::new(Runtime::new().map_err(CliError::engine)?))
}
