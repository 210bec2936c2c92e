//! Invariances: the order of the batch, a repetition and the dtype do not change a result.

use std::collections::BTreeSet;

use lossmith_plugin::State;
use tch::{Kind, TchError, Tensor};

use super::batch::TrialBatch;
use super::error::CheckError;
use super::report::{CheckVerdict, StrategyReport};
use super::subject::{Output, StrategyOutput, Subject};

/// Largest difference that another order of summation makes in 64 bits, relative.
const ORDER: f64 = 1e-9;
/// Differences between 32 and 64 bits, relative: from here on worth knowing, and wrong.
const PRECISION: [f64; 2] = [1e-3, 1e-1];

/// Two calls with the same batch, and one of a new instance, give the same bits.
pub(super) fn repeat(
    subject: &mut Subject,
    batch: &TrialBatch,
    state: &State,
    report: &mut StrategyReport,
) -> Result<(), CheckError> {
    const WHAT: &str = "determinism";
    subject.restart();
    let mut wrong = Vec::new();
    for float in [Kind::Double, Kind::Float] {
        let first = subject.evaluate(batch, float, state)?;
        let again = subject.evaluate(batch, float, state)?;
        if !finite(WHAT, [&first, &again], report) {
            return Ok(());
        }
        if let Some(what) = different(&first, &again)? {
            let text = "a second call with the same batch gives another ";
            wrong.push(format!(
                "{text}{what}: keep nothing in variables of the plugin; buffers and parameters of `state` are for that"
            ));
            break;
        }
        subject.restart();
        let fresh = subject.evaluate(batch, float, state)?;
        if !finite(WHAT, [&first, &fresh], report) {
            return Ok(());
        }
        if let Some(what) = different(&first, &fresh)? {
            wrong.push(format!("a new instance gives another {what}"));
            break;
        }
    }
    report.judge(WHAT, "repeated calls and new instances give the same bits", &wrong);
    Ok(())
}

/// Whether two evaluations can be compared. What is not finite compares as equal to everything, or as different from
/// itself: it is reported instead.
fn finite(what: &'static str, evaluations: [&StrategyOutput; 2], report: &mut StrategyReport) -> bool {
    let not_finite = evaluations.into_iter().find_map(|evaluation| evaluation.not_finite.as_ref());
    if let Some(text) = not_finite {
        report.add(what, CheckVerdict::Failed, text);
    }
    not_finite.is_none()
}

/// The first part of two outputs that differs by a bit.
fn different(a: &StrategyOutput, b: &StrategyOutput) -> Result<Option<&'static str>, TchError> {
    if a.output != b.output {
        return Ok(Some("result"));
    }
    let equal = match (&a.gradient, &b.gradient) {
        (Some(a), Some(b)) => a.f_equal(b)?,
        _ => true,
    };
    Ok((!equal).then_some("gradient"))
}

/// The images in another order give the same value, their gradients and tuples in that order.
pub(super) fn permute(
    subject: &mut Subject,
    batch: &TrialBatch,
    state: &State,
    report: &mut StrategyReport,
) -> Result<(), CheckError> {
    const WHAT: &str = "order of the batch";
    let first = subject.evaluate(batch, Kind::Double, state)?;
    if first.cost.draws > 0 {
        report.add(WHAT, CheckVerdict::Skipped, "it draws random numbers");
        return Ok(());
    }
    let size = batch.labels.len() as i64;
    // A stride that shares no factor with the size meets every image once.
    let stride = [5, 7, 11, 13].into_iter().find(|prime| size % prime != 0).unwrap_or(1);
    let order: Vec<i64> = (0..size).map(|position| (position * stride + 3) % size).collect();
    let second = subject.evaluate(&batch.permuted(&order)?, Kind::Double, state)?;
    if !finite(WHAT, [&first, &second], report) {
        return Ok(());
    }
    let mut wrong = Vec::new();
    match (&first.output, &second.output) {
        (Output::Value(a), Output::Value(b)) if (a - b).abs() > ORDER * a.abs().max(1.0) => {
            wrong.push(format!("the value is {a:.9e}, and {b:.9e} with the images in another order"));
        }
        (Output::Thresholds(a), Output::Thresholds(b))
            if a.iter().zip(b).any(|(a, b)| (a - b).abs() > ORDER * a.abs().max(1.0)) =>
        {
            wrong.push(format!("the thresholds are {a:?}, and {b:?} with the images in another order"));
        }
        (Output::Tuples(a), Output::Tuples(b)) => {
            let original = |position: &i64| order.get(*position as usize).copied().unwrap_or(-1);
            let b: Vec<Vec<i64>> = b.iter().map(|part| part.iter().map(original).collect()).collect();
            let (a, b) = (sets(a), sets(&b));
            if a != b {
                let (only_a, only_b) = (a.difference(&b).count(), b.difference(&a).count());
                wrong.push(format!(
                    "{only_a} tuples are only in the one order of the images, {only_b} only in the other"
                ));
            }
        }
        _ => {}
    }
    if let (Some(a), Some(b)) = (&first.gradient, &second.gradient) {
        let a = a.f_index_select(0, &Tensor::f_from_slice(&order)?)?;
        let (difference, largest) = (largest(&a.f_sub(b)?)?, largest(&a)?);
        if difference > ORDER * largest.max(1.0) {
            wrong.push(format!("gradients differ by {difference:.1e} with the images in another order"));
        }
    }
    // Not wrong: n-pairs, for one, takes the first two images of each class. With a shuffled sampler it is noise.
    if wrong.is_empty() {
        report.add(WHAT, CheckVerdict::Passed, "another order of the images changes nothing");
    } else {
        report.add(WHAT, CheckVerdict::Warning, wrong.join("\n"));
    }
    Ok(())
}

/// Tuples as sets, each with the number of its list: positive and negative pairs are two lists.
pub(super) fn sets(parts: &[Vec<i64>]) -> BTreeSet<(usize, Vec<i64>)> {
    let lists: Vec<&[Vec<i64>]> = if parts.len() == 4 { parts.chunks(2).collect() } else { vec![parts] };
    let tuples = |(list, parts): (usize, &[Vec<i64>])| -> Vec<(usize, Vec<i64>)> {
        let count = parts.first().map_or(0, Vec::len);
        (0..count).map(|at| (list, parts.iter().filter_map(|part| part.get(at).copied()).collect())).collect()
    };
    lists.into_iter().enumerate().flat_map(tuples).collect()
}

fn largest(tensor: &Tensor) -> Result<f64, TchError> {
    if tensor.numel() == 0 { Ok(0.0) } else { tensor.f_abs()?.f_max()?.f_double_value(&[]) }
}

/// A training computes in 32 bits: how far is that from 64?
pub(super) fn precision(
    subject: &mut Subject,
    batch: &TrialBatch,
    state: &State,
    report: &mut StrategyReport,
) -> Result<(), CheckError> {
    const WHAT: &str = "32 bits against 64";
    // The same numbers in both.
    let rounded = batch.with_embeddings(batch.embeddings.f_to_kind(Kind::Float)?.f_to_kind(Kind::Double)?);
    let exact = subject.evaluate(&rounded, Kind::Double, state)?;
    let single = subject.evaluate(&rounded, Kind::Float, state)?;
    if !finite(WHAT, [&exact, &single], report) {
        return Ok(());
    }
    let mut worst = 0.0_f64;
    match (&exact.output, &single.output) {
        (Output::Value(a), Output::Value(b)) => worst = (a - b).abs() / a.abs().max(1e-3),
        (Output::Thresholds(a), Output::Thresholds(b)) => {
            worst = a.iter().zip(b).map(|(a, b)| (a - b).abs() / a.abs().max(1e-3)).fold(0.0, f64::max);
        }
        (Output::Tuples(a), Output::Tuples(b)) if sets(a) != sets(b) => {
            report.add(WHAT, CheckVerdict::Warning, "other tuples are found in 32 bits");
            return Ok(());
        }
        _ => {}
    }
    if let (Some(a), Some(b)) = (&exact.gradient, &single.gradient) {
        let size = largest(a)?;
        if size > 0.0 {
            worst = worst.max(largest(&a.f_sub(b)?)? / size);
        }
    }
    let [noted, wrong] = PRECISION;
    let text = format!("value and gradient differ by at most {worst:.1e}");
    let verdict = match worst {
        worst if worst <= noted => CheckVerdict::Passed,
        worst if worst <= wrong => CheckVerdict::Warning,
        _ => CheckVerdict::Failed,
    };
    report.add(WHAT, verdict, text);
    Ok(())
}
