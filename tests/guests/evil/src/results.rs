//! A strategy of each role, with the misbehaviours that are about its result.

use lossmith_sdk::prelude::*;

use crate::common;

/// Declares the strategy of a role, and whether it misbehaves in this call.
macro_rules! evil {
    ($($strategy:ident)*) => {
        $(
            strategy! {
                /// Behaves, except in epoch 1.
                pub struct $strategy as "evil" {
                    /// How it misbehaves.
                    how: String = String::new();
                }
            }

            impl $strategy {
                /// The misbehaviour of this call that is left for the role itself; empty when it is to behave.
                fn how(&self, batch: &Batch, progress: &Progress) -> Result<&str> {
                    if progress.epoch() != 1 {
                        let calls = state::buffer("calls");
                        let calls = calls.map_or(Tensor::ones(&[1], Dtype::Float), |calls| calls + 1.0);
                        state::set_buffer("calls", &calls);
                        return Ok("");
                    }
                    common::misbehave(&self.how, batch)?;
                    Ok(&self.how)
                }
            }
        )*
    };
}

evil! { EvilLoss EvilMiner EvilTransfer EvilBalance EvilSchedule EvilFusion }

fn vector(numbers: &[i64]) -> Tensor {
    Tensor::from_integers(numbers, &[numbers.len() as i64])
}

/// Wrong scalars of a loss or a balance, made from a right one and an input.
fn scalar(how: &str, right: Tensor, input: &Tensor) -> Tensor {
    match how {
        "matrix" => input * 2.0,
        "empty" => input.narrow(0, 0, 0),
        "input" => input.slices(1, 0).remove(0),
        "nan" => right * f64::NAN,
        "infinity" => right * f64::INFINITY,
        "no-gradient" => right.detach(),
        "constant" => Tensor::ones(&[], Dtype::Float),
        "integer" => right.to_dtype(Dtype::Integer),
        "boolean" => right.gt(0.0),
        "one-by-one" => right.reshape(&[1, 1]),
        "with-gradients-shape" => right.with_gradients(&[(input, &right)]),
        "with-gradients-nan" => right.with_gradients(&[(input, &(input * f64::NAN))]),
        _ => right,
    }
}

strategy! {
    /// Behaves up to a step.
    pub struct EvilLater as "evil-later" {
        /// How it misbehaves then.
        how: String = String::new();
        /// The first step in which it misbehaves.
        after: i64 = 0, range 0..;
    }
}

impl Loss for EvilLater {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let embeddings = batch.embeddings();
        let right = embeddings.square().mean(ALL);
        if self.how.is_empty() || progress.step() < self.after as u64 {
            return Ok(right);
        }
        common::misbehave(&self.how, batch)?;
        Ok(scalar(&self.how, right, &embeddings))
    }
}

impl Loss for EvilLoss {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let how = self.how(batch, progress)?;
        let embeddings = batch.embeddings();
        Ok(match how {
            "embeddings" => embeddings,
            "labels" => batch.labels().select(0, 0),
            _ => scalar(how, embeddings.square().mean(ALL), &embeddings),
        })
    }
}

impl Miner for EvilMiner {
    fn mine(&self, batch: &Batch, progress: &Progress) -> Result<Tuples> {
        let how = self.how(batch, progress)?;
        let size = batch.size();
        let all = Tensor::arange(0, size);
        Ok(match how {
            "outside" => Tuples::triplets(&all, &all, &(Tensor::arange(1, size + 1))),
            "negative" => Tuples::pairs(&all, &all, &Tensor::arange(-1, 2), &Tensor::arange(0, 3)),
            "lengths" => Tuples::triplets(&all, &all, &vector(&[0])),
            "lengths-of-pairs" => Tuples::pairs(&all, &all, &all, &vector(&[0])),
            "floats" => Tuples::triplets(&all.to_float(), &all, &all),
            "booleans" => Tuples::triplets(&all, &all.gt(0.0), &all),
            "matrix" => Tuples::triplets(&all.unsqueeze(1), &all.unsqueeze(1), &all.unsqueeze(1)),
            _ => Tuples::triplets(&all, &all.flip(&[0]), &all),
        })
    }
}

impl Transfer for EvilTransfer {
    fn pair_losses(&self, batch: &Batch, progress: &Progress) -> Result<PairLosses<'static>> {
        let how = self.how(batch, progress)?;
        let embeddings = batch.embeddings();
        let right = embeddings.matmul(&embeddings.transpose(0, 1));
        let (values, divisor) = match how {
            "not-square" => (right.narrow(1, 0, 2), 1.0),
            "vector" => (right.sum(1), 1.0),
            "larger" => (right.repeat(&[2, 2]), 1.0),
            "divisor-zero" => (right, 0.0),
            "divisor-negative" => (right, -2.0),
            "divisor-nan" => (right, f64::NAN),
            "divisor-infinite" => (right, f64::INFINITY),
            "no-gradient" => (right.detach(), 1.0),
            "integer" => (right.to_dtype(Dtype::Integer), 1.0),
            _ => (right, 2.0),
        };
        let pairs = PairLosses::new(&values, divisor);
        Ok(match how {
            "part-shape" => pairs.with_part("pull", &values.sum(1)),
            "part-twice" => pairs.with_part("pull", &values).with_part("pull", &values),
            "parts" => (0..100).fold(pairs, |pairs, part| pairs.with_part(&part.to_string(), &values)),
            _ => pairs,
        })
    }
}

impl Balance for EvilBalance {
    fn weigh(&self, pairs: &PairLosses, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let how = self.how(batch, progress)?;
        let values = pairs.values();
        Ok(match how {
            "pairs" => values,
            _ => scalar(how, values.sum(ALL) / pairs.divisor(), &values),
        })
    }
}

impl Schedule for EvilSchedule {
    fn thresholds(&self, batch: &Batch, progress: &Progress) -> Result<Vec<f64>> {
        let how = self.how(batch, progress)?;
        let count = batch.slice_count() as usize;
        Ok(match how {
            "none" => Vec::new(),
            "too-few" => vec![0.5; count - 1],
            "too-many" => vec![0.5; count + 1],
            "nan" => vec![f64::NAN; count],
            "infinity" => vec![f64::INFINITY; count],
            _ => vec![0.5; count],
        })
    }
}

impl Fusion for EvilFusion {
    fn fuse(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let how = self.how(batch, progress)?;
        let embeddings = batch.embeddings();
        Ok(match how {
            "vector" => embeddings.sum(1),
            "rows" => embeddings.narrow(0, 0, 2),
            "cube" => embeddings.unsqueeze(2),
            "integer" => embeddings.to_dtype(Dtype::Integer),
            "nan" => &embeddings * f64::NAN,
            "infinity" => &embeddings * f64::INFINITY,
            "labels" => batch.labels(),
            _ => embeddings * 2.0,
        })
    }
}
