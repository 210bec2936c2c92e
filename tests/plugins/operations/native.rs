//! What libtorch makes of two 4 x 3 matrices for each function of the contract. The guest `operations` has the same
//! table.

use tch::{Device, Kind, Reduction, Tensor};

const FLOAT: (Kind, Device) = (Kind::Double, Device::Cpu);
const INTEGER: (Kind, Device) = (Kind::Int64, Device::Cpu);

fn integers(numbers: &[i64]) -> Tensor {
    Tensor::from_slice(numbers)
}

fn floats(numbers: &[f64]) -> Tensor {
    Tensor::from_slice(numbers)
}

/// Over dimension 1, over all but with these kept, over all, over all kept: as the guest's `reductions!`.
fn reductions(run: impl Fn(&[i64], bool) -> Tensor) -> Vec<Tensor> {
    vec![run(&[1], false), run(&[0, -1], true), run(&[0, 1], false), run(&[0, 1], true)]
}

fn pair((values, indices): (Tensor, Tensor)) -> Vec<Tensor> {
    vec![values, indices]
}

/// Distances row by row, by the definition; the gradient at distance 0 is that of `norm`, 0.
fn distances(a: &Tensor, b: &Tensor) -> Tensor {
    (a.unsqueeze(-2) - b.unsqueeze(-3)).norm_scalaropt_dim(2.0, [-1_i64], false)
}

pub(super) fn apply(name: &str, a: &Tensor, b: &Tensor) -> Vec<Tensor> {
    let mask = a.gt_tensor(b);
    let six = integers(&[3, 1, 3, 0, 1, 1]);
    let count = Tensor::arange(6, INTEGER);
    let constant = || a.detach();
    let odd = floats(&[f64::NAN, f64::INFINITY, 0.0]);

    match name {
        "shape" => vec![integers(&[2, 3]), integers(&[])],
        "dtype" => vec![floats(&[1.0, 2.0, 3.0])],
        "requires-grad" => vec![floats(&[1.0, 0.0, 0.0])],
        "zeros" => {
            [Kind::Double, Kind::Int64, Kind::Bool].map(|kind| Tensor::zeros([2, 3], (kind, Device::Cpu))).into()
        }
        "ones" => [Kind::Double, Kind::Int64, Kind::Bool].map(|kind| Tensor::ones([3], (kind, Device::Cpu))).into(),
        "full" => vec![floats(&[-0.3, -0.3]).reshape([2, 1])],
        "arange" => vec![integers(&[-2, -1, 0, 1, 2, 3, 4]), integers(&[])],
        "linspace" => vec![floats(&[-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0])],
        "eye" => vec![floats(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]).reshape([3, 3])],
        "zeros-like" => vec![Tensor::zeros([4, 3], FLOAT), Tensor::zeros([4, 3], (Kind::Bool, Device::Cpu))],
        "ones-like" => vec![Tensor::ones([4, 3], FLOAT), Tensor::ones([6], INTEGER)],
        "from-floats" => vec![floats(&[0.5, -1.25, 3.0, 4.0, 0.0, 7.5]).reshape([2, 3])],
        "from-doubles" => vec![floats(&[0.1, -0.2, 1e-300, 4.0]).reshape([2, 2])],
        "from-integers" => vec![integers(&[1, -2, i64::MAX, 4]).reshape([4, 1])],
        "to-floats" => vec![constant().transpose(0, 1).to_kind(Kind::Float).to_kind(Kind::Double)],
        "to-doubles" => vec![constant().transpose(0, 1)],
        "to-integers" => vec![(constant() * 10.0).to_kind(Kind::Int64), mask.to_kind(Kind::Int64)],
        "item" => vec![Tensor::stack(&[constant().get(2).get(1), mask.sum(Kind::Double)], 0)],
        "to-dtype" => vec![
            (a * 10.0).to_kind(Kind::Int64),
            mask.to_kind(Kind::Double),
            six.to_kind(Kind::Double),
            six.to_kind(Kind::Bool),
        ],
        "detach" => vec![constant()],
        "gradient" => vec![2.0 * constant() * b.detach(), constant().square()],
        // The bracket is 0, its derivative the constant beside it.
        "with-gradients" => vec![
            a.sum(Kind::Double).detach()
                + ((a - a.detach()) * b.detach()).sum(Kind::Double)
                + ((b - b.detach()) * a.detach().square()).sum(Kind::Double),
        ],

        "add" => vec![a + b, a + b.get(0)],
        "sub" => vec![a - b],
        "mul" => vec![a * b, a.narrow(1, 0, 1) * b.narrow(0, 0, 1)],
        "div" => vec![a / b],
        "pow" => vec![a.pow(b)],
        "minimum" => vec![a.fmin(b)],
        "maximum" => vec![a.fmax(b)],
        "add-scalar" => vec![a + 0.3],
        "sub-scalar" => vec![a - 0.3],
        "rsub-scalar" => vec![0.3 - a, 0.3 - a, 2.0 - a, 0.3 - a],
        "mul-scalar" => vec![a * 0.3],
        "div-scalar" => vec![a / 0.3, a / 3.0, a / 4.0, a / 0.3],
        "rdiv-scalar" => vec![0.3 / b, 2.0 / b],
        "pow-scalar" => vec![(a.log() * 1.7).exp()],

        "neg" => vec![-a],
        "abs" => vec![a.abs()],
        "sign" => vec![a.sign()],
        "exp" => vec![a.exp()],
        "expm1" => vec![a.exp() - 1.0],
        "log" => vec![a.log()],
        "log1p" => vec![(a + 1.0).log()],
        "sqrt" => vec![a.pow_tensor_scalar(0.5)],
        // Where the root is not taken, a constant stands in for it.
        "safe-sqrt" => {
            let positive = a.gt(0.0);
            let root = a.where_self(&positive, &a.ones_like()).sqrt().where_self(&positive, &a.zeros_like());
            vec![root.shallow_clone(), root]
        }
        "rsqrt" => vec![a.pow_tensor_scalar(-0.5)],
        "square" => vec![a * a],
        "reciprocal" => vec![1.0 / b],
        "sin" => vec![a.sin()],
        "cos" => vec![a.cos()],
        "tan" => vec![a.sin() / a.cos()],
        "asin" => vec![a.arcsin()],
        "acos" => vec![a.arccos()],
        "atan" => vec![a.arctan()],
        "sinh" => vec![((a * 3.0).exp() - (a * -3.0).exp()) / 2.0],
        "cosh" => vec![((a * 3.0).exp() + (a * -3.0).exp()) / 2.0],
        // The derivatives of the small ones are 1 and of the large ones sign(x) / |x|, as far as 64 bits tell.
        "asinh" => {
            let x = a * 3.0;
            let of = ((&x * &x + 1.0).sqrt() + &x).log();
            let far = a.sign() * (a.abs().log() + (2e100_f64).ln());
            vec![of, a * 1e-9, far]
        }
        "acosh" => {
            let x = a * a + 1.5;
            vec![((&x * &x - 1.0).sqrt() + &x).log()]
        }
        "atanh" => {
            let x = a / 2.0;
            vec![((&x + 1.0) / (-&x + 1.0)).log() / 2.0, a * 1e-9]
        }
        "tanh" => vec![1.0 - 2.0 / ((a * 2.0).exp() + 1.0)],
        "sigmoid" => vec![1.0 / ((-a).exp() + 1.0)],
        "log-sigmoid" => vec![-((-a).exp() + 1.0).log()],
        "relu" => vec![a.clamp_min(0.0)],
        "softplus" => vec![((a * 2.5).exp() + 1.0).log() / 2.5],
        "erf" => vec![a.special_erf()],
        "floor" => vec![(a * 4.0).floor()],
        "ceil" => vec![(a * 4.0).ceil()],
        "round" => vec![(a * 4.0).round(), floats(&[0.0, 2.0, 0.0])],
        "clamp" => vec![a.clamp(-0.2, 0.4), a.clamp_min(0.1), a.clamp_max(0.2)],
        "smooth-l1" => [0.3, 2.0].map(|beta| a.smooth_l1_loss(b, Reduction::None, beta)).into(),

        "eq" => vec![six.eq_tensor(&count), a.eq_tensor(&a.get(1)), a.eq_tensor(&odd)],
        "ne" => vec![six.ne_tensor(&count), a.ne_tensor(&a.get(1)), a.ne_tensor(&odd)],
        "lt" => vec![a.lt_tensor(b), a.lt_tensor(&a.get(1)), a.lt_tensor(&odd)],
        "le" => vec![six.le_tensor(&count), a.le_tensor(&a.get(1)), a.le_tensor(&odd)],
        "gt" => vec![mask, a.gt_tensor(&a.get(1)), a.gt_tensor(&odd)],
        "ge" => vec![six.ge_tensor(&count), a.ge_tensor(&a.get(1)), a.ge_tensor(&odd)],
        "eq-scalar" => vec![six.eq(1)],
        "ne-scalar" => vec![six.ne(1)],
        "lt-scalar" => vec![six.lt(1), a.lt(0.3)],
        "le-scalar" => vec![six.le(1)],
        "gt-scalar" => vec![six.gt(1), a.gt(0.3)],
        "ge-scalar" => vec![six.ge(1)],
        "logical-and" => vec![mask.bitwise_and_tensor(&a.gt(0.3))],
        "logical-or" => vec![mask.bitwise_or_tensor(&a.gt(0.3))],
        "logical-xor" => vec![mask.bitwise_xor_tensor(&a.gt(0.3))],
        "logical-not" => vec![mask.bitwise_not(), six.eq(0)],
        "is-finite" => vec![Tensor::from_slice(&[true, false, false, false])],
        "where" => vec![a.where_self(&mask, &(b * 2.0))],
        "masked-fill" => vec![Tensor::full([4, 3], 7.5, FLOAT).where_self(&mask, a)],

        "sum" => {
            let mut all = reductions(|dims, keep| a.sum_dim_intlist(dims, keep, Kind::Double));
            all.push(mask.to_kind(Kind::Int64).sum_dim_intlist(0, false, Kind::Int64));
            all
        }
        "mean" => reductions(|dims, keep| a.mean_dim(dims, keep, Kind::Double)),
        "variance" => {
            let mut all = reductions(|dims, keep| a.var_dim(dims, true, keep));
            all.push(a.var_dim(1, false, false));
            all
        }
        "amax" => reductions(|dims, keep| a.amax(dims, keep)),
        "amin" => reductions(|dims, keep| a.amin(dims, keep)),
        "max" => [pair(a.max_dim(1, false)), pair(constant().max_dim(0, true))].into_iter().flatten().collect(),
        "min" => [pair(a.min_dim(1, false)), pair(constant().min_dim(0, true))].into_iter().flatten().collect(),
        "argmax" => vec![a.argmax(1, false), a.argmax(0, true)],
        "argmin" => vec![a.argmin(1, false), a.argmin(0, true)],
        "any" => reductions(|dims, keep| mask.to_kind(Kind::Int64).amax(dims, keep).to_kind(Kind::Bool)),
        "all" => reductions(|dims, keep| mask.to_kind(Kind::Int64).amin(dims, keep).to_kind(Kind::Bool)),
        "logsumexp" => reductions(|dims, keep| a.exp().sum_dim_intlist(dims, keep, Kind::Double).log()),
        "norm" => {
            let powers = a.square();
            let mut all = reductions(|dims, keep| powers.sum_dim_intlist(dims, keep, Kind::Double).sqrt());
            all.push(a.abs().sum_dim_intlist(1, false, Kind::Double));
            all.push(
                a.abs().pow_tensor_scalar(3.0).sum_dim_intlist(1, false, Kind::Double).pow_tensor_scalar(1.0 / 3.0),
            );
            all.push(a.abs().amax(1, false));
            all.push(a.ne(0.0).sum_dim_intlist(1, false, Kind::Double));
            // The 2-norm at 0, with gradient 0.
            all.push((a * 0.0).sum_dim_intlist(1, false, Kind::Double));
            all
        }
        "softmax" => vec![a.exp() / a.exp().sum_dim_intlist(1, true, Kind::Double)],
        "log-softmax" => vec![a - a.exp().sum_dim_intlist(0, true, Kind::Double).log()],
        "cumsum" => vec![Tensor::ones([4, 4], FLOAT).tril(0).matmul(a), integers(&[3, 4, 7, 7, 8, 9])],
        "normalize" => vec![
            a / a.square().sum_dim_intlist(1, true, Kind::Double).sqrt(),
            a / a.abs().sum_dim_intlist(0, true, Kind::Double),
            a * 0.0 / 1e-12,
        ],
        "flip" => vec![a.flip([0]), a.flip([0, 1])],

        "sort" => [
            pair(a.sort(0, false)),
            pair(a.sort(1, true)),
            vec![
                integers(&[3, 3, 1, 1, 1, 0]),
                // Equal values keep their order.
                integers(&[0, 2, 1, 4, 5, 3]),
            ],
        ]
        .into_iter()
        .flatten()
        .collect(),
        "topk" => {
            let (most, at_most) = a.sort(0, true);
            let (least, at_least) = a.sort(1, false);
            vec![most.narrow(0, 0, 2), at_most.narrow(0, 0, 2), least.narrow(1, 0, 2), at_least.narrow(1, 0, 2)]
        }
        "searchsorted" => {
            // How many of the sorted elements are below the value.
            let below = a.unsqueeze(1).lt_tensor(&b.unsqueeze(2)).sum_dim_intlist(2, false, Kind::Int64);
            vec![integers(&[1, 3, 0, 4]), integers(&[3, 3, 0, 4]), below]
        }
        "bincount" => vec![integers(&[1, 3, 0, 2, 0])],
        "unique" => {
            let flat = (constant() * 3.0).round().reshape([-1]);
            let (values, inverse, _) = flat.unique_dim(0, true, true, false);
            vec![integers(&[0, 1, 3]), integers(&[2, 1, 2, 0, 1, 1]), values, inverse.reshape([4, 3])]
        }

        "matmul" => {
            let product = |x: &Tensor| (x.unsqueeze(1) * b.unsqueeze(0)).sum_dim_intlist(2, false, Kind::Double);
            vec![
                product(a),
                Tensor::stack(&[product(a), product(b)], 0),
                (a * b.get(1)).sum_dim_intlist(1, false, Kind::Double),
            ]
        }
        "einsum" => {
            let columns = (a * b).sum_dim_intlist(0, false, Kind::Double);
            let diagonal = [0, 1, 2].map(|place| a.get(place).get(place));
            vec![
                a.matmul(&b.tr()),
                columns.unsqueeze(1).unsqueeze(2) * a,
                Tensor::stack(&diagonal, 0),
                a.sum(Kind::Double),
            ]
        }
        "transpose" => vec![a.tr(), a.tr()],
        "permute" => vec![a.tr().unsqueeze(1)],
        "diagonal" => vec![Tensor::stack(&[a.get(0).get(0), a.get(1).get(1), a.get(2).get(2)], 0)],
        "diag-embed" => vec![a.unsqueeze(2) * Tensor::eye(3, FLOAT)],
        "tril" => [0, -1].map(|k| a * Tensor::ones([4, 3], FLOAT).tril(k)).into(),
        "triu" => [0, 1].map(|k| a * Tensor::ones([4, 3], FLOAT).triu(k)).into(),
        "distance-matrix" => {
            vec![distances(a, b), distances(a, a), Tensor::stack(&[distances(a, b), distances(b, b)], 0)]
        }
        "cosine-matrix" => {
            let cosines =
                |x: &Tensor, y: &Tensor| Tensor::cosine_similarity(&x.unsqueeze(1), &y.unsqueeze(0), 2, 1e-12);
            let unit = b / b.norm_scalaropt_dim(2.0, [1_i64], true);
            vec![cosines(a, b), cosines(a, a), (a * 0.0 / 1e-12).matmul(&unit.tr())]
        }
        "hinge-sums" => {
            let weights = (b.abs() * 3.0).detach().floor();
            let sums = |excess: Tensor| {
                let of_rows = |x: Tensor| (x * &weights).sum_dim_intlist(1, false, Kind::Double);
                [of_rows(excess.relu()), of_rows(excess.gt(0.0).to_kind(Kind::Double))]
            };
            [sums(a - 0.1), sums(0.1 - a)].into_iter().flatten().collect()
        }

        "reshape" => vec![a.contiguous().view([2, 6]), a.tr().contiguous().view([12])],
        "squeeze" => vec![a.select(1, 0), a.shallow_clone()],
        "unsqueeze" => {
            let a = a.contiguous();
            vec![a.view([4, 1, 3]), a.view([4, 3, 1])]
        }
        "expand" => vec![a.narrow(1, 0, 1) * Tensor::ones([1, 5], FLOAT), Tensor::stack(&[a, a], 0)],
        "repeat" => {
            let row = Tensor::cat(&[a, a, a], 1);
            vec![Tensor::cat(&[&row, &row], 0)]
        }
        "cat" => vec![Tensor::vstack(&[a, b, a]), Tensor::hstack(&[a, b])],
        "stack" => vec![Tensor::cat(&[a.unsqueeze(1), b.unsqueeze(1)], 1)],

        "gather" => {
            let picked = [(0, 2), (1, 0), (2, 1), (3, 1)].map(|(row, column)| a.get(row).get(column));
            vec![Tensor::stack(&picked, 0).reshape([4, 1])]
        }
        "index-select" => vec![Tensor::stack(&[a.get(3), a.get(0), a.get(3)], 0), a.narrow(1, 2, 1)],
        "at" => vec![Tensor::stack(&[(3, 2), (0, 1), (3, 0)].map(|(row, column)| a.get(row).get(column)), 0)],
        "masked-select" => vec![a.reshape([-1]).index_select(0, &mask.reshape([-1]).nonzero().reshape([-1]))],
        "nonzero" => {
            let flags = Vec::<bool>::try_from(mask.reshape([-1])).unwrap();
            let places = (0_i64..).zip(flags).filter(|(_, flag)| *flag).flat_map(|(place, _)| [place / 3, place % 3]);
            vec![integers(&places.collect::<Vec<_>>()).reshape([-1, 2])]
        }
        "narrow" => vec![Tensor::stack(&[a.get(1), a.get(2)], 0)],
        "select" => vec![a.narrow(1, 2, 1).reshape([4]), a.get(2)],
        "slices" => (0..3).map(|column| a.narrow(1, column, 1)).collect(),
        "scatter-add" => {
            let place = integers(&[2, 0, 1, 1]).one_hot(3).to_kind(Kind::Double);
            vec![a + place * b.narrow(1, 0, 1)]
        }
        "index-add" => vec![a + integers(&[3, 0, 3]).one_hot(4).to_kind(Kind::Double).tr().matmul(&b.narrow(0, 0, 3))],
        "index-copy" => vec![Tensor::stack(&[b.get(1), a.get(1), a.get(2), b.get(0)], 0)],
        "one-hot" => vec![six.unsqueeze(1).eq_tensor(&Tensor::arange(5, INTEGER)).to_kind(Kind::Double)],
        unknown => {
            panic!("the contract has `{unknown}`, and this table has not: add it here and in the guest `operations`")
        }
    }
}
