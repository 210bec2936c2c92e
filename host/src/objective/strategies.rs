//! Every strategy of an experiment.

use super::error::ObjectiveError;
use super::load::{Bound, Loader};
use super::objectives::Objectives;
use crate::experiment::{Experiment, ShadowConfig};
use crate::plugin::{Role, Slot};

/// The number of the fusion's random stream: an objective has no fusion, so the first one leaves it free.
const FUSION: u64 = 5;

/// The strategies of an experiment, bound.
pub struct Strategies {
    /// What is minimised.
    pub objectives: Objectives,
    /// What makes one embedding of slices.
    pub fusion: Option<Slot>,
    /// What is computed beside the objectives.
    pub shadows: Vec<Shadow>,
    /// All of them, in the order of the slots.
    pub bound: Vec<Bound>,
}

/// A candidate that sees the batches of a training.
pub struct Shadow {
    /// As the experiment describes it.
    pub config: ShadowConfig,
    /// Its one objective.
    pub objectives: Objectives,
}

impl Strategies {
    /// Binds every strategy of an experiment.
    ///
    /// # Errors
    /// See [`Loader::slot`].
    pub fn load(experiment: &Experiment, mut loader: Loader<'_>) -> Result<Self, ObjectiveError> {
        let objectives = Objectives::load(&experiment.objective, &mut loader)?;
        let fusion = experiment.fusion.as_ref();
        let fusion = fusion.map(|config| loader.slot("fusion", FUSION, Role::Fusion, config)).transpose()?;
        let shadows = experiment.shadow.iter().zip(0..).map(|(config, index)| {
            let objectives = Objectives::shadow(index, &config.objective, &mut loader)?;
            Ok(Shadow { config: config.clone(), objectives })
        });
        let shadows = shadows.collect::<Result<_, ObjectiveError>>()?;
        Ok(Self { objectives, fusion, shadows, bound: loader.into_bound() })
    }
}
