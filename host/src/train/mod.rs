//! Training: the optimizer and its learning rate, and the loop from the first step to the last.

mod assembly;
mod attend;
mod averages;
mod begin;
mod elsewhere;
mod error;
mod event;
mod interrupts;
mod keep;
mod learning_rate;
mod live;
mod optimizer;
mod optimizer_config;
mod pace;
mod patience;
mod reconfigure;
mod shadows;
mod step;
mod trained;
mod training;
mod training_error;

pub use begin::Origin;
pub use elsewhere::Elsewhere;
pub use error::TrainError;
pub use event::{End, Event};
pub use interrupts::Interrupts;
pub use learning_rate::{LearningRateConfig, Schedule};
pub use optimizer::Optimizer;
pub use optimizer_config::{Algorithm, Multipliers, OptimizerConfig};
pub use reconfigure::extends;
pub use trained::{Image, Trained};
pub use training::Training;
pub use training_error::TrainingError;
