//! Extreme batches: their results are finite, or refused with a text.

use lossmith_plugin::State;
use tch::{Kind, TchError, Tensor};

use super::batch::{Extras, TrialBatch, classes};
use super::error::CheckError;
use super::report::StrategyReport;
use super::subject::{NotComputed, Subject, refusal};

/// Batches with their names; each has B = 12 and D = 8 unless its name says otherwise.
fn batches(extras: Extras) -> Result<Vec<(&'static str, TrialBatch)>, TchError> {
    let plain = |seed, sizes: &[usize]| classes(seed, sizes, 8, extras);
    let batch = plain(20, &[3, 3, 3, 3])?;
    let scaled = |factor| Ok::<_, TchError>(batch.with_embeddings(batch.embeddings.f_mul_scalar(factor)?));
    let first = Tensor::f_from_slice(&[0_i64; 12])?;
    let zeros = batch.embeddings.f_zeros_like()?;
    let mask = Tensor::f_from_slice(&[0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])?.f_unsqueeze(1)?;
    Ok(vec![
        ("identical embeddings", batch.with_embeddings(batch.embeddings.f_index_select(0, &first)?)),
        ("two zero vectors", batch.with_embeddings(batch.embeddings.f_mul(&mask)?)),
        ("zero vectors only", batch.with_embeddings(zeros)),
        ("one class", plain(21, &[12])?),
        ("all classes different", plain(22, &[1; 12])?),
        ("norms of 1e6", scaled(1e6)?),
        ("norms of 1e-6", scaled(1e-6)?),
        ("B = 2 of one class", plain(23, &[2])?),
        ("B = 2 of two classes", plain(24, &[1, 1])?),
    ])
}

/// Tries them in 32 bits, as a training would.
pub(super) fn check(subject: &mut Subject, extras: Extras, report: &mut StrategyReport) -> Result<(), CheckError> {
    let (mut wrong, mut told) = (Vec::new(), Vec::new());
    let batches = batches(extras)?;
    let count = batches.len();
    for (name, batch) in batches {
        // Trainable tensors depend on the number of classes.
        match subject.evaluate(&batch, Kind::Float, &State::default()) {
            Ok(found) => wrong.extend(found.not_finite.map(|text| format!("{name}: {text}"))),
            Err(error) => match refusal(error)? {
                NotComputed::Told(text) => told.push(format!("{name}: {text}")),
                NotComputed::Fault(text) => wrong.push(format!("{name}: {text}")),
            },
        }
    }
    let mut good = format!("{} of {count} batches give finite results", count - told.len());
    if !told.is_empty() {
        good += &format!("; refused with a text: {}", told.join("; "));
    }
    report.judge("extreme batches", good, &wrong);
    Ok(())
}
