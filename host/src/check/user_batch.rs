//! A batch that the user gives: it is computed in 64 bits, compared with what is expected of it, and treated as a
//! generated one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lossmith_plugin::{Plugin, Runtime, Strategy, Value};
use tch::{Device, Kind, TchError, Tensor};

use super::case::{Case, Expected};
use super::error::CheckError;
use super::report::{CheckVerdict, StrategyReport};
use super::subject::{Output, StrategyOutput, Subject};
use super::{gradient, invariance};

const WHAT: &str = "given batch";
const TOLERANCE: f64 = 1e-6;

pub(super) fn check(
    runtime: &Arc<Runtime>,
    plugin: &Arc<Plugin>,
    strategy: &Strategy,
    given: &BTreeMap<String, Value>,
    case: &Case,
    report: &mut StrategyReport,
) -> Result<(), CheckError> {
    let mut subject = Subject::new(runtime, plugin, strategy.role, &strategy.name, given)?.at_the_first_step();
    let batch = case.batch().map_err(CheckError::Case)?;
    let state = match case.parameters.is_empty() {
        true => subject.initial_state(&batch)?,
        false => case.state(Kind::Double, Device::Cpu).map_err(CheckError::Case)?,
    };
    let evaluation = subject.evaluate(&batch, Kind::Double, &state)?;
    if case.balance.is_some() {
        report.add(WHAT, CheckVerdict::Warning, "`balance` is for `plugin eval`: here the strategy is checked alone");
    }
    if let Some(text) = &evaluation.not_finite {
        report.add(WHAT, CheckVerdict::Failed, text);
        return Ok(());
    }
    compare(&evaluation, case.expect.as_ref().unwrap_or(&Expected::default()), report)?;
    // Of the user's batch it is said each time that it is meant.
    let first = report.findings.len();
    invariance::repeat(&mut subject, &batch, &state, report)?;
    invariance::permute(&mut subject, &batch, &state, report)?;
    invariance::precision(&mut subject, &batch, &state, report)?;
    if subject.is_differentiable() {
        gradient::check(&mut subject, &[(batch, state)], "", report)?;
    }
    for found in report.findings.iter_mut().skip(first) {
        found.detail = format!("{}: {}", found.what, found.detail);
        found.what = WHAT;
    }
    Ok(())
}

fn compare(evaluation: &StrategyOutput, expected: &Expected, report: &mut StrategyReport) -> Result<(), CheckError> {
    let mut comparison = Expectations { tolerance: expected.tolerance.unwrap_or(TOLERANCE), ..Expectations::default() };
    match (&evaluation.output, &evaluation.fused) {
        (_, Some(fused)) => {
            if let Some(wanted) = &expected.embedding {
                comparison.numbers("embedding", &list(fused)?, &wanted.concat());
            }
        }
        (Output::Value(value), None) => {
            if let Some(wanted) = expected.value {
                comparison.numbers("value", &[*value], &[wanted]);
            }
            if let (Some(wanted), Some(gradient)) = (&expected.gradient, &evaluation.gradient) {
                comparison.numbers("gradient", &list(gradient)?, &wanted.concat());
            }
        }
        (Output::Tuples(parts), None) => {
            if let Some(wanted) = &expected.indices {
                comparison.tuples(parts, wanted);
            }
        }
        (Output::Thresholds(thresholds), None) => {
            if let Some(wanted) = &expected.thresholds {
                comparison.numbers("thresholds", thresholds, wanted);
            }
        }
    }
    let Expectations { compared, wrong, tolerance } = comparison;
    let given = [
        ("value", expected.value.is_some()),
        ("gradient", expected.gradient.is_some()),
        ("indices", expected.indices.is_some()),
        ("thresholds", expected.thresholds.is_some()),
        ("embedding", expected.embedding.is_some()),
    ];
    for (name, _) in given.into_iter().filter(|(name, is_given)| *is_given && !compared.contains(name)) {
        report.add(
            WHAT,
            CheckVerdict::Warning,
            format!("`{name}` is expected, but this is a {}: it was not compared", report.role),
        );
    }
    if compared.is_empty() {
        report.add(WHAT, CheckVerdict::Passed, "it is computed; nothing is expected of it");
        return Ok(());
    }
    report.judge(WHAT, format!("{} as expected, to {tolerance:e}", compared.join(" and ")), &wrong);
    Ok(())
}

/// The comparisons with the expected values, and their differences.
#[derive(Default)]
struct Expectations {
    tolerance: f64,
    compared: Vec<&'static str>,
    wrong: Vec<String>,
}

impl Expectations {
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
        self.compared.push("indices");
        let (found, wanted) = (invariance::sets(found), invariance::sets(wanted));
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
