//! Small calls that order a lot of memory or work from the host.

use std::mem::forget;

use lossmith_sdk::prelude::*;

pub(crate) fn explode(how: &str) {
    let ones = |shape: &[i64]| Tensor::ones(shape, Dtype::Float);
    let integer = |number: i64| Tensor::from_integers(&[number], &[1]);
    let million = 1_000_000;
    match how {
        "zeros" => drop(Tensor::zeros(&[1 << 40], Dtype::Float)),
        "zeros-overflow" => drop(Tensor::zeros(&[1 << 40, 1 << 40], Dtype::Float)),
        "rank" => drop(Tensor::zeros(&[1; 10_000], Dtype::Float)),
        "rank-by-unsqueeze" => {
            let mut x = ones(&[1]);
            loop {
                x = x.unsqueeze(0);
            }
        }
        "arange" => drop(Tensor::arange(i64::MIN, i64::MAX)),
        "linspace" => drop(Tensor::linspace(0.0, 1.0, 1 << 40)),
        "eye" => drop(Tensor::eye(million)),
        "random" => drop(random::uniform(&[1 << 40])),
        "permutation" => drop(random::permutation(1 << 40)),
        "broadcast" => drop(ones(&[million, 1]) + ones(&[1, million])),
        "where" => drop(ones(&[million, 1]).gt(0.0).where_(&ones(&[1, million]), &ones(&[1]))),
        "masked-fill" => drop(ones(&[million, 1]).masked_fill(&ones(&[1, million]).gt(0.0), 0.0)),
        "masked-select" => drop(ones(&[million, 1]).masked_select(&ones(&[1, million]).gt(0.0))),
        "expand" => drop(ones(&[1]).expand(&[1 << 40])),
        "expand-twice" => drop(ones(&[million, 1]).expand(&[-1, million])),
        "repeat" => drop(ones(&[million]).repeat(&[million])),
        "one-hot" => drop(Tensor::arange(0, million).one_hot(million)),
        "one-hot-by-value" => drop(integer(1 << 40).one_hot(-1)),
        "bincount" => drop(integer(0).bincount(1 << 40)),
        "bincount-by-value" => drop(integer(1 << 40).bincount(3)),
        "diag-embed" => drop(ones(&[million]).diag_embed()),
        "cat" => {
            let x = ones(&[million]);
            drop(Tensor::cat(&vec![&x; 10_000], 0));
        }
        "stack" => {
            let x = ones(&[million]);
            drop(Tensor::stack(&vec![&x; 10_000], 0));
        }
        "outer-product" => drop(ones(&[million, 1]).matmul(&ones(&[1, million]))),
        "batched-product" => drop(ones(&[million, 1, 1, 1]).matmul(&ones(&[1, million, 1, 1]))),
        "distances" => drop(ones(&[million, 1]).distance_matrix(&ones(&[million, 1]))),
        "batched-cosines" => drop(ones(&[million, 1, 1, 1]).cosine_matrix(&ones(&[1, million, 1, 1]))),
        "index-select" => drop(ones(&[1, million]).index_select(0, &Tensor::zeros(&[million], Dtype::Integer))),
        "at" => {
            let zeros = Tensor::zeros(&[million], Dtype::Integer);
            drop(ones(&[1, 1]).at(&zeros.unsqueeze(1), &zeros.unsqueeze(0)));
        }
        "nonzero" => drop(ones(&[1, 1, 1, 1, 1, 1, 1, 1]).gt(0.0).expand(&[1000, 1000, 1, 1, 1, 1, 1, 2]).nonzero()),
        // Host work in a loop, or in one call: fuel does not see it.
        "matmul" => {
            let x = ones(&[128, 128]);
            loop {
                drop(x.matmul(&x));
            }
        }
        "one-matmul" => {
            let x = ones(&[1000, 1000]);
            drop(x.matmul(&x));
        }
        "reads" => {
            let x = ones(&[1000]);
            loop {
                drop(x.to_doubles());
            }
        }
        "copies" => {
            let x = ones(&[100_000]);
            loop {
                drop(&x + 1.0);
            }
        }
        "gradients" => {
            let x = state::parameter("leaf", 1.0, || ones(&[1]));
            let y = (x.expand(&[100_000]) * 2.0).sum(ALL);
            loop {
                forget(y.gradient(&[&x]));
            }
        }
        _ => {}
    }
}
