//! Training: the loop from the first step to the last, and what it consists of.
//!
//! ```text
//! training              the loop over epochs and steps
//!   begin               a new run, one that goes on, a branch, a repetition
//!   decide --> decision what is done after a step and between two epochs, as one value
//!   orders              carrying out what the session wants
//!   swap, rollback      a revision takes over; going back from it
//!   evaluation          measuring an epoch, and the test part
//!   reconfigure         going on with another experiment
//! its parts, each with an invariant of its own:
//!   state               network, strategies, optimizer and step: what a checkpoint has
//!     step              one step; shared: what the ranks share in it; shadows: candidates that are computed beside it;
//! gradient_cache: in parts   checkpoints         writing, finding and restoring them; which is the best, and patience
//! revisions           which experiment is at work, was before and is next, and its first steps   metrics
//! means (averages), rows, last values   session             messages, queue and gate: the folder `session` event
//! what is told to whoever watches; interrupts: what signals ask for lead                  what other ranks are told,
//! where several train together; follower: what they do; message assembly              data, network and strategies of
//! an experiment; location: where the data is now branch_checks         what a branch must not be trained
//! the network of a run, to measure and to use; network: by itself, without the data strategy_check        the
//! strategies of experiments that are trained later
//! ```

mod assembly;
mod averages;
mod branch_checks;
mod checkpoints;
mod decision;
mod epoch_length;
mod event;
mod follower;
mod gradient_cache;
mod interrupts;
mod lead;
mod learning_rate;
mod location;
mod message;
mod metrics;
mod network;
mod optimizer;
mod optimizer_error;
mod revisions;
mod shadows;
mod state;
mod strategy_check;
mod trained;
mod training;
mod training_error;

pub use event::{End, TrainingEvent};
pub use follower::follow;
pub use gradient_cache::{first_pass, second_pass};
pub use interrupts::Interrupts;
pub use location::Elsewhere;
pub use network::{Description, TrainedNetwork};
pub use optimizer::Optimizer;
pub use optimizer_error::TrainError;
pub use strategy_check::StrategyCheck;
pub use trained::{Image, Trained};
pub use training::{Origin, Training, extends};
pub use training_error::TrainingError;
