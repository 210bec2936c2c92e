//! A batch that the user gives, with what is expected of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tch::{Device, Kind, TchError, Tensor};

use super::case::{Case, Expected};
use super::error::CheckError;
use super::invariance::sets;
use super::report::{StrategyReport, Verdict};
use crate::plugin::{Input, Limits, Params, Plugin, Progress, Role, Runtime, Setting, Slot, Strategy, Value};

const TOLERANCE: f64 = 1e-6;

/// Computes the batch in 64 bits and compares.
pub(super) fn check(
    runtime: &Arc<Runtime>,
    plugin: &Arc<Plugin>,
    strategy: &Strategy,
    given: &BTreeMap<String, Value>,
    case: &Case,
    report: &mut StrategyReport,
) -> Result<(), CheckError> {
    const WHAT: &str = "given batch";
    let limits = Arc::new(Limits::default());
    let setting = Setting { device: Device::Cpu, float: Kind::Double, seed: 0, slot: 0, limits };
    let params = Params::new(strategy, given)?;
    let (role, name) = (strategy.role, &strategy.name);
    let mut slot = Slot::new(Arc::clone(runtime), Arc::clone(plugin), role, name, params, setting)?;
    *slot.state_mut() = case.state(Kind::Double).map_err(CheckError::Case)?;
    let input = case.input(Kind::Double).map_err(CheckError::Case)?;
    let none = Expected::default();
    let expected = case.expect.as_ref().unwrap_or(&none);
    let mut comparison = Comparison { tolerance: expected.tolerance.unwrap_or(TOLERANCE), ..Comparison::default() };
    let progress = Progress { epochs: 1, steps_per_epoch: 1, ..Progress::default() };
    let embeddings = input.embeddings.as_ref().map(Tensor::shallow_clone).unwrap_or_default();
    let value = match role {
        Role::Loss => Some(slot.loss(input, &progress)?),
        Role::Transfer => Some(slot.transfer(input, &progress)?.total()?),
        Role::Balance => Some(slot.balance(super::batch::pair_losses(&input)?, input, &progress)?.0),
        Role::Miner => {
            let parts = slot.mine(input, &progress)?;
            let parts = parts.parts().iter().map(Vec::<i64>::try_from).collect::<Result<Vec<_>, _>>()?;
            if let Some(wanted) = &expected.indices {
                comparison.tuples(&parts, wanted);
            }
            None
        }
        Role::Schedule => {
            let thresholds = slot.thresholds(input, &progress)?;
            if let Some(wanted) = &expected.thresholds {
                comparison.numbers("thresholds", &thresholds, wanted);
            }
            None
        }
        Role::Fusion => {
            let fused = slot.fuse(Input { labels: None, ..input }, &progress)?;
            if let Some(wanted) = &expected.embedding {
                comparison.numbers("embedding", &list(&fused)?, &wanted.concat());
            }
            None
        }
    };
    if let Some(value) = value {
        if let Some(wanted) = expected.value {
            comparison.numbers("value", &[value.f_double_value(&[])?], &[wanted]);
        }
        if let Some(wanted) = &expected.gradient {
            value.f_backward()?;
            let gradient = embeddings.f_grad()?;
            let gradient = if gradient.defined() { gradient } else { embeddings.f_zeros_like()? };
            comparison.numbers("gradient", &list(&gradient)?, &wanted.concat());
        }
    }
    let Comparison { compared, wrong, tolerance } = comparison;
    if compared.is_empty() {
        report.add(WHAT, Verdict::Passed, "it is computed; nothing is expected of it");
        return Ok(());
    }
    report.judge(WHAT, format!("{} as expected, to {tolerance:e}", compared.join(" and ")), &wrong);
    Ok(())
}

/// What was compared with what was expected.
#[derive(Default)]
struct Comparison {
    tolerance: f64,
    compared: Vec<&'static str>,
    wrong: Vec<String>,
}

impl Comparison {
    fn numbers(&mut self, what: &'static str, found: &[f64], wanted: &[f64]) {
        self.compared.push(what);
        if found.len() != wanted.len() {
            self.wrong.push(format!("{what}: {} numbers, {} are expected", found.len(), wanted.len()));
            return;
        }
        let is_near = |found: f64, wanted: f64| (found - wanted).abs() <= self.tolerance * wanted.abs().max(1.0);
        let differs = found.iter().zip(wanted).enumerate().find(|(_, (found, wanted))| !is_near(**found, **wanted));
        if let Some((at, (found, wanted))) = differs {
            let at = if what == "value" { String::new() } else { format!(" at position {at}") };
            self.wrong.push(format!("{what}{at} is {found}, {wanted} is expected"));
        }
    }

    fn tuples(&mut self, found: &[Vec<i64>], wanted: &[Vec<i64>]) {
        self.compared.push("tuples");
        let (found, wanted) = (sets(found), sets(wanted));
        let only = |a: &BTreeSet<(usize, Vec<i64>)>, b: &BTreeSet<(usize, Vec<i64>)>| -> Vec<Vec<i64>> {
            a.difference(b).map(|(_, tuple)| tuple.clone()).collect()
        };
        let (more, less) = (only(&found, &wanted), only(&wanted, &found));
        if !more.is_empty() || !less.is_empty() {
            self.wrong.push(format!("tuples that are not expected: {more:?}; that are missing: {less:?}"));
        }
    }
}

fn list(tensor: &Tensor) -> Result<Vec<f64>, TchError> {
    Vec::<f64>::try_from(&tensor.f_detach()?.f_reshape([-1])?)
}
