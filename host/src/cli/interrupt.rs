//! Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::CliError;

/// A flag that Ctrl-C sets. The second one ends the process: checkpoints are written aside, so none is damaged.
pub(super) fn stop_flag() -> Result<Arc<AtomicBool>, CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let handler = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after this step (again to stop at once, without saving)");
    });
    handler.map_err(|error| CliError::Machine(format!("Ctrl-C cannot be caught: {error}")))?;
    Ok(stop)
}
