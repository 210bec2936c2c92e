//! Builds the objectives of an experiment: each of its strategies gets a slot.

use lossmith_plugin::Role;
use lossmith_plugin::objective::{ComputedOn, Objective, Objectives};

use super::error::ObjectiveError;
use super::load::Loader;
use crate::experiment::{ObjectiveConfig, On, StrategyConfig};

/// Random streams of an objective: one for each slot that it can have. They depend on its place alone, so that an edit
/// of one objective does not change what others draw.
const STREAMS: u64 = 8;

/// The number of the fusion's random stream: an objective has no fusion, so the first one leaves it free.
const FUSION: u64 = 5;

/// Binds every strategy of the objectives, and the fusion.
///
/// # Errors
/// See [`Loader::slot`].
pub(super) fn objectives(
    configs: &[ObjectiveConfig],
    fusion: Option<&StrategyConfig>,
    loader: &mut Loader<'_>,
) -> Result<Objectives, ObjectiveError> {
    let objectives = configs
        .iter()
        .zip(0..)
        .map(|(config, index)| objective(format!("objective.{index}"), index * STREAMS, config, loader));
    let list = objectives.collect::<Result<_, _>>()?;
    let fusion = fusion.map(|config| loader.slot("fusion", FUSION, Role::Fusion, config)).transpose()?;
    Ok(Objectives::new(list, fusion))
}

/// Binds the strategies of a shadow, the `index`-th.
///
/// # Errors
/// See [`Loader::slot`].
pub(super) fn shadow(
    index: u64,
    config: &ObjectiveConfig,
    loader: &mut Loader<'_>,
) -> Result<Objectives, ObjectiveError> {
    let first = (1 << 32) + index * STREAMS;
    let objective = objective(format!("shadow.{index}.objective"), first, config, loader)?;
    Ok(Objectives::new(vec![objective], None))
}

/// Binds the strategies of an objective. `first` is the number of its first random stream.
fn objective(
    place: String,
    first: u64,
    config: &ObjectiveConfig,
    loader: &mut Loader<'_>,
) -> Result<Objective, ObjectiveError> {
    let mut bind = |number: u64, role: Role, strategy: &Option<_>| {
        let Some(strategy) = strategy else { return Ok(None) };
        loader.slot(&format!("{place}.{role}"), first + number, role, strategy).map(Some)
    };
    let schedule = bind(1, Role::Schedule, &config.schedule)?;
    let miner = bind(2, Role::Miner, &config.miner)?;
    let loss = bind(0, Role::Loss, &config.loss)?;
    let transfer = bind(0, Role::Transfer, &config.transfer)?;
    let (weight, on) = (config.weight, computed_on(config.on));
    let mut objective = match (loss, transfer) {
        (Some(loss), None) => Objective::of_loss(place, weight, on, loss),
        (None, Some(transfer)) => {
            let balance = bind(3, Role::Balance, &config.balance)?;
            Objective::of_transfer(place, weight, on, transfer, balance)
        }
        _ => return Err(ObjectiveError::State(format!("{place} needs a loss or a transfer"))),
    };
    if let Some(schedule) = schedule {
        objective = objective.with_schedule(schedule);
    }
    if let Some(miner) = miner {
        objective = objective.with_miner(miner);
    }
    Ok(objective)
}

fn computed_on(on: On) -> ComputedOn {
    match on {
        On::Embedding => ComputedOn::Embedding,
        On::Fused => ComputedOn::Fused,
        On::FusedOnly => ComputedOn::FusedOnly,
    }
}
