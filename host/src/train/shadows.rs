//! Shadows at work: candidates that are computed on the batches of a training and never touch it.
//!
//! A shadow sees the embeddings without a way back into the network. Its own parameters are trained by an optimizer of
//! its own. Whether it is computed in a step depends on the time that shadows have taken so far, so its numbers, unlike
//! those of the training, are not the same in two runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lossmith_plugin::objective::{Batch, gradient_of};
use lossmith_plugin::{Level, Metric, Progress};
use tch::{TchError, Tensor};

use super::Optimizer;
use super::assembly::below;
use super::event::TrainingEvent;
use super::training_error::TrainingError;
use crate::experiment::OptimizerConfig;
use crate::objective::{ObjectiveError, Shadow};

/// What all shadows of a training have.
pub(super) struct Shadows {
    /// Of each shadow's own parameters, by its name.
    optimizers: BTreeMap<String, Optimizer>,
    /// Those that are left out.
    failed: BTreeSet<String>,
    /// How long one computation took last.
    cost: BTreeMap<String, Duration>,
    begun: Instant,
    spent: Duration,
    config: OptimizerConfig,
    share: f64,
}

/// What a shadow made of a batch.
pub(super) struct Shaded {
    name: String,
    loss: Tensor,
    gradient: Tensor,
}

impl Shadows {
    pub(super) fn new(config: &OptimizerConfig, share: f64) -> Self {
        Self {
            optimizers: BTreeMap::new(),
            failed: BTreeSet::new(),
            cost: BTreeMap::new(),
            begun: Instant::now(),
            spent: Duration::ZERO,
            config: config.clone(),
            share,
        }
    }

    /// Starts the clock.
    pub(super) fn begin(&mut self) {
        (self.begun, self.spent) = (Instant::now(), Duration::ZERO);
    }

    /// Time in which nothing was trained.
    pub(super) fn idle(&mut self, time: Duration) {
        self.begun += time;
    }

    /// Computes every shadow for which there is time.
    pub(super) fn compute(
        &mut self,
        shadows: &mut [Shadow],
        batch: &Batch,
        progress: &Progress,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<Vec<Shaded>, TrainingError> {
        let mut shaded = Vec::new();
        for shadow in shadows {
            let name = shadow.config.name.clone();
            let cost = self.cost.get(&name).copied().unwrap_or_default();
            let room = self.begun.elapsed().mul_f64(self.share);
            if self.failed.contains(&name) || self.spent + cost > room {
                continue;
            }
            let begun = Instant::now();
            match self.train(shadow, batch, progress) {
                Ok(one) => shaded.push(one),
                Err(TrainingError::Objective(error)) => {
                    let text = format!("left out until it changes: {error}");
                    watch(TrainingEvent::Line { slot: format!("shadow.{name}"), level: Level::Warn, text });
                    self.failed.insert(name.clone());
                }
                Err(error) => return Err(error),
            }
            let taken = begun.elapsed();
            self.spent += taken;
            self.cost.insert(name, taken);
        }
        Ok(shaded)
    }

    fn train(&mut self, shadow: &mut Shadow, batch: &Batch, progress: &Progress) -> Result<Shaded, TrainingError> {
        let name = shadow.config.name.clone();
        let leaves = batch.leaves()?;
        let outcome = shadow.objectives.compute(&leaves, progress)?;
        if !self.optimizers.contains_key(&name) {
            self.optimizers.insert(name.clone(), Optimizer::new(self.config.clone())?);
        }
        if let Some(optimizer) = self.optimizers.get_mut(&name) {
            let replaced = shadow.objectives.take_replaced();
            optimizer.retain(|name| !replaced.iter().any(|replaced| replaced == name));
            for (name, tensor, multiplier) in shadow.objectives.parameters() {
                if !optimizer.has(&name) {
                    optimizer.add(&name, &tensor, multiplier)?;
                }
            }
            optimizer.zero_grad()?;
            if let Err(error) = outcome.total.f_backward() {
                return Err(TrainingError::of_backward(&mut shadow.objectives, &leaves, progress, error));
            }
            optimizer.step(1.0)?;
        }
        Ok(Shaded { name, loss: outcome.total.f_detach()?, gradient: gradient_of(&leaves.embeddings)? })
    }

    /// The metrics of what was computed, beside the live gradient that has reached the embeddings meanwhile.
    pub(super) fn compare(
        &mut self,
        shaded: &mut Vec<Shaded>,
        embeddings: &Tensor,
    ) -> Result<Vec<(String, Metric)>, TchError> {
        if shaded.is_empty() {
            return Ok(Vec::new());
        }
        let begun = Instant::now();
        let live = gradient_of(embeddings)?;
        let mut metrics = Vec::new();
        for Shaded { name, loss, gradient } in shaded.drain(..) {
            let norm = gradient.f_norm()?;
            let norms = norm.f_mul(&live.f_norm()?)?;
            let product = gradient.f_mul(&live)?.f_sum(None::<tch::Kind>)?;
            let cosine = product.f_div(&norms.f_add(&norms.f_eq(0.0)?)?)?;
            for (what, value) in [("loss", loss), ("gradient-norm", norm), ("cosine", cosine)] {
                metrics.push((format!("shadow.{name}/{what}"), Metric::Tensor(value)));
            }
        }
        self.spent += begun.elapsed();
        Ok(metrics)
    }

    /// What the shadows keep, by name.
    pub(super) fn state(&self, shadows: &[Shadow]) -> Result<BTreeMap<String, Tensor>, ObjectiveError> {
        let mut state = BTreeMap::new();
        for Shadow { config, objectives } in shadows {
            let name = &config.name;
            let plugin = objectives.state()?.into_iter();
            state.extend(plugin.map(|(key, tensor)| (format!("{name}/plugin/{key}"), tensor)));
            let optimizer = self.optimizers.get(name).map(Optimizer::state).unwrap_or_default().into_iter();
            state.extend(optimizer.map(|(key, tensor)| (format!("{name}/optimizer/{key}"), tensor)));
        }
        Ok(state)
    }

    /// Names of the shadows for which a state has tensors, all of places that they have.
    pub(super) fn fitting(&self, shadows: &[Shadow], state: &BTreeMap<String, Tensor>) -> Vec<String> {
        let fits = |shadow: &&Shadow| {
            let kept = below(state, &format!("{}/plugin/", shadow.config.name));
            let ours = |name: &String| {
                shadow
                    .objectives
                    .places()
                    .any(|place| name.strip_prefix(place).is_some_and(|rest| rest.starts_with('/')))
            };
            !kept.is_empty() && kept.keys().all(ours)
        };
        shadows.iter().filter(fits).map(|shadow| shadow.config.name.clone()).collect()
    }

    /// Sets what the shadows keep.
    pub(super) fn load_state(
        &mut self,
        shadows: &mut [Shadow],
        state: &BTreeMap<String, Tensor>,
        config: &OptimizerConfig,
    ) -> Result<(), TrainingError> {
        self.optimizers.clear();
        for Shadow { config: ours, objectives } in shadows {
            let of = |kind: &str| below(state, &format!("{}/{kind}/", ours.name));
            objectives.load_state(&of("plugin"))?;
            let mut optimizer = Optimizer::new(config.clone())?;
            for (name, tensor, multiplier) in objectives.parameters() {
                optimizer.add(&name, &tensor, multiplier)?;
            }
            // A shadow that has not been computed yet has nothing to remember.
            let remembered = of("optimizer");
            if !remembered.is_empty() {
                optimizer.load_state(&remembered)?;
            }
            self.optimizers.insert(ours.name.clone(), optimizer);
        }
        Ok(())
    }

    /// Goes on with other shadows: one that is as it was keeps what it has.
    pub(super) fn exchange(
        &mut self,
        before: &mut [Shadow],
        after: &mut [Shadow],
        config: &OptimizerConfig,
        share: f64,
    ) -> Result<(), TrainingError> {
        (self.config, self.share) = (config.clone(), share);
        let mut optimizers = std::mem::take(&mut self.optimizers);
        self.failed.clear();
        for shadow in after {
            let same = before.iter_mut().enumerate().find(|(_, other)| other.config == shadow.config);
            let Some((place, same)) = same else { continue };
            // Places have the shadow's number in them, which the optimizer's names have, too.
            let there = shadow.objectives.places().any(|name| name.starts_with(&format!("shadow.{place}.")));
            if there && let Some(mut optimizer) = optimizers.remove(&shadow.config.name) {
                shadow.objectives.put_states(same.objectives.take_states());
                optimizer.configure(config.clone())?;
                self.optimizers.insert(shadow.config.name.clone(), optimizer);
            }
        }
        Ok(())
    }
}
