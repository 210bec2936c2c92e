//! `lossmith replay`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::diff::told;
use crate::cli::error::CliError;
use crate::cli::interrupt::Ear;
use crate::cli::output;
use crate::cli::progress::ProgressView;
use crate::run::{self, Run};
use crate::train::{Elsewhere, Training};
use lossmith_plugin::Runtime;

/// Repeat a run from its beginning, with the same revisions at the same epochs, and compare every number and tensor.
///
/// The repetition is a run of its own beside the original. On the machine of the original, with the same versions, both
/// are equal to the last bit; numbers of shadows are not compared.
#[derive(Args, Debug)]
pub(in crate::cli) struct ReplayArgs {
    /// The run's folder.
    run: PathBuf,
    /// Where the data of the run is now, if it was moved.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
}

pub(in crate::cli) fn replay(args: &ReplayArgs, json: bool) -> Result<(), CliError> {
    let original = Run::open(&args.run)?;
    let runtime = Arc::new(Runtime::new().map_err(CliError::engine)?);
    let ear = Ear::open()?;
    let elsewhere = Elsewhere { data: args.data.clone(), ..Elsewhere::default() };
    let mut training = Training::repeat(&args.run, &elsewhere, runtime)?;
    let interrupts = ear.ready()?;
    let mut progress = ProgressView::new(json);
    let outcome = training.train(&interrupts, &mut |event| progress.show(&event));
    progress.finish();
    outcome?;
    if interrupts.stopped() {
        return Err(CliError::ReplayInterrupted { run: training.run().path().display().to_string() });
    }
    let until = training.run().summary()?.step;
    let comparison = run::compare(&original, training.run(), until)?;
    if json {
        let (run, original) = (training.run().path(), original.path());
        output::line(
            &json!({ "event": "replay", "run": run, "original": original, "comparison": comparison }).to_string(),
        )?;
    } else {
        output::line(&told(&comparison))?;
    }
    if comparison.is_equal() { Ok(()) } else { Err(CliError::Different { run: args.run.display().to_string() }) }
}
