//! One call for each function of the interface `tensor`.

use lossmith_sdk::bindings::lossmith::plugin::tensor::Tensor as Raw;
use lossmith_sdk::prelude::*;

/// A reduction over one dimension, over two that stay, over all, and over all that stay.
macro_rules! reductions {
    ($x:expr, |$dims:ident| $method:ident($($argument:expr),*)) => {
        vec![
            { let $dims = 1; $x.$method($($argument),*) },
            { let $dims = keep([0, -1]); $x.$method($($argument),*) },
            { let $dims = ALL; $x.$method($($argument),*) },
            { let $dims = keep(ALL); $x.$method($($argument),*) },
        ]
    };
}

/// What the function `name` makes of two 4 x 3 matrices.
#[expect(clippy::op_ref, reason = "the operators of references are tried, too")]
pub(crate) fn apply(name: &str, a: &Tensor, b: &Tensor) -> Result<Vec<Tensor>> {
    let mask = a.gt(b);
    let vector = |numbers: &[i64]| Tensor::from_integers(numbers, &[numbers.len() as i64]);
    // The same values behind a handle of the bindings, for arguments that the SDK's methods do not offer.
    let raw = || Raw::from_doubles(&a.to_doubles(), &a.shape());
    let two = |(values, indices): (Raw, Raw)| vec![Tensor::from(values), Tensor::from(indices)];
    let both = |(values, indices): (Tensor, Tensor)| vec![values, indices];
    let integers = || Tensor::from_integers(&[3, 1, 3, 0, 1, 1], &[6]);
    let odd = || Tensor::from_doubles(&[f64::NAN, f64::INFINITY, 0.0], &[3]);
    let numbers = |numbers: &[f64]| Tensor::from_doubles(numbers, &[numbers.len() as i64]);

    Ok(match name {
        "shape" => [a.narrow(0, 1, 2), a.sum(ALL)].map(|x| vector(&x.shape())).into(),
        "dtype" => {
            let code = |x: &Tensor| match x.dtype() {
                Dtype::Float => 1.0,
                Dtype::Integer => 2.0,
                Dtype::Boolean => 3.0,
            };
            vec![numbers(&[code(a), code(&integers()), code(&mask)])]
        }
        "requires-grad" => {
            let flag = |x: &Tensor| f64::from(u8::from(x.requires_grad()));
            vec![numbers(&[flag(a), flag(&a.detach()), flag(&mask)])]
        }
        "zeros" => [Dtype::Float, Dtype::Integer, Dtype::Boolean].map(|dtype| Tensor::zeros(&[2, 3], dtype)).into(),
        "ones" => [Dtype::Float, Dtype::Integer, Dtype::Boolean].map(|dtype| Tensor::ones(&[3], dtype)).into(),
        "full" => vec![Tensor::full(&[2, 1], -0.3)],
        "arange" => vec![Tensor::arange(-2, 5), Tensor::arange(3, 3)],
        "linspace" => vec![Tensor::linspace(-1.0, 2.0, 7)],
        "eye" => vec![Tensor::eye(3)],
        "zeros-like" => vec![a.zeros_like(), mask.zeros_like()],
        "ones-like" => vec![a.ones_like(), integers().ones_like()],
        "from-floats" => vec![Tensor::from_floats(&[0.5, -1.25, 3.0, 4.0, 0.0, 7.5], &[2, 3])],
        "from-doubles" => vec![Tensor::from_doubles(&[0.1, -0.2, 1e-300, 4.0], &[2, 2])],
        "from-integers" => vec![Tensor::from_integers(&[1, -2, i64::MAX, 4], &[4, 1])],
        "to-floats" => vec![Tensor::from_floats(&a.transpose(0, 1).to_floats(), &[3, 4])],
        "to-doubles" => vec![Tensor::from_doubles(&a.transpose(0, 1).to_doubles(), &[3, 4])],
        "to-integers" => {
            vec![
                Tensor::from_integers(&(a * 10.0).to_integers(), &[4, 3]),
                Tensor::from_integers(&mask.to_integers(), &[4, 3]),
            ]
        }
        "item" => vec![numbers(&[a.select(0, 2).select(0, 1).item(), mask.sum(ALL).item()])],
        "to-dtype" => vec![
            (a * 10.0).to_dtype(Dtype::Integer),
            mask.to_float(),
            integers().to_float(),
            integers().to_dtype(Dtype::Boolean),
        ],
        "detach" => vec![a.detach()],
        "gradient" => (a * a * b).gradient(&[a, b]),
        "with-gradients" => vec![a.sum(ALL).with_gradients(&[(a, b), (b, &a.square())])],

        "add" => vec![a + b, a + b.select(0, 0)],
        "sub" => vec![a - b],
        "mul" => vec![a * b, a.narrow(1, 0, 1) * b.narrow(0, 0, 1)],
        "div" => vec![a / b],
        "pow" => vec![a.pow(b)],
        "minimum" => vec![a.minimum(b)],
        "maximum" => vec![a.maximum(b)],
        "add-scalar" => vec![a + 0.3],
        "sub-scalar" => vec![a - 0.3],
        "rsub-scalar" => vec![0.3 - a, &0.3 - a, 2 - a, &0.3 - (a * 1)],
        "mul-scalar" => vec![a * 0.3],
        "div-scalar" => vec![a / 0.3, a / 3, a / a.size(0), (a * 1.0) / &0.3],
        "rdiv-scalar" => vec![0.3 / b, 2 / b],
        "pow-scalar" => vec![a.pow(1.7)],

        "neg" => vec![-a],
        "abs" => vec![a.abs()],
        "sign" => vec![a.sign()],
        "exp" => vec![a.exp()],
        "expm1" => vec![a.expm1()],
        "log" => vec![a.log()],
        "log1p" => vec![a.log1p()],
        "sqrt" => vec![a.sqrt()],
        "safe-sqrt" => vec![a.safe_sqrt(), a.relu().safe_sqrt()],
        "rsqrt" => vec![a.rsqrt()],
        "square" => vec![a.square()],
        "reciprocal" => vec![b.reciprocal()],
        "sin" => vec![a.sin()],
        "cos" => vec![a.cos()],
        "tan" => vec![a.tan()],
        "asin" => vec![a.asin()],
        "acos" => vec![a.acos()],
        "atan" => vec![a.atan()],
        "tanh" => vec![a.tanh()],
        "sinh" => vec![(a * 3).sinh()],
        "cosh" => vec![(a * 3).cosh()],
        // Near 0, where the logarithm of its definition is wrong in all digits, and far away.
        "asinh" => vec![(a * 3).asinh(), (a * 1e-9).asinh(), (a * 1e100).asinh()],
        "acosh" => vec![(a.square() + 1.5).acosh()],
        "atanh" => vec![(a / 2).atanh(), (a * 1e-9).atanh()],
        "sigmoid" => vec![a.sigmoid()],
        "log-sigmoid" => vec![a.log_sigmoid()],
        "relu" => vec![a.relu()],
        "softplus" => vec![a.softplus(2.5)],
        "erf" => vec![a.erf()],
        "floor" => vec![(a * 4.0).floor()],
        "ceil" => vec![(a * 4.0).ceil()],
        "round" => vec![(a * 4.0).round(), numbers(&[0.5, 1.5, -0.5]).round()],
        "clamp" => vec![a.clamp(-0.2, 0.4), a.at_least(0.1), a.at_most(0.2)],
        "smooth-l1" => vec![a.smooth_l1(b, 0.3), a.smooth_l1(b, 2.0)],

        "eq" => vec![integers().eq(&Tensor::arange(0, 6)), a.eq(&a.select(0, 1)), a.eq(&odd())],
        "ne" => vec![integers().ne(&Tensor::arange(0, 6)), a.ne(&a.select(0, 1)), a.ne(&odd())],
        "lt" => vec![a.lt(b), a.lt(&a.select(0, 1)), a.lt(&odd())],
        "le" => vec![integers().le(&Tensor::arange(0, 6)), a.le(&a.select(0, 1)), a.le(&odd())],
        "gt" => vec![a.gt(b), a.gt(&a.select(0, 1)), a.gt(&odd())],
        "ge" => vec![integers().ge(&Tensor::arange(0, 6)), a.ge(&a.select(0, 1)), a.ge(&odd())],
        "eq-scalar" => vec![integers().eq(1.0)],
        "ne-scalar" => vec![integers().ne(1.0)],
        "lt-scalar" => vec![integers().lt(1.0), a.lt(0.3)],
        "le-scalar" => vec![integers().le(1.0)],
        "gt-scalar" => vec![integers().gt(1.0), a.gt(0.3)],
        "ge-scalar" => vec![integers().ge(1.0)],
        "logical-and" => vec![mask.logical_and(&a.gt(0.3))],
        "logical-or" => vec![mask.logical_or(&a.gt(0.3))],
        "logical-xor" => vec![mask.logical_xor(&a.gt(0.3))],
        "logical-not" => vec![mask.logical_not(), integers().logical_not()],
        "is-finite" => vec![numbers(&[1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]).is_finite()],
        "where" => vec![mask.where_(a, &(b * 2.0))],
        "masked-fill" => vec![a.masked_fill(&mask, 7.5)],

        "sum" => [reductions!(a, |dims| sum(dims)), vec![mask.sum(0)]].concat_into(),
        "mean" => reductions!(a, |dims| mean(dims)),
        "variance" => [reductions!(a, |dims| variance(dims, 1)), vec![a.variance(1, 0)]].concat_into(),
        "amax" => reductions!(a, |dims| amax(dims)),
        "amin" => reductions!(a, |dims| amin(dims)),
        "max" => [both(a.max(1)), two(raw().max(0, true))].concat_into(),
        "min" => [both(a.min(-1)), two(raw().min(0, true))].concat_into(),
        "argmax" => vec![a.argmax(1), Tensor::from(raw().argmax(0, true))],
        "argmin" => vec![a.argmin(1), Tensor::from(raw().argmin(0, true))],
        "any" => reductions!(mask, |dims| any(dims)),
        "all" => reductions!(mask, |dims| all(dims)),
        "logsumexp" => reductions!(a, |dims| logsumexp(dims)),
        "norm" => [
            reductions!(a, |dims| norm(2.0, dims)),
            vec![a.norm(1.0, 1), a.norm(3.0, 1), a.norm(f64::INFINITY, 1), a.norm(0.0, 1), (a * 0.0).norm(2.0, 1)],
        ]
        .concat_into(),
        "softmax" => vec![a.softmax(1)],
        "log-softmax" => vec![a.log_softmax(0)],
        "cumsum" => vec![a.cumsum(0), integers().cumsum(0)],
        "normalize" => vec![a.normalize(2.0, 1), a.normalize(1.0, 0), (a * 0.0).normalize(2.0, 1)],
        "flip" => vec![a.flip(&[0]), a.flip(&[0, 1])],

        "sort" => [both(a.sort(0, false)), both(a.sort(1, true)), both(integers().sort(0, true))].concat_into(),
        "topk" => [both(a.topk(2, 0, true)), both(a.topk(2, 1, false))].concat_into(),
        "searchsorted" => {
            let sorted = numbers(&[0.0, 0.25, 0.25, 0.5]);
            let values = numbers(&[0.25, 0.3, -1.0, 9.0]);
            vec![
                sorted.searchsorted(&values, false),
                sorted.searchsorted(&values, true),
                a.sort(1, false).0.searchsorted(b, false),
            ]
        }
        "bincount" => vec![integers().bincount(5)],
        "unique" => [both(integers().unique()), both((a * 3.0).round().unique())].concat_into(),

        "matmul" => {
            let stacked = Tensor::stack(&[a, b], 0);
            vec![a.matmul(&b.transpose(0, 1)), stacked.matmul(&b.transpose(0, 1)), a.matmul(&b.select(0, 1))]
        }
        "einsum" => vec![
            Tensor::einsum("ij,kj->ik", &[a, b]),
            Tensor::einsum("ij, ij, kl -> jkl", &[a, b, a]),
            Tensor::einsum("ii->i", &[&a.narrow(0, 0, 3)]),
            Tensor::einsum("ij->", &[a]),
        ],
        "transpose" => vec![a.transpose(0, 1), a.t()],
        "permute" => vec![a.unsqueeze(0).permute(&[2, 0, 1])],
        "diagonal" => vec![a.diagonal()],
        "diag-embed" => vec![a.diag_embed()],
        "tril" => vec![a.tril(0), a.tril(-1)],
        "triu" => vec![a.triu(0), a.triu(1)],
        "distance-matrix" => {
            vec![a.distance_matrix(b), a.distance_matrix(a), Tensor::stack(&[a, b], 0).distance_matrix(b)]
        }
        "cosine-matrix" => vec![a.cosine_matrix(b), a.cosine_matrix(a), (a * 0.0).cosine_matrix(b)],

        "hinge-sums" => {
            let weights = (b.abs() * 3.0).detach().floor();
            // Of a part of a matrix, and of a whole one.
            [both(a.hinge_sums(&weights, 0.1, true)), both((a * 1.0).hinge_sums(&weights, 0.1, false))].concat_into()
        }

        "reshape" => vec![a.reshape(&[2, -1]), a.transpose(0, 1).reshape(&[12])],
        "squeeze" => vec![a.narrow(1, 0, 1).squeeze(1), a.squeeze(1)],
        "unsqueeze" => vec![a.unsqueeze(1), a.unsqueeze(-1)],
        "expand" => vec![a.narrow(1, 0, 1).expand(&[-1, 5]), a.expand(&[2, 4, 3])],
        "repeat" => vec![a.repeat(&[2, 3])],
        "cat" => vec![Tensor::cat(&[a, b, a], 0), Tensor::cat(&[a, b], -1)],
        "stack" => vec![Tensor::stack(&[a, b], 1)],

        "gather" => vec![a.gather(1, &Tensor::from_integers(&[2, 0, 1, 1], &[4, 1]))],
        "index-select" => vec![a.index_select(0, &vector(&[3, 0, 3])), a.index_select(1, &vector(&[2]))],
        "at" => vec![a.at(&vector(&[3, 0, 3]), &vector(&[2, 1, 0]))],
        "masked-select" => vec![a.masked_select(&mask)],
        "nonzero" => vec![mask.nonzero()],
        "narrow" => vec![a.narrow(0, 1, 2)],
        "select" => vec![a.select(1, -1), a.select(0, 2)],
        "slices" => a.slices(3, 1),
        "scatter-add" => vec![a.scatter_add(1, &Tensor::from_integers(&[2, 0, 1, 1], &[4, 1]), &b.narrow(1, 0, 1))],
        "index-add" => vec![a.index_add(0, &vector(&[3, 0, 3]), &b.narrow(0, 0, 3))],
        "index-copy" => vec![a.index_copy(0, &vector(&[3, 0]), &b.narrow(0, 0, 2))],
        "one-hot" => vec![integers().one_hot(5)],
        unknown => return Err(format!("this plugin of the tests does not call `{unknown}`").into()),
    })
}

/// `concat` for tensors, which are not `Clone`.
trait ConcatInto {
    fn concat_into(self) -> Vec<Tensor>;
}

impl<const N: usize> ConcatInto for [Vec<Tensor>; N] {
    fn concat_into(self) -> Vec<Tensor> {
        self.into_iter().flatten().collect()
    }
}
