//! Comparing two runs with the tensors of their checkpoints.

use std::collections::BTreeSet;

use lossmith_run::{Comparison, Run, compare_numbers};
use tch::{Kind, TchError, Tensor};

use super::{RecordError, load_checkpoint};

/// Compares the numbers and the checkpoints of two runs up to a step. Those of shadows are left out: how often a shadow
/// is computed depends on the clock.
///
/// # Errors
/// A file cannot be read.
pub fn compare(a: &Run, b: &Run, until: u64) -> Result<Comparison, RecordError> {
    let mut comparison = compare_numbers(a, b, until)?;
    tensors(a, b, until, &mut comparison)?;
    Ok(comparison)
}

fn tensors(a: &Run, b: &Run, until: u64, comparison: &mut Comparison) -> Result<(), RecordError> {
    let others = b.checkpoints()?;
    for (epoch, path) in a.checkpoints()? {
        let Some(other) = others.get(&epoch) else { continue };
        let (first, second) = (load_checkpoint(&path)?, load_checkpoint(other)?);
        if first.step > until || second.step > until {
            continue;
        }
        let names = first.tensors.keys().chain(second.tensors.keys()).filter(|name| !name.starts_with("shadow/"));
        for name in names.collect::<BTreeSet<_>>() {
            let both = [first.tensors.get(name), second.tensors.get(name)];
            for tensor in both.into_iter().flatten() {
                if tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
                    comparison.note_not_finite(format!("epoch {epoch}: {name}"));
                    break;
                }
            }
            let equal = match both {
                [Some(first), Some(second)] => same_bits(first, second)?,
                _ => false,
            };
            if equal {
                comparison.equal_tensors += 1;
            } else if comparison.different_tensors.len() < 10 {
                comparison.different_tensors.push(format!("epoch {epoch}: {name}"));
            }
        }
    }
    Ok(())
}

/// Whether two tensors are equal to the last bit, NaN and the sign of 0 included.
fn same_bits(a: &Tensor, b: &Tensor) -> Result<bool, TchError> {
    if a.size() != b.size() || a.kind() != b.kind() {
        return Ok(false);
    }
    let bits = |tensor: &Tensor| match tensor.kind().elt_size_in_bytes() {
        1 => tensor.f_view_dtype(Kind::Uint8),
        2 => tensor.f_view_dtype(Kind::Int16),
        4 => tensor.f_view_dtype(Kind::Int),
        _ => tensor.f_view_dtype(Kind::Int64),
    };
    bits(&a.f_contiguous()?)?.f_equal(&bits(&b.f_contiguous()?)?)
}
