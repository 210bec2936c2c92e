//! The interface `tensor` of the contract: each function is one libtorch operation, or a few.

mod einsum;
mod formulas;
mod operation;
mod run;

use lossmith_torch_shim::{euclidean_distances, hinge_sums};
use tch::{Kind, Reduction, Tensor};
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::lossmith::plugin::tensor::{Dtype, HostTensor};
use crate::catch_panic::catch_panic;
use crate::charge;
use crate::dtype::{dtype_name, is_float};
use crate::host::Host;
use crate::host_fault::{HostFault, describe, fault, over};
use formulas::{all_dims, broadcast, mask, norm, refuse, rows, safe_sqrt};
use operation::broadcast_elements;

type Handle = Resource<Tensor>;

/// Declares functions of one tensor whose result is of its size: `name CHARGE => |x, arguments..| operation;`.
macro_rules! unary {
    ($($function:ident ($($argument:ident: $type:ty),*) $name:literal $charge:ident => |$x:ident| $run:expr;)*) => {
        $(fn $function(&mut self, x: Handle, $($argument: $type),*) -> Result<Handle> {
            self.unary($name, &x, charge::$charge, None, |$x| $run)
        })*
    };
}

/// Declares reductions over a list of dimensions.
macro_rules! reduction {
    ($($function:ident ($($argument:ident: $type:ty),*) $name:literal $charge:ident =>
        |$x:ident, $dims:ident, $keep:ident| $run:expr;)*) => {
        $(fn $function(&mut self, x: Handle, $($argument: $type,)* $dims: Vec<i64>, $keep: bool) -> Result<Handle> {
            let made = self.reduced($name, &x, &$dims)?;
            self.unary($name, &x, charge::$charge, Some(made), |$x| $run)
        })*
    };
}

/// Declares views.
macro_rules! view {
    ($($function:ident ($($argument:ident: $type:ty),*) $name:literal => |$x:ident| $run:expr;)*) => {
        $(fn $function(&mut self, x: Handle, $($argument: $type),*) -> Result<Handle> {
            self.view($name, &x, |$x| $run)
        })*
    };
}

/// Declares functions of two tensors that broadcast.
macro_rules! binary {
    ($($function:ident $name:literal $charge:ident => |$a:ident, $b:ident| $run:expr;)*) => {
        $(fn $function(&mut self, a: Handle, b: Handle) -> Result<Handle> {
            self.binary($name, &a, &b, charge::$charge, |$a, $b| $run)
        })*
    };
}

impl crate::bindings::lossmith::plugin::tensor::Host for Host {}

impl HostTensor for Host {
    fn drop(&mut self, handle: Handle) -> Result<()> {
        self.release(handle.rep());
        Ok(())
    }

    fn shape(&mut self, x: Handle) -> Result<Vec<i64>> {
        Ok(self.held("shape", &x)?.tensor.size())
    }

    fn dtype(&mut self, x: Handle) -> Result<Dtype> {
        Ok(match dtype_name(self.held("dtype", &x)?.tensor.kind()) {
            "boolean" => Dtype::Boolean,
            "float" => Dtype::Float,
            _ => Dtype::Integer,
        })
    }

    fn requires_grad(&mut self, x: Handle) -> Result<bool> {
        Ok(self.held("requires-grad", &x)?.tensor.requires_grad())
    }

    fn zeros(&mut self, shape: Vec<i64>, dtype: Dtype) -> Result<Handle> {
        let options = (self.kind(dtype), self.device);
        self.create("zeros", &shape, options.0, |shape| Tensor::f_zeros(shape, options))
    }

    fn ones(&mut self, shape: Vec<i64>, dtype: Dtype) -> Result<Handle> {
        let options = (self.kind(dtype), self.device);
        self.create("ones", &shape, options.0, |shape| Tensor::f_ones(shape, options))
    }

    fn full(&mut self, shape: Vec<i64>, value: f64) -> Result<Handle> {
        let options = (self.float, self.device);
        self.create("full", &shape, options.0, |shape| Tensor::f_full(shape, value, options))
    }

    fn arange(&mut self, start: i64, end: i64) -> Result<Handle> {
        let options = (Kind::Int64, self.device);
        self.create("arange", &[end.saturating_sub(start)], options.0, |_| Tensor::f_arange_start(start, end, options))
    }

    fn linspace(&mut self, start: f64, end: f64, count: i64) -> Result<Handle> {
        let options = (self.float, self.device);
        self.create("linspace", &[count], options.0, |_| Tensor::f_linspace(start, end, count, options))
    }

    fn eye(&mut self, size: i64) -> Result<Handle> {
        let options = (self.float, self.device);
        self.create("eye", &[size, size], options.0, |_| Tensor::f_eye(size, options))
    }

    fn from_floats(&mut self, data: Vec<f32>, shape: Vec<i64>) -> Result<Handle> {
        self.tensor_of_list("from-floats", &data, &shape)
    }

    fn from_doubles(&mut self, data: Vec<f64>, shape: Vec<i64>) -> Result<Handle> {
        self.tensor_of_list("from-doubles", &data, &shape)
    }

    fn from_integers(&mut self, data: Vec<i64>, shape: Vec<i64>) -> Result<Handle> {
        self.tensor_of_list("from-integers", &data, &shape)
    }

    fn to_floats(&mut self, x: Handle) -> Result<Vec<f32>> {
        self.list_of_tensor("to-floats", &x, Kind::Float)
    }

    fn to_doubles(&mut self, x: Handle) -> Result<Vec<f64>> {
        self.list_of_tensor("to-doubles", &x, Kind::Double)
    }

    fn to_integers(&mut self, x: Handle) -> Result<Vec<i64>> {
        self.list_of_tensor("to-integers", &x, Kind::Int64)
    }

    fn item(&mut self, x: Handle) -> Result<f64> {
        let x = self.held("item", &x)?;
        if x.elements != 1 {
            let message = format!("{} elements where one is expected", x.elements);
            return Err(HostFault::Operation { operation: "item", shapes: describe(&[&x.tensor]), message }.into());
        }
        let value = x.tensor.f_reshape([1_i64]).and_then(|x| x.f_double_value(&[0]));
        Ok(value.map_err(|error| fault("item", &[&x.tensor], &error))?)
    }

    fn to_dtype(&mut self, x: Handle, dtype: Dtype) -> Result<Handle> {
        const NAME: &str = "to-dtype";
        let kind = self.kind(dtype);
        let held = self.held(NAME, &x)?;
        let (elements, same) = (held.elements, held.tensor.kind() == kind);
        if same {
            return self.view(NAME, &x, |x| Ok(x.shallow_clone()));
        }
        self.admit(elements, elements.saturating_mul(charge::size(kind)))?;
        self.unary(NAME, &x, charge::CAST, None, |x| match x.kind() {
            // As bytes: on the CPU libtorch reads booleans one at a time (1024 x 1024 to floats: 0.38 ms, 0.10 ms).
            Kind::Bool => x.f_view_dtype(Kind::Uint8)?.f_to_kind(kind),
            _ => x.f_to_kind(kind),
        })
    }

    fn gradient(&mut self, of: Handle, with_respect_to: Vec<Handle>) -> Result<Vec<Handle>> {
        let of = self.tensor("gradient", &of)?;
        let inputs =
            with_respect_to.iter().map(|x| self.tensor("gradient", x)).collect::<std::result::Result<Vec<_>, _>>()?;
        let named: Vec<_> = std::iter::once(&of).chain(&inputs).collect();
        // libtorch's engine crashes on a constant.
        if named.iter().any(|x| !x.requires_grad()) {
            let message = "no gradient flows through one of these".into();
            return Err(HostFault::Operation { operation: "gradient", shapes: describe(&named), message }.into());
        }
        self.charge_backward()?;
        let gradients = of
            .f_sum(None::<Kind>)
            .and_then(|sum| Tensor::f_run_backward(&[sum], &inputs, true, false))
            .map_err(|error| fault("gradient", &named, &error))?;
        if gradients.iter().any(|gradient| !gradient.defined()) {
            let message = "`of` does not depend on one of the inputs".into();
            return Err(HostFault::Operation { operation: "gradient", shapes: describe(&named), message }.into());
        }
        let mut handles = Vec::with_capacity(gradients.len());
        for gradient in gradients {
            let gradient = self.probe.stopped.next(&gradient).unwrap_or(gradient);
            self.probe.stopped.keep(&gradient);
            handles.push(self.push("gradient", gradient)?);
        }
        Ok(handles)
    }

    fn detach(&mut self, handle: Handle) -> Result<Handle> {
        let held = self.held("detach", &handle)?;
        let (x, elements) = (held.tensor.shallow_clone(), held.elements);
        self.charge(elements)?;
        let stopped = match self.probe.stopped.next(&x) {
            Some(frozen) => frozen,
            None => x.f_detach().map_err(|error| fault("detach", &[&x], &error))?,
        };
        self.probe.stopped.keep(&stopped);
        self.push_view("detach", stopped, &handle)
    }

    fn with_gradients(&mut self, value: Handle, inputs: Vec<Handle>, gradients: Vec<Handle>) -> Result<Handle> {
        const NAME: &str = "with-gradients";
        let wrong = |inputs: &[&Tensor], message: &str| HostFault::Operation {
            operation: NAME,
            shapes: describe(inputs),
            message: message.into(),
        };
        let value = self.tensor(NAME, &value)?;
        if value.numel() != 1 {
            return Err(wrong(&[&value], "the value is not a scalar").into());
        }
        if inputs.len() != gradients.len() {
            return Err(wrong(&[], &format!("{} inputs but {} gradients", inputs.len(), gradients.len())).into());
        }
        self.admit(charge::TENSOR.saturating_mul(inputs.len() as u64), 0)?;
        // v + (<x, g> - stop(<x, g>)): the bracket is exactly 0, its derivative exactly g.
        let mut total = value.f_detach().map_err(|error| fault(NAME, &[&value], &error))?;
        for (input, gradient) in inputs.iter().zip(&gradients) {
            let (x, g) = (self.held(NAME, input)?, self.held(NAME, gradient)?);
            if x.tensor.size() != g.tensor.size() {
                return Err(wrong(&[&x.tensor, &g.tensor], "a gradient without its input's shape").into());
            }
            let work = charge::TENSOR + 4 * x.elements;
            self.admit(work, x.elements.saturating_mul(charge::size(self.float)))?;
            total = g
                .tensor
                .f_detach()
                .and_then(|g| x.tensor.f_mul(&g))
                .and_then(|product| product.f_sum(None::<Kind>))
                .and_then(|product| product.f_sub(&product.f_detach()?))
                .and_then(|zero| total.f_add(&zero))
                .map_err(|error| fault(NAME, &[&x.tensor, &g.tensor], &error))?;
            self.charge(work)?;
            self.keep(&[input, gradient]);
        }
        self.probe.cost.given_gradients += 1;
        self.push(NAME, total)
    }

    binary! {
        add "add" LINEAR => |a, b| a.f_add(b);
        sub "sub" LINEAR => |a, b| a.f_sub(b);
        mul "mul" PRODUCT => |a, b| a.f_mul(b);
        div "div" PRODUCT => |a, b| a.f_div(b);
        minimum "minimum" PRODUCT => |a, b| a.f_minimum(b);
        maximum "maximum" PRODUCT => |a, b| a.f_maximum(b);
        eq "eq" COMPARISON => |a, b| mask(&[a, b], || a.f_eq_tensor(b), |out| a.f_eq_tensor_out(out, b));
        ne "ne" COMPARISON => |a, b| mask(&[a, b], || a.f_ne_tensor(b), |out| a.f_ne_tensor_out(out, b));
        lt "lt" COMPARISON => |a, b| mask(&[a, b], || a.f_lt_tensor(b), |out| a.f_lt_tensor_out(out, b));
        le "le" COMPARISON => |a, b| mask(&[a, b], || a.f_le_tensor(b), |out| a.f_le_tensor_out(out, b));
        gt "gt" COMPARISON => |a, b| mask(&[a, b], || a.f_gt_tensor(b), |out| a.f_gt_tensor_out(out, b));
        ge "ge" COMPARISON => |a, b| mask(&[a, b], || a.f_ge_tensor(b), |out| a.f_ge_tensor_out(out, b));
        logical_and "logical-and" MASK => |a, b| a.f_logical_and(b);
        logical_or "logical-or" MASK => |a, b| a.f_logical_or(b);
        logical_xor "logical-xor" MASK => |a, b| a.f_logical_xor(b);
    }

    fn pow(&mut self, a: Handle, b: Handle) -> Result<Handle> {
        let whole = !is_float(self.held("pow", &a)?.tensor.kind()) && !is_float(self.held("pow", &b)?.tensor.kind());
        let charge = if whole { charge::POWER_OF_INTEGERS } else { charge::POWER };
        self.binary("pow", &a, &b, charge, |a, b| a.f_pow(b))
    }

    fn pow_scalar(&mut self, x: Handle, value: f64) -> Result<Handle> {
        let whole = !is_float(self.held("pow-scalar", &x)?.tensor.kind());
        let charge = if whole { charge::POWER_OF_INTEGERS } else { charge::POWER };
        self.unary("pow-scalar", &x, charge, None, |x| x.f_pow_tensor_scalar(value))
    }

    fn smooth_l1(&mut self, a: Handle, b: Handle, beta: f64) -> Result<Handle> {
        self.binary("smooth-l1", &a, &b, charge::PRODUCT, |a, b| {
            refuse(beta.is_nan() || beta <= 0.0, "beta is not above 0")?;
            a.f_smooth_l1_loss(b, Reduction::None, beta)
        })
    }

    fn searchsorted(&mut self, sorted: Handle, values: Handle, right: bool) -> Result<Handle> {
        const NAME: &str = "searchsorted";
        let side = if right { "right" } else { "left" };
        let (sorted, values) = (self.held(NAME, &sorted)?, self.held(NAME, &values)?);
        let columns = sorted.tensor.size().last().map_or(1, |size| size.unsigned_abs());
        let read = sorted.elements.saturating_add(values.elements);
        let work = sorted.elements.saturating_add(values.elements.saturating_mul(charge::search(columns)));
        // The result, and copies of what is strided.
        let size = charge::size(sorted.tensor.kind()).max(charge::size(values.tensor.kind()));
        self.admit(work, values.elements.saturating_mul(8).saturating_add(read.saturating_mul(size)))?;
        // libtorch warns on strided input and copies it silently; a copy that is needed is made here.
        let result = catch_panic(|| {
            let sorted = sorted.tensor.f_contiguous()?;
            values.tensor.f_contiguous()?.f_searchsorted(&sorted, false, right, side, None::<&Tensor>)
        });
        let result = result.map_err(|error| fault(NAME, &[&sorted.tensor, &values.tensor], &error))?;
        self.charge(work)?;
        self.push(NAME, result)
    }

    unary! {
        zeros_like() "zeros-like" SAME => |x| x.f_zeros_like();
        ones_like() "ones-like" SAME => |x| x.f_ones_like();
        add_scalar(value: f64) "add-scalar" LINEAR => |x| x.f_add_scalar(value);
        sub_scalar(value: f64) "sub-scalar" LINEAR => |x| {
            refuse(x.kind() == Kind::Bool, "a mask is not a number: make it float, or use `logical-not`")?;
            x.f_sub_scalar(value)
        };
        rsub_scalar(value: f64) "rsub-scalar" LINEAR => |x| {
            refuse(x.kind() == Kind::Bool, "a mask is not a number: make it float, or use `logical-not`")?;
            x.f_rsub_scalar(value)
        };
        mul_scalar(value: f64) "mul-scalar" LINEAR => |x| x.f_mul_scalar(value);
        div_scalar(value: f64) "div-scalar" LINEAR => |x| x.f_div_scalar(value);
        rdiv_scalar(value: f64) "rdiv-scalar" INVERSE => |x| x.f_reciprocal()?.f_mul_scalar(value);
        neg() "neg" LINEAR => |x| x.f_neg();
        abs() "abs" PRODUCT => |x| x.f_abs();
        sign() "sign" LINEAR => |x| x.f_sign();
        exp() "exp" OF_RESULT => |x| x.f_exp();
        expm1() "expm1" OF_RESULT => |x| x.f_expm1();
        log() "log" OF_INPUT => |x| x.f_log();
        log1p() "log1p" OF_INPUT => |x| x.f_log1p();
        sqrt() "sqrt" OF_RESULT => |x| x.f_sqrt();
        safe_sqrt() "safe-sqrt" SAFE_ROOT => |x| safe_sqrt(x);
        rsqrt() "rsqrt" OF_RESULT => |x| x.f_rsqrt();
        square() "square" PRODUCT => |x| x.f_square();
        reciprocal() "reciprocal" OF_RESULT => |x| x.f_reciprocal();
        sin() "sin" ANGLE => |x| x.f_sin();
        cos() "cos" ANGLE => |x| x.f_cos();
        tan() "tan" ANGLE => |x| x.f_tan();
        asin() "asin" OF_INPUT => |x| x.f_asin();
        acos() "acos" OF_INPUT => |x| x.f_acos();
        atan() "atan" OF_INPUT => |x| x.f_atan();
        tanh() "tanh" OF_RESULT => |x| x.f_tanh();
        sinh() "sinh" OF_INPUT => |x| x.f_sinh();
        cosh() "cosh" OF_INPUT => |x| x.f_cosh();
        asinh() "asinh" OF_INPUT => |x| x.f_asinh();
        acosh() "acosh" OF_INPUT => |x| x.f_acosh();
        atanh() "atanh" OF_INPUT => |x| x.f_atanh();
        sigmoid() "sigmoid" OF_RESULT => |x| x.f_sigmoid();
        log_sigmoid() "log-sigmoid" LOG_SIGMOID => |x| x.f_log_sigmoid();
        relu() "relu" OF_RESULT => |x| x.f_relu();
        softplus(beta: f64) "softplus" SOFTPLUS => |x| {
            refuse(beta.is_nan() || beta <= 0.0, "beta is not above 0")?;
            x.f_mul_scalar(beta)?.f_softplus()?.f_div_scalar(beta)
        };
        erf() "erf" OF_INPUT => |x| x.f_erf();
        floor() "floor" LINEAR => |x| x.f_floor();
        ceil() "ceil" LINEAR => |x| x.f_ceil();
        round() "round" LINEAR => |x| x.f_round();
        eq_scalar(value: f64) "eq-scalar" COMPARISON => |x| mask(&[x], || x.f_eq(value), |out| x.f_eq_scalar_out(out, value));
        ne_scalar(value: f64) "ne-scalar" COMPARISON => |x| mask(&[x], || x.f_ne(value), |out| x.f_ne_scalar_out(out, value));
        lt_scalar(value: f64) "lt-scalar" COMPARISON => |x| mask(&[x], || x.f_lt(value), |out| x.f_lt_scalar_out(out, value));
        le_scalar(value: f64) "le-scalar" COMPARISON => |x| mask(&[x], || x.f_le(value), |out| x.f_le_scalar_out(out, value));
        gt_scalar(value: f64) "gt-scalar" COMPARISON => |x| mask(&[x], || x.f_gt(value), |out| x.f_gt_scalar_out(out, value));
        ge_scalar(value: f64) "ge-scalar" COMPARISON => |x| mask(&[x], || x.f_ge(value), |out| x.f_ge_scalar_out(out, value));
        logical_not() "logical-not" MASK => |x| x.f_logical_not();
        is_finite() "is-finite" COMPARISON => |x| x.f_isfinite();
        softmax(dim: i64) "softmax" SOFTMAX => |x| x.f_softmax(dim, None);
        log_softmax(dim: i64) "log-softmax" SOFTMAX => |x| x.f_log_softmax(dim, None);
        cumsum(dim: i64) "cumsum" RUNNING_SUM => |x| x.f_cumsum(dim, None);
        normalize(p: f64, dim: i64) "normalize" NORM => |x| x.f_div(&norm(x, p, vec![dim], true)?.f_clamp_min(1e-12)?);
        tril(k: i64) "tril" SAME => |x| x.f_tril(k);
        triu(k: i64) "triu" SAME => |x| x.f_triu(k);
    }

    reduction! {
        sum() "sum" SUM => |x, dims, keep| if dims.is_empty() && !keep { x.f_sum(None) } else { x.f_sum_dim_intlist(dims, keep, None) };
        mean() "mean" SUM => |x, dims, keep| x.f_mean_dim(dims, keep, None);
        amax() "amax" EXTREME => |x, dims, keep| x.f_amax(dims, keep);
        amin() "amin" EXTREME => |x, dims, keep| x.f_amin(dims, keep);
        any() "any" QUANTIFIED => |x, dims, keep| x.f_any_dims(all_dims(x, dims), keep);
        all() "all" QUANTIFIED => |x, dims, keep| x.f_all_dims(all_dims(x, dims), keep);
        logsumexp() "logsumexp" LOG_SUM => |x, dims, keep| x.f_logsumexp(all_dims(x, dims), keep);
        norm(p: f64) "norm" NORM => |x, dims, keep| norm(x, p, dims, keep);
    }

    view! {
        transpose(dim0: i64, dim1: i64) "transpose" => |x| x.f_transpose(dim0, dim1);
        diagonal() "diagonal" => |x| x.f_diagonal(0, -2, -1);
        squeeze(dim: i64) "squeeze" => |x| x.f_squeeze_dim(dim);
        unsqueeze(dim: i64) "unsqueeze" => |x| x.f_unsqueeze(dim);
        narrow(dim: i64, start: i64, length: i64) "narrow" => |x| x.f_narrow(dim, start, length);
        select(dim: i64, index: i64) "select" => |x| x.f_select(dim, index);
    }

    fn variance(&mut self, x: Handle, dims: Vec<i64>, correction: i64, keep: bool) -> Result<Handle> {
        let made = self.reduced("variance", &x, &dims)?;
        // libtorch divides by the wrong count in the gradient over an empty list of dimensions.
        let run = |x: &Tensor| x.f_var_correction(all_dims(x, dims), correction, keep);
        self.unary("variance", &x, charge::VARIANCE, Some(made), run)
    }

    fn argmax(&mut self, x: Handle, dim: i64, keep: bool) -> Result<Handle> {
        let made = self.reduced("argmax", &x, &[dim])?;
        self.unary("argmax", &x, charge::WHICH, Some(made), |x| x.f_argmax(dim, keep))
    }

    fn argmin(&mut self, x: Handle, dim: i64, keep: bool) -> Result<Handle> {
        let made = self.reduced("argmin", &x, &[dim])?;
        self.unary("argmin", &x, charge::WHICH, Some(made), |x| x.f_argmin(dim, keep))
    }

    fn flip(&mut self, x: Handle, dims: Vec<i64>) -> Result<Handle> {
        self.rank(&dims)?;
        self.unary("flip", &x, charge::SAME, None, |x| x.f_flip(dims))
    }

    fn permute(&mut self, x: Handle, dims: Vec<i64>) -> Result<Handle> {
        self.rank(&dims)?;
        self.view("permute", &x, |x| x.f_permute(dims))
    }

    fn reshape(&mut self, x: Handle, shape: Vec<i64>) -> Result<Handle> {
        const NAME: &str = "reshape";
        self.rank(&shape)?;
        let held = self.held(NAME, &x)?;
        let elements = held.elements;
        if held.tensor.is_contiguous() {
            return self.view(NAME, &x, |x| x.f_reshape(shape));
        }
        // A view where the strides allow it, else a copy.
        self.admit(elements, elements.saturating_mul(charge::size(held.tensor.kind())))?;
        let result =
            catch_panic(|| held.tensor.f_reshape(shape)).map_err(|error| fault(NAME, &[&held.tensor], &error))?;
        let shares = result.data_ptr() == held.tensor.data_ptr();
        self.charge(elements)?;
        if shares { self.push_view(NAME, result, &x) } else { self.push(NAME, result) }
    }

    fn clamp(&mut self, x: Handle, min: Option<f64>, max: Option<f64>) -> Result<Handle> {
        self.unary("clamp", &x, charge::PRODUCT, None, |x| match (min, max) {
            (Some(min), Some(max)) => x.f_clamp(min, max),
            (Some(min), None) => x.f_clamp_min(min),
            (None, Some(max)) => x.f_clamp_max(max),
            (None, None) => Err(tch::TchError::Torch("neither bound is given".into())),
        })
    }

    fn where_(&mut self, mask: Handle, a: Handle, b: Handle) -> Result<Handle> {
        let chooses = self.tensor("where", &mask)?;
        let (left, right) = (self.held("where", &a)?.tensor.size(), self.held("where", &b)?.tensor.size());
        self.room(broadcast_elements(&[&chooses.size(), &left, &right]), charge::size(self.float))?;
        let result = self.binary("where", &a, &b, charge::CHOICE, |a, b| a.f_where_self(&chooses, b))?;
        self.graph("where", charge::PRODUCT, &[&mask], &[&result])?;
        Ok(result)
    }

    fn masked_fill(&mut self, x: Handle, mask: Handle, value: f64) -> Result<Handle> {
        let result = self.binary("masked-fill", &x, &mask, charge::CHOICE, |x, mask| {
            refuse(mask.kind() != Kind::Bool, "the mask is not boolean")?;
            refuse(!broadcast(&x.size(), &mask.size()), "the shapes do not broadcast")?;
            refuse(!is_float(x.kind()) && !value.is_finite(), "the value is not an integer")?;
            x.f_masked_fill(mask, value)
        })?;
        self.graph("masked-fill", charge::PRODUCT, &[&mask], &[&result])?;
        Ok(result)
    }

    fn max(&mut self, x: Handle, dim: i64, keep: bool) -> Result<(Handle, Handle)> {
        self.largest("max", &x, dim, |x| x.f_max_dim(dim, keep))
    }

    fn min(&mut self, x: Handle, dim: i64, keep: bool) -> Result<(Handle, Handle)> {
        self.largest("min", &x, dim, |x| x.f_min_dim(dim, keep))
    }

    fn sort(&mut self, x: Handle, dim: i64, descending: bool) -> Result<(Handle, Handle)> {
        let length = self.size("sort", &x, dim)?;
        let held = self.held("sort", &x)?;
        let along = dim == -1 || dim + 1 == held.tensor.dim() as i64;
        let across = if along { 0 } else { charge::ACROSS };
        let each = charge::SORTED.work(charge::levels(length)) + across;
        let (work, made) = (held.elements.saturating_mul(each), held.elements);
        self.unary_pair("sort", &x, charge::SORTED, work, made, |x| x.f_sort_stable(true, dim, descending))
    }

    fn topk(&mut self, x: Handle, k: i64, dim: i64, largest: bool) -> Result<(Handle, Handle)> {
        let length = self.size("topk", &x, dim)?;
        let (held, k_levels) = (self.held("topk", &x)?, charge::levels(k.unsigned_abs()));
        let work = held.elements.saturating_mul(charge::TOP.work(k_levels) + charge::TOPK);
        let made = (held.elements / length.max(1)).saturating_mul(k.unsigned_abs().min(length));
        self.unary_pair("topk", &x, charge::TOP, work, made, |x| x.f_topk(k, dim, largest, true))
    }

    fn unique(&mut self, x: Handle) -> Result<(Handle, Handle)> {
        let elements = self.held("unique", &x)?.elements;
        let work = elements.saturating_mul(charge::DIFFERENT.work(charge::levels(elements)));
        // libtorch has no derivative of it; without `detach` that would come out in the host's backward pass.
        self.unary_pair("unique", &x, charge::DIFFERENT, work, elements, |x| {
            x.f_detach()?.f_internal_unique(true, true)
        })
    }

    fn bincount(&mut self, x: Handle, size: i64) -> Result<Handle> {
        let made = self.room_for("bincount", &[size], 8)?;
        self.unary("bincount", &x, charge::COUNTED, Some(made), |x| {
            // libtorch makes the result as long as the largest value asks for, however large that is.
            let fits = x.numel() == 0 || x.f_max()?.f_int64_value(&[])? < size;
            refuse(!fits, "a value is not below `size`")?;
            x.f_bincount(None::<&Tensor>, size)
        })
    }

    fn nonzero(&mut self, x: Handle) -> Result<Handle> {
        let held = self.held("nonzero", &x)?;
        let made = held.elements.saturating_mul(held.tensor.dim() as u64);
        self.room(made, 8)?;
        self.unary("nonzero", &x, charge::COUNTED, Some(made), Tensor::f_nonzero)
    }

    fn matmul(&mut self, a: Handle, b: Handle) -> Result<Handle> {
        let columns = |b: &[i64]| if b.len() < 2 { 1 } else { b.last().copied().unwrap_or(1) };
        self.product("matmul", &a, &b, charge::PRODUCT, columns, |a, b| a.f_matmul(b))
    }

    fn einsum(&mut self, equation: String, tensors: Vec<Handle>) -> Result<Handle> {
        const NAME: &str = "einsum";
        let held = tensors.iter().map(|x| self.tensor(NAME, x)).collect::<std::result::Result<Vec<_>, _>>()?;
        let named: Vec<&Tensor> = held.iter().collect();
        let shapes: Vec<Vec<i64>> = held.iter().map(Tensor::size).collect();
        let products = einsum::products(&equation, &shapes).map_err(|error| fault(NAME, &named, &error))?;
        let (mut work, mut bytes) = (0_u64, 0_u64);
        for product in products {
            self.room(product.result, 8)?;
            // As `matmul` counts.
            work = work.saturating_add(product.result).saturating_add(product.work / 16);
            bytes = bytes.saturating_add(product.result.saturating_mul(8));
        }
        self.admit(work, bytes)?;
        let result = catch_panic(|| Tensor::f_einsum(&equation, &named, None::<&[i64]>))
            .map_err(|error| fault(NAME, &named, &error))?;
        self.charge(work)?;
        let result = self.push(NAME, result)?;
        self.graph(NAME, charge::PRODUCT, &tensors.iter().collect::<Vec<_>>(), &[&result])?;
        Ok(result)
    }

    fn distance_matrix(&mut self, a: Handle, b: Handle) -> Result<Handle> {
        self.product("distance-matrix", &a, &b, charge::NORM, rows, euclidean_distances)
    }

    fn cosine_matrix(&mut self, a: Handle, b: Handle) -> Result<Handle> {
        self.product("cosine-matrix", &a, &b, charge::COSINES, rows, |a, b| {
            let unit = |x: &Tensor| x.f_div(&norm(x, 2.0, vec![-1], true)?.f_clamp_min(1e-12)?);
            let left = unit(a)?;
            // A matrix with itself is the usual case.
            let right = if std::ptr::eq(a, b) { left.shallow_clone() } else { unit(b)? };
            left.f_matmul(&right.f_transpose(-2, -1)?)
        })
    }

    fn hinge_sums(&mut self, x: Handle, weights: Handle, limit: f64, above: bool) -> Result<(Handle, Handle)> {
        const NAME: &str = "hinge-sums";
        let (values, given) = (self.held(NAME, &x)?, self.held(NAME, &weights)?);
        let elements = values.elements;
        // What is strided is copied.
        let strided = [values, given].iter().filter(|held| !held.tensor.is_contiguous()).count() as u64;
        self.admit(elements, elements.saturating_mul(strided * charge::size(self.float)))?;
        let sums = catch_panic(|| {
            let (x, weights) = (&values.tensor, &given.tensor);
            refuse(x.dim() == 0 || x.size() != weights.size(), "there is not a weight for each element of rows")?;
            refuse(!is_float(x.kind()) || x.kind() != weights.kind(), "values and weights are floats")?;
            refuse(weights.requires_grad(), "the weights have a gradient: `detach` them")?;
            hinge_sums(x, weights, limit, above)
        });
        let (sums, active) = sums.map_err(|error| fault(NAME, &[&values.tensor, &given.tensor], &error))?;
        self.charge(elements)?;
        let (sums, active) = (self.push(NAME, sums)?, self.push(NAME, active)?);
        self.graph(NAME, charge::PRODUCT, &[&x, &weights], &[&sums])?;
        Ok((sums, active))
    }

    fn diag_embed(&mut self, x: Handle) -> Result<Handle> {
        let held = self.held("diag-embed", &x)?;
        let last = held.tensor.size().last().copied().unwrap_or(1);
        let (made, size) = (held.elements.saturating_mul(last.unsigned_abs()), charge::size(held.tensor.kind()));
        self.room(made, size)?;
        self.unary("diag-embed", &x, charge::SAME, Some(made), |x| x.f_diag_embed(0, -2, -1))
    }

    fn expand(&mut self, x: Handle, shape: Vec<i64>) -> Result<Handle> {
        let sizes: Vec<i64> = shape.iter().map(|&size| size.max(1)).collect();
        let held = self.held("expand", &x)?.elements;
        // A size of -1 keeps the input's, so the product with the input's elements bounds the result.
        if self.room(self.room_for("expand", &sizes, 0)?.saturating_mul(held.max(1)), 0).is_err() {
            self.room_for("expand", &sizes, 0)?;
        }
        self.view("expand", &x, |x| x.f_expand(&shape, false))
    }

    fn repeat(&mut self, x: Handle, counts: Vec<i64>) -> Result<Handle> {
        let times = self.room_for("repeat", &counts, 1)?;
        let held = self.held("repeat", &x)?;
        let (made, size) = (held.elements.saturating_mul(times), charge::size(held.tensor.kind()));
        self.room(made, size)?;
        self.unary("repeat", &x, charge::SAME, Some(made), |x| x.f_repeat(&counts))
    }

    fn cat(&mut self, tensors: Vec<Handle>, dim: i64) -> Result<Handle> {
        self.join("cat", &tensors, |tensors| Tensor::f_cat(tensors, dim))
    }

    fn stack(&mut self, tensors: Vec<Handle>, dim: i64) -> Result<Handle> {
        self.join("stack", &tensors, |tensors| Tensor::f_stack(tensors, dim))
    }

    fn gather(&mut self, x: Handle, dim: i64, index: Handle) -> Result<Handle> {
        let made = self.held("gather", &index)?.elements;
        self.indexed("gather", &x, &index, None, made, charge::GATHER, |x, index| x.f_gather(dim, index, false))
    }

    fn index_select(&mut self, x: Handle, dim: i64, index: Handle) -> Result<Handle> {
        const NAME: &str = "index-select";
        let length = self.held(NAME, &index)?.elements;
        let made = self.held(NAME, &x)?.elements.saturating_mul(length) / self.size(NAME, &x, dim)?.max(1);
        let each = self.scattered(NAME, &x, dim, charge::ROWS)?;
        self.indexed(NAME, &x, &index, None, made, each, |x, index| x.f_index_select(dim, index))
    }

    fn at(&mut self, x: Handle, rows: Handle, columns: Handle) -> Result<Handle> {
        let (values, first, second) = (self.held("at", &x)?, self.held("at", &rows)?, self.tensor("at", &columns)?);
        // libtorch also takes masks, and positions that broadcast against each other.
        let vectors = [&first.tensor, &second].iter().all(|index| index.dim() == 1 && index.kind() == Kind::Int64);
        if values.tensor.dim() != 2 || !vectors {
            let shapes = describe(&[&values.tensor, &first.tensor, &second]);
            let message = "not a matrix with two vectors of integers".into();
            return Err(HostFault::Operation { operation: "at", shapes, message }.into());
        }
        let made = first.elements;
        let result =
            self.indexed("at", &x, &rows, None, made, charge::AT, |x, rows| x.f_index(&[Some(rows), Some(&second)]))?;
        self.graph("at", charge::PRODUCT, &[&columns], &[&result])?;
        Ok(result)
    }

    fn masked_select(&mut self, x: Handle, mask: Handle) -> Result<Handle> {
        self.binary("masked-select", &x, &mask, charge::SELECTED, |x, mask| x.f_masked_select(mask))
    }

    fn slices(&mut self, x: Handle, count: i64, dim: i64) -> Result<Vec<Handle>> {
        let size = self.size("slices", &x, dim)?;
        let whole = self.tensor("slices", &x)?;
        let count = u64::try_from(count).unwrap_or(0);
        if count == 0 || !size.is_multiple_of(count) {
            let message = format!("{size} is not divisible into {count} equal slices");
            return Err(HostFault::Operation { operation: "slices", shapes: describe(&[&whole]), message }.into());
        }
        over("handles", self.limits.handles.into(), count.saturating_add(self.tensors.made() as u64))?;
        let parts = whole.f_chunk(count as i64, dim).map_err(|error| fault("slices", &[&whole], &error))?;
        parts.into_iter().map(|part| self.push_view("slices", part, &x)).collect()
    }

    fn scatter_add(&mut self, x: Handle, dim: i64, index: Handle, source: Handle) -> Result<Handle> {
        self.replaced("scatter-add", &x, &index, &source, charge::SCATTER, |x, index, source| {
            x.f_scatter_add(dim, index, source)
        })
    }

    fn index_add(&mut self, x: Handle, dim: i64, index: Handle, source: Handle) -> Result<Handle> {
        let each = self.scattered("index-add", &x, dim, charge::SCATTER)?;
        self.replaced("index-add", &x, &index, &source, each, |x, index, source| x.f_index_add(dim, index, source))
    }

    fn index_copy(&mut self, x: Handle, dim: i64, index: Handle, source: Handle) -> Result<Handle> {
        let each = self.scattered("index-copy", &x, dim, charge::ROWS)?;
        self.replaced("index-copy", &x, &index, &source, each, |x, index, source| x.f_index_copy(dim, index, source))
    }

    fn one_hot(&mut self, x: Handle, classes: i64) -> Result<Handle> {
        let made = self.held("one-hot", &x)?.elements.saturating_mul(classes.unsigned_abs());
        let float = self.float;
        // libtorch's own is of integers.
        self.room(made, 8 + charge::size(float))?;
        self.admit(made.saturating_mul(charge::ONE_HOT), 0)?;
        let result = self.unary("one-hot", &x, charge::MASK, Some(made), |x| {
            // libtorch counts the classes itself when it is given -1.
            refuse(classes < 1, "there is no class")?;
            x.f_one_hot(classes)?.f_to_kind(float)
        })?;
        self.charge(made.saturating_mul(charge::ONE_HOT))?;
        Ok(result)
    }
}
