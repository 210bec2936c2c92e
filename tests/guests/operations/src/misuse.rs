//! Calls with what the contract calls an error.

use lossmith_sdk::bindings::lossmith::plugin::{state as raw_state, tensor::Tensor as Raw};
use lossmith_sdk::prelude::*;

strategy! {
    /// Calls one function of the contract in a way that must end the call.
    pub struct Misuse as "misuse" {
        /// The function, and after a slash which misuse.
        case: String = String::new();
    }
}

impl Loss for Misuse {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let x = batch.embeddings();
        misuse(&self.case, &x)?;
        Ok(x.square().mean(ALL))
    }
}

fn misuse(case: &str, x: &Tensor) -> Result<()> {
    let integers = |numbers: &[i64]| Tensor::from_integers(numbers, &[numbers.len() as i64]);
    let scalar = x.sum(ALL);
    let empty = Tensor::zeros(&[0], Dtype::Float);
    let other = Tensor::ones(&[5, 7], Dtype::Float);
    let raw = || Raw::ones(&[2], Dtype::Float);
    match case {
        "arange" => drop(Tensor::arange(3, 2)),
        "linspace" => drop(Tensor::linspace(0.0, 1.0, -1)),
        "zeros" => drop(Tensor::zeros(&[2, -3], Dtype::Float)),
        "from-floats" => drop(Tensor::from_floats(&[1.0, 2.0], &[3])),
        "from-doubles" => drop(Tensor::from_doubles(&[1.0, 2.0], &[1])),
        "from-integers" => drop(Tensor::from_integers(&[], &[1])),
        "item" => drop(x.item()),
        "gradient" => drop(scalar.gradient(&[&other])),
        "gradient/of-a-constant" => drop(other.gradient(&[x])),
        "with-gradients/matrix" => drop(x.with_gradients(&[(x, x)])),
        "with-gradients/shape" => drop(scalar.with_gradients(&[(x, &scalar)])),
        "with-gradients/count" => {
            drop(Raw::with_gradients(&Raw::ones(&[], Dtype::Float), &[&raw(), &raw()], &[&raw()]))
        }
        "softplus" => drop(x.softplus(0.0)),
        "softplus/negative" => drop(x.softplus(-1.0)),
        "clamp" => drop(raw().clamp(None, None)),
        "smooth-l1" => drop(x.smooth_l1(x, 0.0)),
        "smooth-l1/negative" => drop(x.smooth_l1(x, -0.5)),
        "where" => drop(integers(&[1]).where_(x, x)),
        "masked-fill" => drop(x.masked_fill(x, 0.0)),
        "masked-fill/shape" => drop(x.masked_fill(&other.gt(0.0), 0.0)),
        "masked-fill/too-large" => drop(integers(&[0]).masked_fill(&integers(&[0]).eq(0.0), f64::INFINITY)),
        "sub-scalar" => drop(x.gt(0.0) - 1.0),
        "rsub-scalar" => drop(1.0 - x.gt(0.0)),
        "norm/dim" => drop(x.norm(2.0, 5)),
        "norm/twice" => drop(x.norm(2.0, [0, 0])),
        "norm/integers" => drop(integers(&[1]).norm(2.0, ALL)),
        "cosine-matrix/integers" => drop(integers(&[1]).reshape(&[1, 1]).cosine_matrix(x)),
        "masked-select" => drop(x.masked_select(x)),
        "amax" => drop(empty.amax(ALL)),
        "amin" => drop(empty.amin(ALL)),
        "norm" => drop(x.norm(-1.0, ALL)),
        "normalize" => drop(x.normalize(-1.0, 1)),
        "topk" => drop(x.topk(100, 0, true)),
        "bincount" => drop(integers(&[0, 3]).bincount(3)),
        "bincount/negative" => drop(integers(&[0, -1]).bincount(3)),
        "bincount/floats" => drop(empty.bincount(3)),
        "bincount/matrix" => drop(integers(&[0, 1]).reshape(&[1, 2]).bincount(3)),
        "bincount/size" => drop(integers(&[0]).bincount(-1)),
        "matmul" => drop(x.matmul(&other)),
        "einsum" => drop(Tensor::einsum("ij,jk", &[x, &other])),
        "einsum/sizes" => drop(Tensor::einsum("ij,jk->ik", &[x, &other])),
        "einsum/none" => drop(Tensor::einsum("->", &[])),
        "distance-matrix" => drop(x.distance_matrix(&other)),
        "cosine-matrix" => drop(x.cosine_matrix(&other)),
        "hinge-sums" => drop(x.hinge_sums(x, 0.0, true)),
        "hinge-sums/shape" => drop(x.hinge_sums(&other, 0.0, true)),
        "hinge-sums/number" => drop(scalar.hinge_sums(&scalar.detach(), 0.0, true)),
        "hinge-sums/integers" => drop(integers(&[1]).hinge_sums(&integers(&[1]), 0.0, true)),
        "reshape" => drop(x.reshape(&[7])),
        "expand" => drop(x.expand(&[3, 3])),
        "repeat" => drop(x.repeat(&[2])),
        "cat" => drop(Tensor::cat(&[], 0)),
        "cat/sizes" => drop(Tensor::cat(&[x, &other], 0)),
        "stack" => drop(Tensor::stack(&[], 0)),
        "stack/shapes" => drop(Tensor::stack(&[x, &other], 0)),
        "narrow" => drop(x.narrow(0, 1, 100)),
        "select" => drop(x.select(0, 100)),
        "slices" => drop(x.slices(5, 0)),
        "slices/none" => drop(x.slices(0, 0)),
        "gather" => drop(x.gather(1, &integers(&[100]).reshape(&[1, 1]))),
        "index-select" => drop(x.index_select(0, &integers(&[-1]))),
        "index-select/matrix" => drop(x.index_select(0, &integers(&[0]).reshape(&[1, 1]))),
        "at" => drop(x.at(&integers(&[100]), &integers(&[0]))),
        "at/mask" => drop(x.at(&integers(&[0, 1]).eq(1.0), &integers(&[0, 1]))),
        "at/vector" => drop(x.select(0, 0).at(&integers(&[0]), &integers(&[0]))),
        "at/cube" => drop(x.unsqueeze(2).at(&integers(&[0]), &integers(&[0]))),
        "one-hot" => drop(integers(&[3]).one_hot(3)),
        "one-hot/negative" => drop(integers(&[3]).one_hot(-1)),
        "one-hot/floats" => drop(x.one_hot(3)),
        "max" => drop(x.max(9)),
        "add" => drop(x + &other),
        "tuples.triplets" => drop(Tuples::triplets(&integers(&[0]), &integers(&[1]), &integers(&[2, 3]))),
        "tuples.triplets/floats" => drop(Tuples::triplets(&empty, &empty, &empty)),
        "tuples.pairs" => drop(Tuples::pairs(&integers(&[0]), &integers(&[1]), &integers(&[]), &integers(&[2]))),
        "tuples.pairs/matrix" => {
            let matrix = integers(&[0]).reshape(&[1, 1]);
            drop(Tuples::pairs(&matrix, &matrix, &matrix, &matrix));
        }
        "state.add-parameter/twice" => {
            raw_state::add_parameter("twice", &raw(), 1.0);
            raw_state::add_parameter("twice", &raw(), 1.0);
        }
        "state.add-parameter/integer" => drop(raw_state::add_parameter("integer", &Raw::arange(0, 2), 1.0)),
        "state.add-parameter/negative" => drop(raw_state::add_parameter("negative", &raw(), -1.0)),
        "state.add-parameter/infinite" => drop(raw_state::add_parameter("infinite", &raw(), f64::INFINITY)),
        "state.replace-parameter" => drop(state::replace_parameter("missing", x)),
        "state.replace-parameter/integer" => {
            state::parameter("kept", 1.0, || x.detach());
            state::replace_parameter("kept", &integers(&[0, 1]));
        }
        "state.replace-buffer" => state::replace_buffer("missing", x),
        "state.set-buffer/shape" => {
            state::set_buffer("buffer", x);
            state::set_buffer("buffer", &scalar);
        }
        "state.set-buffer/dtype" => {
            state::set_buffer("buffer", x);
            state::set_buffer("buffer", &x.gt(0.0));
        }
        "random.integers" => drop(random::integers(&[1], 3, 3)),
        "random.permutation" => drop(random::permutation(-1)),
        "report.metric" => report::metric("matrix", x),
        unknown => return Err(format!("there is no misuse `{unknown}` here").into()),
    }
    Ok(())
}
