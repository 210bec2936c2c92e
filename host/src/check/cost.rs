//! The cost of a step, and how it grows with the batch.

use std::time::{Duration, Instant};

use lossmith_plugin::State;
use tch::Kind;

use super::batch::{Extras, classes};
use super::error::CheckError;
use super::report::{CheckVerdict, CostRow, StrategyReport};
use super::subject::{NotComputed, Subject, refusal};

const SIZES: [usize; 4] = [32, 64, 128, 256];
const DIMENSION: i64 = 64;
/// No larger batch is tried after a step that took longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Matrices of pairs grow by 2. Sizes of 128 and 256 show an exponent lower than it is in the end, as parts that grow
/// more slowly count too.
const PAIRS: f64 = 2.3;

pub(super) fn check(subject: &mut Subject, extras: Extras, report: &mut StrategyReport) -> Result<(), CheckError> {
    const WHAT: &str = "cost";
    for size in SIZES {
        let batch = classes(30, &vec![4; size / 4], DIMENSION, extras)?;
        let mut times = Vec::new();
        let mut cost = None;
        // The first call makes the instance, and trainable tensors.
        for _ in 0..4 {
            let begun = Instant::now();
            match subject.step(&batch, Kind::Float, &State::default()) {
                Ok(found) => cost = Some(found.cost),
                Err(error) => {
                    let text = match refusal(error)? {
                        NotComputed::Told(text) | NotComputed::Fault(text) => text,
                    };
                    report.add(WHAT, CheckVerdict::Warning, format!("a batch of {size} was not computed: {text}"));
                    return Ok(());
                }
            }
            times.push(begun.elapsed());
        }
        times.remove(0);
        times.sort_unstable();
        let (Some(cost), Some(&median)) = (cost, times.get(1)) else { continue };
        report.cost.push(CostRow {
            batch: size as i64,
            fuel: cost.fuel,
            milliseconds: median.as_secs_f64() * 1e3,
            host_elements: cost.host_elements,
            tensors: cost.tensors,
            tensor_bytes: cost.tensor_bytes,
        });
        if median > PATIENCE {
            break;
        }
    }
    let [.., smaller, larger] = report.cost.as_slice() else { return Ok(()) };
    let ratio = (larger.batch as f64 / smaller.batch as f64).log2();
    let exponent = |of: fn(&CostRow) -> f64| (of(larger).max(1.0) / of(smaller).max(1.0)).log2() / ratio;
    let work = exponent(|row| row.host_elements as f64);
    let memory = exponent(|row| row.tensor_bytes as f64);
    let fuel = exponent(|row| row.fuel as f64);
    let text = format!(
        "from B = {} to {}: work of the host grows as B^{work:.1}, memory as B^{memory:.1}, instructions as \
         B^{fuel:.1}",
        smaller.batch, larger.batch
    );
    if work.max(memory).max(fuel) <= PAIRS {
        report.add(WHAT, CheckVerdict::Passed, text);
    } else {
        let at = |row: &CostRow| row.tensor_bytes as f64 / 1e6 * (1024.0 / row.batch as f64).powf(memory.max(work));
        let text = format!(
            "{text}; matrices of pairs grow as B^2. At B = 1024 its tensors would take up to {:.0} MB",
            at(larger)
        );
        report.add(WHAT, CheckVerdict::Warning, text);
    }
    Ok(())
}
