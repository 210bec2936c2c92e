//! Copying named tensors into others of the same names.

use std::collections::BTreeMap;
use std::fmt;
use tch::{TchError, Tensor};

/// How two sets of named tensors differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateDifference {
    /// Names that were wanted and not found.
    pub missing: Vec<String>,
    /// Names that were found and not wanted.
    pub unexpected: Vec<String>,
    /// Names with the wanted and the found shape.
    pub shapes: Vec<(String, Vec<i64>, Vec<i64>)>,
}

impl fmt::Display for StateDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A wrong file differs in hundreds of names; a few of each kind say which.
        const SHOWN: usize = 4;
        let shapes: Vec<_> = self
            .shapes
            .iter()
            .map(|(name, wanted, found)| format!("{name} ({found:?} instead of {wanted:?})"))
            .collect();
        let kinds = [("missing", &self.missing), ("unexpected", &self.unexpected), ("of another shape", &shapes)];
        let mut separator = "";
        for (kind, names) in kinds.into_iter().filter(|(_, names)| !names.is_empty()) {
            let shown: Vec<_> = names.iter().take(SHOWN).map(String::as_str).collect();
            write!(f, "{separator}{kind}: {}", shown.join(", "))?;
            if names.len() > SHOWN {
                write!(f, " and {} more", names.len() - SHOWN)?;
            }
            separator = "; ";
        }
        Ok(())
    }
}

/// Copies every tensor of `source` into that of `targets` with the same name, converting type and device. Copies
/// nothing if the names or shapes differ: the inner result then says how.
///
/// # Errors
/// If libtorch cannot copy.
pub fn copy_state<'a>(
    targets: impl IntoIterator<Item = (&'a String, &'a Tensor)>,
    source: &BTreeMap<String, Tensor>,
) -> Result<Result<(), StateDifference>, TchError> {
    let mut difference = StateDifference::default();
    let mut pairs = Vec::with_capacity(source.len());
    let mut left: BTreeMap<&String, &Tensor> = source.iter().collect();
    for (name, target) in targets {
        match left.remove(name) {
            None => difference.missing.push(name.clone()),
            Some(found) if found.size() != target.size() => {
                difference.shapes.push((name.clone(), target.size(), found.size()))
            }
            Some(found) => pairs.push((target, found)),
        }
    }
    difference.unexpected = left.into_keys().cloned().collect();
    if difference != StateDifference::default() {
        return Ok(Err(difference));
    }
    let _no_grad = tch::no_grad_guard();
    for (target, found) in pairs {
        target.shallow_clone().f_copy_(found)?;
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use tch::{Device, Kind};

    fn zeros(size: &[i64]) -> Tensor {
        Tensor::f_zeros(size, (Kind::Float, Device::Cpu)).unwrap()
    }

    #[test]
    fn a_difference_copies_nothing_and_names_all_of_it() {
        let (a, b) = (zeros(&[1]), zeros(&[2]));
        let source = BTreeMap::from([
            ("a".to_owned(), Tensor::f_from_slice(&[7.0f32]).unwrap()),
            ("b".to_owned(), zeros(&[3])),
            ("d".to_owned(), zeros(&[1])),
        ]);
        let names = ["a", "b", "c"].map(str::to_owned);
        let targets = names.iter().zip([&a, &b, &b]);
        let difference = copy_state(targets, &source).unwrap().unwrap_err();
        assert_eq!(difference.to_string(), "missing: c; unexpected: d; of another shape: b ([3] instead of [2])");
        assert_eq!(a.f_double_value(&[0]).unwrap(), 0.0);
    }

    #[test]
    fn a_long_difference_is_cut() {
        let source = (0..7).map(|index| (format!("x{index}"), zeros(&[1]))).collect();
        let difference = copy_state([], &source).unwrap().unwrap_err();
        assert_eq!(difference.to_string(), "unexpected: x0, x1, x2, x3 and 3 more");
    }

    #[test]
    fn a_copy_converts_and_keeps_the_tensor() {
        let target = zeros(&[2]).set_requires_grad(true);
        let source = BTreeMap::from([("a".to_owned(), Tensor::f_from_slice(&[1.0f64, 2.0]).unwrap())]);
        copy_state([(&"a".to_owned(), &target)], &source).unwrap().unwrap();
        assert_eq!(Vec::<f32>::try_from(&target).unwrap(), [1.0, 2.0]);
        assert!(target.requires_grad());
    }
}
