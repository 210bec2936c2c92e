//! All strategies of an experiment: objectives, fusion and shadows.

use lossmith_plugin::objective::Objectives;

use super::build;
use super::error::ObjectiveError;
use super::load::{Bound, Loader};
use crate::experiment::{Experiment, ShadowConfig};

/// The strategies of an experiment, bound.
pub struct Strategies {
    /// The objectives, and the fusion of their slices.
    pub objectives: Objectives,
    /// The shadows, which are computed beside the objectives.
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
        let objectives = build::objectives(&experiment.objective, experiment.fusion.as_ref(), &mut loader)?;
        let shadows = experiment.shadow.iter().zip(0..).map(|(config, index)| {
            let objectives = build::shadow(index, &config.objective, &mut loader)?;
            Ok(Shadow { config: config.clone(), objectives })
        });
        let shadows = shadows.collect::<Result<_, ObjectiveError>>()?;
        Ok(Self { objectives, shadows, bound: loader.into_bound() })
    }
}
