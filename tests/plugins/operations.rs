//! Each function of the interface `tensor` against the same operation of libtorch: values, dtypes and gradients.

mod native;

use lossmith_plugin::{Cause, Input, Role};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::fixture::{batch, epoch, numbers, setting, slot};

/// The functions of the interface, from the contract itself.
fn functions() -> Vec<&'static str> {
    let wit = include_str!("../../wit/tensor.wit");
    wit.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
        .filter_map(|line| {
            line.split_once(": ").filter(|(_, rest)| rest.starts_with("func(") || rest.starts_with("static func("))
        })
        .map(|(name, _)| name)
        .collect()
}

/// Functions whose real domain is the positive numbers.
const POSITIVE: [&str; 5] = ["log", "sqrt", "rsqrt", "pow", "pow-scalar"];

fn input(function: &str) -> Input {
    let mut input = batch(4, 6, Kind::Double);
    if POSITIVE.contains(&function) {
        let positive = input.embeddings.unwrap().detach().abs() + 0.05;
        input.embeddings = Some(positive.set_requires_grad(true));
    }
    input
}

#[test]
fn every_function_of_the_contract_is_the_operation_of_libtorch() {
    let functions = functions();
    assert!(functions.len() > 120 && functions.contains(&"one-hot"), "{} functions read from wit/", functions.len());
    let wrong: Vec<String> = functions.iter().filter_map(|function| check(function).err()).collect();
    assert!(wrong.is_empty(), "{} of {} functions are wrong:\n{}", wrong.len(), functions.len(), wrong.join("\n"));
    println!("{} functions of the contract compared", functions.len());
}

fn check(function: &str) -> Result<(), String> {
    let input = input(function);
    let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
    let mut slot =
        slot("lossmith-test-operations", Role::Loss, "operation", json!({ "operation": function }), setting());
    slot.loss(input, &epoch(0)).map_err(|error| format!("{function}: {error}"))?.backward();
    let gradient = embeddings.grad();

    let leaf = embeddings.detach().set_requires_grad(true);
    let expected = native::apply(function, &leaf.narrow(1, 0, 3), &leaf.narrow(1, 3, 3));
    let found: Vec<&Tensor> = slot.state().buffers.values().collect();
    if found.len() != expected.len() {
        return Err(format!("{function}: {} results where {} are expected", found.len(), expected.len()));
    }
    for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let [told, wanted] = [found, &expected].map(|x| format!("{:?} of shape {:?}", x.kind(), x.size()));
        if told != wanted {
            return Err(format!("{function}, result {number}: {told} where libtorch has {wanted}"));
        }
        close(found, expected).map_err(|element| format!("{function}, result {number}, {element}"))?;
    }

    let mut loss = (&leaf * 0.0).sum(Kind::Double);
    for result in expected.iter().filter(|result| result.requires_grad()) {
        let weights = Tensor::linspace(0.5, 1.5, result.numel() as i64, (Kind::Double, Device::Cpu));
        loss += (result * weights.reshape(result.size())).sum(Kind::Double);
    }
    loss.backward();
    close(&gradient, &leaf.grad()).map_err(|element| format!("{function}, gradient, {element}"))
}

/// Equal up to rounding, relative to the largest element.
fn close(found: &Tensor, expected: &Tensor) -> Result<(), String> {
    let (found, expected) = (numbers(found), numbers(expected));
    let scale = expected.iter().filter(|x| x.is_finite()).fold(1e-300_f64, |most, x| most.max(x.abs()));
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let apart = (found - expected).abs();
        if found != expected && (apart > 1e-12 * scale || apart.is_nan()) {
            return Err(format!("element {index}: {found} where libtorch has {expected}"));
        }
    }
    Ok(())
}

/// What the contract calls an error: the function, and after a slash which misuse of it.
const MISUSES: [&str; 87] = [
    "arange",
    "linspace",
    "zeros",
    "from-floats",
    "from-doubles",
    "from-integers",
    "item",
    "gradient",
    "gradient/of-a-constant",
    "with-gradients/matrix",
    "with-gradients/shape",
    "with-gradients/count",
    "softplus",
    "softplus/negative",
    "clamp",
    "smooth-l1",
    "smooth-l1/negative",
    "where",
    "masked-fill",
    "masked-fill/shape",
    "masked-fill/too-large",
    "sub-scalar",
    "rsub-scalar",
    "norm/dim",
    "norm/twice",
    "norm/integers",
    "cosine-matrix/integers",
    "masked-select",
    "amax",
    "amin",
    "norm",
    "normalize",
    "topk",
    "bincount",
    "bincount/negative",
    "bincount/floats",
    "bincount/matrix",
    "bincount/size",
    "matmul",
    "einsum",
    "einsum/sizes",
    "einsum/none",
    "distance-matrix",
    "cosine-matrix",
    "hinge-sums",
    "hinge-sums/shape",
    "hinge-sums/number",
    "hinge-sums/integers",
    "reshape",
    "expand",
    "repeat",
    "cat",
    "cat/sizes",
    "stack",
    "stack/shapes",
    "narrow",
    "select",
    "slices",
    "slices/none",
    "gather",
    "index-select",
    "index-select/matrix",
    "at",
    "at/mask",
    "at/vector",
    "at/cube",
    "one-hot",
    "one-hot/negative",
    "one-hot/floats",
    "max",
    "add",
    "tuples.triplets",
    "tuples.triplets/floats",
    "tuples.pairs",
    "tuples.pairs/matrix",
    "state.add-parameter/twice",
    "state.add-parameter/integer",
    "state.add-parameter/negative",
    "state.add-parameter/infinite",
    "state.replace-parameter",
    "state.replace-parameter/integer",
    "state.replace-buffer",
    "state.set-buffer/shape",
    "state.set-buffer/dtype",
    "random.integers",
    "random.permutation",
    "report.metric",
];

#[test]
fn what_the_contract_calls_an_error_ends_the_call_and_names_the_function() {
    let wrong: Vec<String> = MISUSES
        .iter()
        .filter_map(|case| {
            let mut slot = slot("lossmith-test-operations", Role::Loss, "misuse", json!({ "case": case }), setting());
            let function = case.split('/').next().unwrap();
            match slot.loss(batch(4, 6, Kind::Double), &epoch(0)).map_err(|error| error.cause) {
                Err(cause) => match *cause {
                    Cause::Operation { operation, .. } if operation == function => None,
                    other => Some(format!("{case}: {other}")),
                },
                Ok(_) => Some(format!("{case}: nothing happened")),
            }
        })
        .collect();
    assert!(wrong.is_empty(), "{} misuses are not refused:\n{}", wrong.len(), wrong.join("\n"));
}
