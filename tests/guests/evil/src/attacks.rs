//! Attacks on what an operation costs, and on what is held outside of the call: each is chosen by name, and sized by
//! numbers.

use std::mem::forget;

use lossmith_sdk::prelude::*;

strategy! {
    /// Orders work or memory that is not in proportion to what it seems to take.
    pub struct AttackLoss as "attack" {
        /// Which.
        how: String = String::new();
        /// How many.
        n: i64 = 0, range 0..;
        /// How large.
        m: i64 = 0, range 0..;
        /// The first step in which it attacks.
        after: i64 = 0, range 0..;
    }
}

fn one() -> Tensor {
    Tensor::ones(&[1], Dtype::Float)
}

fn integers(count: i64) -> Tensor {
    Tensor::zeros(&[1], Dtype::Integer).expand(&[count])
}

fn mask(count: i64) -> Tensor {
    Tensor::zeros(&[1], Dtype::Boolean).expand(&[count])
}

/// One operation on views that take no memory and are as large as `n` says.
fn single(how: &str, n: i64, m: i64) -> bool {
    let floats = || one().expand(&[n]);
    let columns = || one().expand(&[n / 2, 2]);
    match how {
        "cumsum-mask" => drop(mask(n).cumsum(0)),
        "sort" => drop(floats().sort(0, false)),
        "sort-integers" => drop(integers(n).sort(0, false)),
        "topk" => drop(floats().topk(n, 0, true)),
        "unique" => drop(integers(n).unique()),
        "unique-mask" => drop(mask(n).unique()),
        "one-hot" => drop(integers(n).one_hot(2)),
        "searchsorted" => drop(floats().searchsorted(&floats(), false)),
        "searchsorted-in" => drop(one().expand(&[m]).searchsorted(&floats(), false)),
        "nonzero" => drop(mask(n).nonzero()),
        "mask-to-integer" => drop(mask(n).to_dtype(Dtype::Integer)),
        "mask-to-float" => drop(mask(n).to_float()),
        "mask-plus" => drop(mask(n) + 1.0),
        "mask-times-float" => drop(mask(n) * floats()),
        "add" => drop(floats() + floats()),
        "exp" => drop(floats().exp()),
        "softplus" => drop(floats().softplus(2.0)),
        "smooth-l1" => drop(floats().smooth_l1(&floats(), 1.0)),
        "clamp" => drop(floats().clamp(0.0, 1.0)),
        "logical-not" => drop(mask(n).logical_not()),
        "gt" => drop(floats().gt(0.0)),
        "eq" => drop(floats().eq(&floats())),
        "is-finite" => drop(floats().is_finite()),
        "where" => drop(mask(n).where_(&floats(), &floats())),
        "masked-fill" => drop(floats().masked_fill(&mask(n), 0.0)),
        "masked-select" => drop(floats().masked_select(&mask(n))),
        "zeros-like" => drop(floats().zeros_like()),
        "flip" => drop(floats().flip(&[0])),
        "repeat" => drop(floats().repeat(&[2])),
        "cat" => drop(Tensor::cat(&[&floats(), &floats()], 0)),
        "stack" => drop(Tensor::stack(&[&floats(), &floats()], 0)),
        "tril" => drop(columns().tril(0)),
        "diag-embed" => drop(one().expand(&[m]).diag_embed()),
        "reshape" => drop(columns().transpose(0, 1).reshape(&[-1])),
        "softmax" => drop(columns().softmax(1)),
        "log-softmax" => drop(columns().log_softmax(1)),
        "normalize" => drop(columns().normalize(2.0, 1)),
        "logsumexp" => drop(floats().logsumexp(ALL)),
        "sum-rows" => drop(columns().sum(1)),
        "amax-rows" => drop(columns().amax(1)),
        "max-rows" => drop(columns().max(1)),
        "argmax-rows" => drop(columns().argmax(1)),
        "any-rows" => drop(columns().gt(0.0).any(1)),
        "gather" => drop(one().gather(0, &integers(n))),
        "index-select" => drop(one().index_select(0, &integers(n))),
        "index-select-rows" => drop(one().expand(&[1, m]).index_select(0, &integers(m))),
        "at" => drop(Tensor::ones(&[1, 1], Dtype::Float).at(&integers(n), &integers(n))),
        "scatter-add" => drop(floats().scatter_add(0, &integers(1), &one())),
        "index-add" => drop(floats().index_add(0, &integers(1), &one())),
        "index-add-source" => {
            drop(Tensor::zeros(&[1, 1], Dtype::Float).index_add(0, &integers(n), &one().expand(&[n, 1])))
        }
        "index-copy" => drop(floats().index_copy(0, &integers(1), &one())),
        "matmul-integers" => {
            let cell = Tensor::zeros(&[1, 1], Dtype::Integer);
            drop(cell.expand(&[n, m]).matmul(&cell.expand(&[m, n])));
        }
        "pow-integers" => drop(integers(n).pow(&integers(n))),
        "outer" => drop(one().expand(&[m, 1]).matmul(&one().expand(&[1, m]))),
        "distances" => drop(one().expand(&[m, 1]).distance_matrix(&one().expand(&[m, 1]))),
        "cosines" => drop(one().expand(&[m, 1]).cosine_matrix(&one().expand(&[m, 1]))),
        "bincount" => drop(integers(n).bincount(3)),
        "sum" => drop(floats().sum(ALL)),
        "norm" => drop(floats().norm(3.7, ALL)),
        "variance" => drop(floats().variance(ALL, 1)),
        "permutation" => drop(random::permutation(n)),
        "slices" => drop(floats().slices(n, 0)),
        "sum-dims" => drop(floats().sum(vec![0; n as usize].as_slice())),
        "reshape-list" => drop(one().reshape(&vec![1; n as usize])),
        _ => return false,
    }
    true
}

impl AttackLoss {
    /// Operations with a backward pass, each result dropped at once: only the graph has what it needs.
    fn graph(&self, x: &Tensor) -> bool {
        if !self.how.starts_with("graph-") {
            return false;
        }
        let (n, m) = (self.n, self.m);
        let mut y = x.sum(ALL).expand(&[m]) * 1.0;
        let constant = || random::uniform(&[m]);
        let indices = || random::permutation(m);
        for _ in 0..n {
            y = match self.how.as_str() {
                "graph-sin" => y.sin(),
                "graph-exp" => (&y * 1e-9).exp(),
                "graph-times-constant" => y * constant(),
                "graph-where" => constant().gt(0.5).where_(&y, &y),
                "graph-masked-fill" => y.masked_fill(&constant().gt(0.5), 0.0),
                "graph-gather" => y.gather(0, &indices()),
                "graph-sort" => y.sort(0, false).0,
                "graph-safe-sqrt" => y.safe_sqrt(),
                "graph-pow" => y.pow(2.0),
                "graph-matmul" => {
                    let column = constant().reshape(&[m, 1]);
                    y.reshape(&[1, m]).matmul(&column).reshape(&[1]).expand(&[m]) * 1.0
                }
                "graph-softplus" => y.softplus(2.0),
                _ => return false,
            };
        }
        true
    }

    /// Memory that outlives its handle.
    fn holds(&self, progress: &Progress) -> bool {
        let (n, m) = (self.n, self.m);
        let big = || Tensor::ones(&[m], Dtype::Float);
        match self.how.as_str() {
            "tuples-hold" => (0..n).for_each(|_| {
                let vector = Tensor::arange(0, m);
                forget(Tuples::triplets(&vector, &vector, &vector));
            }),
            "pair-losses-hold" => (0..n).for_each(|_| forget(PairLosses::new(&big(), 1.0))),
            "views-hold" => (0..n).for_each(|_| forget(big().narrow(0, 0, 1))),
            "detached-hold" => (0..n).for_each(|_| forget(big().narrow(0, 0, 1).detach().unsqueeze(0))),
            "slices-hold" => (0..n).for_each(|_| forget(big().slices(2, 0).remove(0))),
            "metrics-hold" => (0..n).for_each(|k| report::metric(&k.to_string(), &big().narrow(0, 0, 1))),
            "names" => {
                let name = "x".repeat(m as usize);
                (0..n).for_each(|_| assert!(progress.metric(&name).is_none()));
            }
            "state-names" => {
                let name = "x".repeat(m as usize);
                (0..n).for_each(|_| drop(state::buffer(&name)));
            }
            _ => return false,
        }
        true
    }
}

impl Loss for AttackLoss {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let x = batch.embeddings();
        let right = x.square().mean(ALL);
        if self.how.is_empty() || (progress.step() as i64) < self.after {
            return Ok(right);
        }
        let (n, m) = (self.n, self.m);
        if single(&self.how, n, m) || self.graph(&x) || self.holds(progress) {
            return Ok(right);
        }
        match self.how.as_str() {
            "with-gradients" => {
                let (value, gradient) = (x.sum(ALL), Tensor::ones(&[], Dtype::Float));
                let pairs: Vec<_> = (0..n).map(|_| (&value, &gradient)).collect();
                Ok(right.with_gradients(&pairs))
            }
            // Its derivative is of sources of the index's shape only.
            "no-backward" => {
                let zeros = Tensor::zeros(&[x.size(0), x.size(1)], Dtype::Float);
                let first = Tensor::zeros(&[1, 1], Dtype::Integer);
                Ok(zeros.scatter_add(0, &first, &x).sum(ALL) + right)
            }
            other => Err(format!("there is no attack `{other}`").into()),
        }
    }
}

strategy! {
    /// Finds tuples again and again.
    pub struct AttackMiner as "attack" {
        /// Triplets, or pairs.
        how: String = "triplets".to_owned();
        /// How many.
        n: i64 = 1, range 0..;
    }
}

impl Miner for AttackMiner {
    fn mine(&self, _: &Batch, _: &Progress) -> Result<Tuples> {
        let (first, second) = (integers(self.n), Tensor::ones(&[1], Dtype::Integer).expand(&[self.n]));
        Ok(match self.how.as_str() {
            "pairs" => Tuples::pairs(&first, &first, &first, &second),
            _ => Tuples::triplets(&first, &first, &second),
        })
    }
}

strategy! {
    /// Pair losses that are wrong, from a step on.
    pub struct AttackTransfer as "attack" {
        /// How.
        how: String = String::new();
        /// The first step in which it attacks.
        after: i64 = 0, range 0..;
    }
}

impl Transfer for AttackTransfer {
    fn pair_losses(&self, batch: &Batch, progress: &Progress) -> Result<PairLosses<'static>> {
        let x = batch.embeddings();
        let right = x.matmul(&x.transpose(0, 1)).square();
        if (progress.step() as i64) < self.after {
            return Ok(PairLosses::new(&right, 1.0));
        }
        let pairs = |values: &Tensor| PairLosses::new(values, 1.0);
        Ok(match self.how.as_str() {
            "nan" => pairs(&(&right * f64::NAN)),
            "infinity" => pairs(&(&right * f64::INFINITY)),
            "huge" => pairs(&(&right * 1e38 * 1e3)),
            "negative" => pairs(&-&right),
            "part-nan" => pairs(&right).with_part("pull", &(&right * f64::NAN)).with_part("push", &right),
            "part-integer" => pairs(&right).with_part("pull", &right.to_dtype(Dtype::Integer)),
            "by-value" => pairs(&(if right.sum(ALL).item() > 1e-3 { &right * f64::NAN } else { &right * 1.0 })),
            "no-backward" => {
                let first = Tensor::zeros(&[1, 1], Dtype::Integer);
                pairs(&(&right * 0.0).detach().scatter_add(0, &first, &right))
            }
            _ => pairs(&right),
        })
    }
}

strategy! {
    /// Weights that are wrong, from a step on.
    pub struct AttackBalance as "attack" {
        /// How.
        how: String = String::new();
        /// The first step in which it attacks.
        after: i64 = 0, range 0..;
    }
}

impl Balance for AttackBalance {
    fn weigh(&self, pairs: &PairLosses, _: &Batch, progress: &Progress) -> Result<Tensor> {
        let values = pairs.values();
        let right = values.mean(ALL);
        if (progress.step() as i64) < self.after {
            return Ok(right);
        }
        Ok(match self.how.as_str() {
            "nan" => right * f64::NAN,
            "infinity" => (values * f64::INFINITY).mean(ALL),
            "detach" => right.detach(),
            "shape" => values,
            "huge" => right * 1e38 * 1e38,
            "part" => match pairs.part("pull") {
                Some(part) => part.mean(ALL),
                None => right,
            },
            "by-value" if right.item() > 0.0 => right * f64::NAN,
            "no-backward" => {
                let first = Tensor::zeros(&[1, 1], Dtype::Integer);
                (&values * 0.0).detach().scatter_add(0, &first, &values).mean(ALL)
            }
            _ => right,
        })
    }
}

strategy! {
    /// Thresholds of one value.
    pub struct AttackSchedule as "attack" {
        /// The value.
        value: f64 = 1e308;
    }
}

impl Schedule for AttackSchedule {
    fn thresholds(&self, batch: &Batch, _: &Progress) -> Result<Vec<f64>> {
        Ok(vec![self.value; batch.slice_count() as usize])
    }
}

strategy! {
    /// Fused embeddings of a wrong shape, or without a way back, from a step on.
    pub struct AttackFusion as "attack" {
        /// How.
        how: String = String::new();
        /// How many columns.
        n: i64 = 0, range 0..;
        /// The first step in which it attacks.
        after: i64 = 0, range 0..;
    }
}

impl Fusion for AttackFusion {
    fn fuse(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let x = batch.embeddings();
        if (progress.step() as i64) < self.after {
            return Ok(x * 1.0);
        }
        Ok(match self.how.as_str() {
            "wide" => x.narrow(1, 0, 1).expand(&[-1, self.n]),
            "zero" => x.narrow(1, 0, 0),
            "by-size" => x.narrow(1, 0, 1 + batch.size() % 2),
            "by-step" => x.narrow(1, 0, 1 + progress.step() as i64 % 2),
            "detach" => x.detach(),
            "constant" => Tensor::ones(&[batch.size(), 4], Dtype::Float),
            "no-backward" => {
                let first = Tensor::zeros(&[1, 1], Dtype::Integer);
                (&x * 0.0).detach().scatter_add(0, &first, &x)
            }
            _ => x * 1.0,
        })
    }
}
