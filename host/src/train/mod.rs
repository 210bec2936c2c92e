//! Training: the optimizer and its learning rate, and the loop from the first step to the last.
//!
//! ```text
//! begin --> assembly: data, network, strategies of the experiment; location: where the data is now
//!           unseen: what a branch must not be
//!   --> training: epochs, each of steps (step, epoch_steps, learning_rate, optimizer, averages)
//!         checkpoints   what is written down to go on from
//!         requests      commands, changed files and verdicts, between two steps
//!         revisions     which experiment is at work; reconfigure: going on with another
//!         shadows       candidates that are computed beside it
//!         patience      ending a training that does not get better
//!   --> event: what is told to whoever watches; interrupts: what signals ask for
//! trained               the network of a run, to measure and to use
//! rehearsal             the strategies of experiments that are trained later
//! ```

mod assembly;
mod averages;
mod begin;
mod checkpoints;
mod epoch_steps;
mod event;
mod interrupts;
mod learning_rate;
mod location;
mod optimizer;
mod optimizer_error;
mod patience;
mod reconfigure;
mod rehearsal;
mod requests;
mod revisions;
mod shadows;
mod step;
mod trained;
mod training;
mod training_error;
mod unseen;

pub use begin::Origin;
pub use event::{End, Event};
pub use interrupts::Interrupts;
pub use location::Elsewhere;
pub use optimizer::Optimizer;
pub use optimizer_error::TrainError;
pub use reconfigure::extends;
pub use rehearsal::Rehearsal;
pub use trained::{Image, Trained};
pub use training::Training;
pub use training_error::TrainingError;
