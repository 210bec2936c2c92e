//! Training: the optimizer and its learning rate, and the loop from the first step to the last.

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
mod requests;
mod revisions;
mod shadows;
mod step;
mod trained;
mod training;
mod training_error;

pub use begin::Origin;
pub use event::{End, Event};
pub use interrupts::Interrupts;
pub use location::Elsewhere;
pub use optimizer::Optimizer;
pub use optimizer_error::TrainError;
pub use reconfigure::extends;
pub use trained::{Image, Trained};
pub use training::Training;
pub use training_error::TrainingError;
