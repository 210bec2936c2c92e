//! All checks of a plugin, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use lossmith_plugin::{Plugin, Runtime, State, Strategy, Value};

use super::batch::{Extras, TrialBatch, classes};
use super::case::Case;
use super::error::CheckError;
use super::report::{CheckReport, CheckVerdict, StrategyReport};
use super::subject::{NotComputed, Subject, refusal};
use super::{cost, description, extreme, gradient, growth, invariance, user_batch};

/// The options of a check.
#[derive(Debug, Default)]
pub struct CheckOptions {
    /// Only the strategies of this name.
    pub strategy: Option<String>,
    /// Their parameters; what is left out has its default.
    pub params: BTreeMap<String, Value>,
    /// A batch of the user's, computed besides those that are generated.
    pub case: Option<Case>,
}

/// Checks a component.
///
/// # Errors
/// When the options do not fit it, or when libtorch fails. What is wrong with a strategy is in the report.
pub fn run(runtime: &Arc<Runtime>, plugin: &Arc<Plugin>, options: &CheckOptions) -> Result<CheckReport, CheckError> {
    each(plugin, options, |strategy| of_strategy(runtime, plugin, strategy, options))
}

/// The report on all strategies that are meant.
pub(super) fn each(
    plugin: &Plugin,
    options: &CheckOptions,
    of: impl FnMut(&Strategy) -> Result<StrategyReport, CheckError>,
) -> Result<CheckReport, CheckError> {
    let strategies = meant(plugin, options)?.into_iter().map(of).collect::<Result<_, _>>()?;
    Ok(CheckReport {
        plugin: plugin.name.clone(),
        hash: plugin.hash.clone(),
        contract: plugin.contract.clone(),
        bytes: plugin.bytes.len(),
        strategies,
    })
}

/// The strategies that are to be checked.
fn meant<'a>(plugin: &'a Plugin, options: &CheckOptions) -> Result<Vec<&'a Strategy>, CheckError> {
    if plugin.strategies.is_empty() {
        return Err(CheckError::Empty);
    }
    let is_meant = |strategy: &&Strategy| options.strategy.as_ref().is_none_or(|name| *name == strategy.name);
    let meant: Vec<_> = plugin.strategies.iter().filter(is_meant).collect();
    if let (true, Some(name)) = (meant.is_empty(), &options.strategy) {
        let known: Vec<_> = plugin.strategies.iter().map(|strategy| strategy.name.as_str()).collect();
        return Err(CheckError::NoStrategy { name: name.clone(), known: known.join(", ") });
    }
    Ok(meant)
}

fn of_strategy(
    runtime: &Arc<Runtime>,
    plugin: &Arc<Plugin>,
    strategy: &Strategy,
    options: &CheckOptions,
) -> Result<StrategyReport, CheckError> {
    let mut report =
        StrategyReport { role: strategy.role, name: strategy.name.clone(), findings: Vec::new(), cost: Vec::new() };
    description::check(strategy, &mut report);
    let mut subject = Subject::new(runtime, plugin, strategy.role, &strategy.name, &options.params)?;
    if let Some(case) = &options.case {
        attempt(&mut report, "given batch", |report| {
            user_batch::check(runtime, plugin, strategy, &options.params, case, report)
        })?;
    }
    let Some((extras, batch)) = computable(&mut subject, &mut report)? else { return Ok(report) };
    if not_finite(&mut subject, &batch, &mut report)? {
        return Ok(report);
    }
    attempt(&mut report, "parameters", |report| {
        description::ranges(runtime, plugin, strategy, &options.params, &batch, report)
    })?;
    attempt(&mut report, "determinism", |report| {
        let state = subject.initial_state(&batch)?;
        invariance::repeat(&mut subject, &batch, &state, report)?;
        invariance::permute(&mut subject, &batch, &state, report)?;
        invariance::precision(&mut subject, &batch, &state, report)
    })?;
    if subject.is_differentiable() {
        attempt(&mut report, "gradient", |report| {
            let mut batches = Vec::new();
            for (seed, sizes) in [(10, [3, 3, 3, 3]), (11, [6, 3, 2, 1])] {
                let batch = classes(seed, &sizes, 8, extras)?;
                let state = subject.initial_state(&batch)?;
                batches.push((batch, state));
            }
            gradient::check(&mut subject, &batches, "", report).map(drop)
        })?;
        let choices = description::choices(strategy);
        let (mut derivatives, before) = (0, report.findings.len());
        for variant in &choices {
            attempt(&mut report, "gradient", |report| {
                let given = variant.given(&options.params);
                let mut subject = Subject::new(runtime, plugin, strategy.role, &strategy.name, &given)?;
                let text = format!("with {} = {}: ", variant.parameter, variant.value);
                // What it refuses was reported above.
                match subject.initial_state(&batch) {
                    Ok(state) => {
                        derivatives += gradient::check(&mut subject, &[(batch.handle(), state)], &text, report)?;
                    }
                    Err(error) => drop(refusal(error)?),
                }
                Ok(())
            })?;
        }
        if derivatives > 0 && report.findings.len() == before {
            let text = format!(
                "{derivatives} derivatives agree with each of the other choices of its parameters, one at a time"
            );
            match report.findings.last_mut() {
                Some(found) if (found.what, found.verdict) == ("gradient", CheckVerdict::Passed) => {
                    found.detail += &format!("\n{text}")
                }
                _ => report.add("gradient", CheckVerdict::Passed, text),
            }
        }
    }
    attempt(&mut report, "extreme batches", |report| extreme::check(&mut subject, extras, report))?;
    attempt(&mut report, "calls in a row", |report| growth::check(&mut subject, extras, report))?;
    attempt(&mut report, "cost", |report| cost::check(&mut subject, extras, report))?;
    Ok(report)
}

/// Whether an ordinary batch gives a gradient that is not finite. Then it says so once, and of all else that it was not
/// looked at.
fn not_finite(subject: &mut Subject, batch: &TrialBatch, report: &mut StrategyReport) -> Result<bool, CheckError> {
    for (float, bits) in [(tch::Kind::Double, 64), (tch::Kind::Float, 32)] {
        // Faults are reported by the checks.
        let state = match subject.initial_state(batch) {
            Ok(state) => state,
            Err(error) => return refusal(error).map(|_| false),
        };
        let text = match subject.evaluate(batch, float, &state) {
            Ok(evaluation) => evaluation.not_finite,
            Err(error) => return refusal(error).map(|_| false),
        };
        if let Some(text) = text {
            report.add("gradient", CheckVerdict::Failed, format!("in {bits} bits {text}"));
            for what in [
                "parameters",
                "determinism",
                "order of the batch",
                "32 bits against 64",
                "extreme batches",
                "calls in a row",
                "cost",
            ] {
                report.add(what, CheckVerdict::Skipped, "the gradient is not finite");
            }
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first kind of batch that the strategy does not refuse: some need a schedule, others feature maps.
pub(super) fn computable(
    subject: &mut Subject,
    report: &mut StrategyReport,
) -> Result<Option<(Extras, TrialBatch)>, CheckError> {
    let mut refused = Vec::new();
    for extras in Extras::ALL {
        let batch = classes(1, &[3, 3, 3, 3], 8, extras)?;
        match subject.evaluate(&batch, tch::Kind::Double, &State::default()) {
            Ok(_) => return Ok(Some((extras, batch))),
            Err(error) => match refusal(error)? {
                NotComputed::Told(text) => refused.push(text),
                NotComputed::Fault(text) => {
                    report.add("an ordinary batch", CheckVerdict::Failed, text);
                    return Ok(None);
                }
            },
        }
    }
    refused.dedup();
    let text =
        format!("not checked: it refuses every batch; give what it asks for with --params\n{}", refused.join("\n"));
    report.add("an ordinary batch", CheckVerdict::Warning, text);
    Ok(None)
}

/// Runs a part. A fault of the plugin in it is a finding.
fn attempt(
    report: &mut StrategyReport,
    what: &'static str,
    part: impl FnOnce(&mut StrategyReport) -> Result<(), CheckError>,
) -> Result<(), CheckError> {
    match part(report) {
        Ok(()) => Ok(()),
        Err(error) => {
            let (NotComputed::Told(text) | NotComputed::Fault(text)) = refusal(error)?;
            report.add(what, CheckVerdict::Failed, text);
            Ok(())
        }
    }
}
