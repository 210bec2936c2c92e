//! The interface `tensor` of the contract: each function is one libtorch operation, or a few.

mod formulas;
mod run;

use lossmith_torch_shim::{euclidean_distances, hinge_sums};
use tch::{Kind, Reduction, Tensor};
use wasmtime::Result;
use wasmtime::component::Resource;

use super::bindings::lossmith::plugin::tensor::{Dtype, HostTensor};
use super::host::{Host, HostFault, attempt, broadcast_elements, describe, dtype_name, fault, is_float};
use formulas::{all_dims, broadcast, mask, norm, refuse, rows, safe_sqrt};

type Handle = Resource<Tensor>;

/// Declares functions of one tensor: `name => |x, arguments..| operation;`.
macro_rules! unary {
    ($($function:ident ($($argument:ident: $type:ty),*) $name:literal => |$x:ident| $run:expr;)*) => {
        $(fn $function(&mut self, x: Handle, $($argument: $type),*) -> Result<Handle> {
            self.unary($name, &x, |$x| $run)
        })*
    };
}

/// Declares functions of two tensors that broadcast.
macro_rules! binary {
    ($($function:ident $name:literal => |$a:ident, $b:ident| $run:expr;)*) => {
        $(fn $function(&mut self, a: Handle, b: Handle) -> Result<Handle> {
            self.binary($name, &a, &b, |$a, $b| $run)
        })*
    };
}

impl super::bindings::lossmith::plugin::tensor::Host for Host {}

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
        self.create("zeros", &shape, |shape| Tensor::f_zeros(shape, options))
    }

    fn ones(&mut self, shape: Vec<i64>, dtype: Dtype) -> Result<Handle> {
        let options = (self.kind(dtype), self.device);
        self.create("ones", &shape, |shape| Tensor::f_ones(shape, options))
    }

    fn full(&mut self, shape: Vec<i64>, value: f64) -> Result<Handle> {
        let options = (self.float, self.device);
        self.create("full", &shape, |shape| Tensor::f_full(shape, value, options))
    }

    fn arange(&mut self, start: i64, end: i64) -> Result<Handle> {
        let options = (Kind::Int64, self.device);
        self.create("arange", &[end.saturating_sub(start)], |_| Tensor::f_arange_start(start, end, options))
    }

    fn linspace(&mut self, start: f64, end: f64, count: i64) -> Result<Handle> {
        let options = (self.float, self.device);
        self.create("linspace", &[count], |_| Tensor::f_linspace(start, end, count, options))
    }

    fn eye(&mut self, size: i64) -> Result<Handle> {
        let options = (self.float, self.device);
        self.create("eye", &[size, size], |_| Tensor::f_eye(size, options))
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
        let kind = self.kind(dtype);
        self.unary("to-dtype", &x, |x| match x.kind() {
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

    fn detach(&mut self, x: Handle) -> Result<Handle> {
        let held = self.held("detach", &x)?;
        let (x, elements) = (held.tensor.shallow_clone(), held.elements);
        self.charge(elements)?;
        let stopped = match self.probe.stopped.next(&x) {
            Some(frozen) => frozen,
            None => x.f_detach().map_err(|error| fault("detach", &[&x], &error))?,
        };
        self.probe.stopped.keep(&stopped);
        self.push("detach", stopped)
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
        // v + (<x, g> - stop(<x, g>)): the bracket is exactly 0, its derivative exactly g.
        let mut total = value.f_detach().map_err(|error| fault(NAME, &[&value], &error))?;
        for (input, gradient) in inputs.iter().zip(&gradients) {
            let (x, g) = (self.held(NAME, input)?, self.held(NAME, gradient)?);
            if x.tensor.size() != g.tensor.size() {
                return Err(wrong(&[&x.tensor, &g.tensor], "a gradient without its input's shape").into());
            }
            let elements = x.elements;
            total = g
                .tensor
                .f_detach()
                .and_then(|g| x.tensor.f_mul(&g))
                .and_then(|product| product.f_sum(None::<Kind>))
                .and_then(|product| product.f_sub(&product.f_detach()?))
                .and_then(|zero| total.f_add(&zero))
                .map_err(|error| fault(NAME, &[&x.tensor, &g.tensor], &error))?;
            self.charge(2 * elements)?;
        }
        self.probe.cost.given_gradients += 1;
        self.push(NAME, total)
    }

    binary! {
        add "add" => |a, b| a.f_add(b);
        sub "sub" => |a, b| a.f_sub(b);
        mul "mul" => |a, b| a.f_mul(b);
        div "div" => |a, b| a.f_div(b);
        pow "pow" => |a, b| a.f_pow(b);
        minimum "minimum" => |a, b| a.f_minimum(b);
        maximum "maximum" => |a, b| a.f_maximum(b);
        eq "eq" => |a, b| mask(&[a, b], || a.f_eq_tensor(b), |out| a.f_eq_tensor_out(out, b));
        ne "ne" => |a, b| mask(&[a, b], || a.f_ne_tensor(b), |out| a.f_ne_tensor_out(out, b));
        lt "lt" => |a, b| mask(&[a, b], || a.f_lt_tensor(b), |out| a.f_lt_tensor_out(out, b));
        le "le" => |a, b| mask(&[a, b], || a.f_le_tensor(b), |out| a.f_le_tensor_out(out, b));
        gt "gt" => |a, b| mask(&[a, b], || a.f_gt_tensor(b), |out| a.f_gt_tensor_out(out, b));
        ge "ge" => |a, b| mask(&[a, b], || a.f_ge_tensor(b), |out| a.f_ge_tensor_out(out, b));
        logical_and "logical-and" => |a, b| a.f_logical_and(b);
        logical_or "logical-or" => |a, b| a.f_logical_or(b);
        logical_xor "logical-xor" => |a, b| a.f_logical_xor(b);
    }

    fn smooth_l1(&mut self, a: Handle, b: Handle, beta: f64) -> Result<Handle> {
        self.binary("smooth-l1", &a, &b, |a, b| {
            refuse(beta.is_nan() || beta <= 0.0, "beta is not above 0")?;
            a.f_smooth_l1_loss(b, Reduction::None, beta)
        })
    }

    fn searchsorted(&mut self, sorted: Handle, values: Handle, right: bool) -> Result<Handle> {
        let side = if right { "right" } else { "left" };
        let (sorted, values) = (self.tensor("searchsorted", &sorted)?, self.tensor("searchsorted", &values)?);
        // libtorch warns on strided input and copies it silently; a copy that is needed is made here.
        let result = sorted
            .f_contiguous()
            .and_then(|sorted| values.f_contiguous()?.f_searchsorted(&sorted, false, right, side, None::<&Tensor>))
            .map_err(|error| fault("searchsorted", &[&sorted, &values], &error))?;
        self.charge((sorted.numel() + values.numel()) as u64)?;
        self.push("searchsorted", result)
    }

    unary! {
        zeros_like() "zeros-like" => |x| x.f_zeros_like();
        ones_like() "ones-like" => |x| x.f_ones_like();
        add_scalar(value: f64) "add-scalar" => |x| x.f_add_scalar(value);
        sub_scalar(value: f64) "sub-scalar" => |x| {
            refuse(x.kind() == Kind::Bool, "a mask is not a number: make it float, or use `logical-not`")?;
            x.f_sub_scalar(value)
        };
        rsub_scalar(value: f64) "rsub-scalar" => |x| {
            refuse(x.kind() == Kind::Bool, "a mask is not a number: make it float, or use `logical-not`")?;
            x.f_rsub_scalar(value)
        };
        mul_scalar(value: f64) "mul-scalar" => |x| x.f_mul_scalar(value);
        div_scalar(value: f64) "div-scalar" => |x| x.f_div_scalar(value);
        rdiv_scalar(value: f64) "rdiv-scalar" => |x| x.f_reciprocal()?.f_mul_scalar(value);
        pow_scalar(value: f64) "pow-scalar" => |x| x.f_pow_tensor_scalar(value);
        neg() "neg" => |x| x.f_neg();
        abs() "abs" => |x| x.f_abs();
        sign() "sign" => |x| x.f_sign();
        exp() "exp" => |x| x.f_exp();
        expm1() "expm1" => |x| x.f_expm1();
        log() "log" => |x| x.f_log();
        log1p() "log1p" => |x| x.f_log1p();
        sqrt() "sqrt" => |x| x.f_sqrt();
        safe_sqrt() "safe-sqrt" => |x| safe_sqrt(x);
        rsqrt() "rsqrt" => |x| x.f_rsqrt();
        square() "square" => |x| x.f_square();
        reciprocal() "reciprocal" => |x| x.f_reciprocal();
        sin() "sin" => |x| x.f_sin();
        cos() "cos" => |x| x.f_cos();
        tan() "tan" => |x| x.f_tan();
        asin() "asin" => |x| x.f_asin();
        acos() "acos" => |x| x.f_acos();
        atan() "atan" => |x| x.f_atan();
        tanh() "tanh" => |x| x.f_tanh();
        sigmoid() "sigmoid" => |x| x.f_sigmoid();
        log_sigmoid() "log-sigmoid" => |x| x.f_log_sigmoid();
        relu() "relu" => |x| x.f_relu();
        softplus(beta: f64) "softplus" => |x| {
            refuse(beta.is_nan() || beta <= 0.0, "beta is not above 0")?;
            x.f_mul_scalar(beta)?.f_softplus()?.f_div_scalar(beta)
        };
        erf() "erf" => |x| x.f_erf();
        floor() "floor" => |x| x.f_floor();
        ceil() "ceil" => |x| x.f_ceil();
        round() "round" => |x| x.f_round();
        eq_scalar(value: f64) "eq-scalar" => |x| mask(&[x], || x.f_eq(value), |out| x.f_eq_scalar_out(out, value));
        ne_scalar(value: f64) "ne-scalar" => |x| mask(&[x], || x.f_ne(value), |out| x.f_ne_scalar_out(out, value));
        lt_scalar(value: f64) "lt-scalar" => |x| mask(&[x], || x.f_lt(value), |out| x.f_lt_scalar_out(out, value));
        le_scalar(value: f64) "le-scalar" => |x| mask(&[x], || x.f_le(value), |out| x.f_le_scalar_out(out, value));
        gt_scalar(value: f64) "gt-scalar" => |x| mask(&[x], || x.f_gt(value), |out| x.f_gt_scalar_out(out, value));
        ge_scalar(value: f64) "ge-scalar" => |x| mask(&[x], || x.f_ge(value), |out| x.f_ge_scalar_out(out, value));
        logical_not() "logical-not" => |x| x.f_logical_not();
        is_finite() "is-finite" => |x| x.f_isfinite();
        sum(dims: Vec<i64>, keep: bool) "sum" => |x| if dims.is_empty() && !keep { x.f_sum(None) } else { x.f_sum_dim_intlist(dims, keep, None) };
        mean(dims: Vec<i64>, keep: bool) "mean" => |x| x.f_mean_dim(dims, keep, None);
        // libtorch divides by the wrong count in the gradient over an empty list of dimensions.
        variance(dims: Vec<i64>, correction: i64, keep: bool) "variance" => |x| x.f_var_correction(all_dims(x, dims), correction, keep);
        amax(dims: Vec<i64>, keep: bool) "amax" => |x| x.f_amax(dims, keep);
        amin(dims: Vec<i64>, keep: bool) "amin" => |x| x.f_amin(dims, keep);
        argmax(dim: i64, keep: bool) "argmax" => |x| x.f_argmax(dim, keep);
        argmin(dim: i64, keep: bool) "argmin" => |x| x.f_argmin(dim, keep);
        any(dims: Vec<i64>, keep: bool) "any" => |x| x.f_any_dims(all_dims(x, dims), keep);
        all(dims: Vec<i64>, keep: bool) "all" => |x| x.f_all_dims(all_dims(x, dims), keep);
        logsumexp(dims: Vec<i64>, keep: bool) "logsumexp" => |x| x.f_logsumexp(all_dims(x, dims), keep);
        norm(p: f64, dims: Vec<i64>, keep: bool) "norm" => |x| norm(x, p, dims, keep);
        softmax(dim: i64) "softmax" => |x| x.f_softmax(dim, None);
        log_softmax(dim: i64) "log-softmax" => |x| x.f_log_softmax(dim, None);
        cumsum(dim: i64) "cumsum" => |x| x.f_cumsum(dim, None);
        normalize(p: f64, dim: i64) "normalize" => |x| x.f_div(&norm(x, p, vec![dim], true)?.f_clamp_min(1e-12)?);
        flip(dims: Vec<i64>) "flip" => |x| x.f_flip(dims);
        transpose(dim0: i64, dim1: i64) "transpose" => |x| x.f_transpose(dim0, dim1);
        permute(dims: Vec<i64>) "permute" => |x| x.f_permute(dims);
        diagonal() "diagonal" => |x| x.f_diagonal(0, -2, -1);
        tril(k: i64) "tril" => |x| x.f_tril(k);
        triu(k: i64) "triu" => |x| x.f_triu(k);
        reshape(shape: Vec<i64>) "reshape" => |x| x.f_reshape(shape);
        squeeze(dim: i64) "squeeze" => |x| x.f_squeeze_dim(dim);
        unsqueeze(dim: i64) "unsqueeze" => |x| x.f_unsqueeze(dim);
        narrow(dim: i64, start: i64, length: i64) "narrow" => |x| x.f_narrow(dim, start, length);
        select(dim: i64, index: i64) "select" => |x| x.f_select(dim, index);
    }

    fn clamp(&mut self, x: Handle, min: Option<f64>, max: Option<f64>) -> Result<Handle> {
        self.unary("clamp", &x, |x| match (min, max) {
            (Some(min), Some(max)) => x.f_clamp(min, max),
            (Some(min), None) => x.f_clamp_min(min),
            (None, Some(max)) => x.f_clamp_max(max),
            (None, None) => Err(tch::TchError::Torch("neither bound is given".into())),
        })
    }

    fn where_(&mut self, mask: Handle, a: Handle, b: Handle) -> Result<Handle> {
        let mask = self.tensor("where", &mask)?;
        let shapes = [&a, &b].map(|x| self.held("where", x).map(|held| held.tensor.size()));
        let [left, right] = shapes;
        self.room(broadcast_elements(&[&mask.size(), &left?, &right?]))?;
        self.binary("where", &a, &b, |a, b| a.f_where_self(&mask, b))
    }

    fn masked_fill(&mut self, x: Handle, mask: Handle, value: f64) -> Result<Handle> {
        self.binary("masked-fill", &x, &mask, |x, mask| {
            refuse(mask.kind() != Kind::Bool, "the mask is not boolean")?;
            refuse(!broadcast(&x.size(), &mask.size()), "the shapes do not broadcast")?;
            refuse(!is_float(x.kind()) && !value.is_finite(), "the value is not an integer")?;
            x.f_masked_fill(mask, value)
        })
    }

    fn max(&mut self, x: Handle, dim: i64, keep: bool) -> Result<(Handle, Handle)> {
        self.unary_pair("max", &x, |x| x.f_max_dim(dim, keep))
    }

    fn min(&mut self, x: Handle, dim: i64, keep: bool) -> Result<(Handle, Handle)> {
        self.unary_pair("min", &x, |x| x.f_min_dim(dim, keep))
    }

    fn sort(&mut self, x: Handle, dim: i64, descending: bool) -> Result<(Handle, Handle)> {
        self.unary_pair("sort", &x, |x| x.f_sort_stable(true, dim, descending))
    }

    fn topk(&mut self, x: Handle, k: i64, dim: i64, largest: bool) -> Result<(Handle, Handle)> {
        self.unary_pair("topk", &x, |x| x.f_topk(k, dim, largest, true))
    }

    fn unique(&mut self, x: Handle) -> Result<(Handle, Handle)> {
        // libtorch has no derivative of it; without `detach` that would come out in the host's backward pass.
        self.unary_pair("unique", &x, |x| x.f_detach()?.f_internal_unique(true, true))
    }

    fn bincount(&mut self, x: Handle, size: i64) -> Result<Handle> {
        self.room_for("bincount", &[size])?;
        self.unary("bincount", &x, |x| {
            // libtorch makes the result as long as the largest value asks for, however large that is.
            let fits = x.numel() == 0 || x.f_max()?.f_int64_value(&[])? < size;
            refuse(!fits, "a value is not below `size`")?;
            x.f_bincount(None::<&Tensor>, size)
        })
    }

    fn nonzero(&mut self, x: Handle) -> Result<Handle> {
        let held = self.held("nonzero", &x)?;
        self.room(held.elements.saturating_mul(held.tensor.dim() as u64))?;
        self.unary("nonzero", &x, Tensor::f_nonzero)
    }

    fn matmul(&mut self, a: Handle, b: Handle) -> Result<Handle> {
        let columns = |b: &[i64]| if b.len() < 2 { 1 } else { b.last().copied().unwrap_or(1) };
        self.product("matmul", &a, &b, columns, |a, b| a.f_matmul(b))
    }

    fn distance_matrix(&mut self, a: Handle, b: Handle) -> Result<Handle> {
        self.product("distance-matrix", &a, &b, rows, euclidean_distances)
    }

    fn cosine_matrix(&mut self, a: Handle, b: Handle) -> Result<Handle> {
        self.product("cosine-matrix", &a, &b, rows, |a, b| {
            let unit = |x: &Tensor| x.f_div(&norm(x, 2.0, vec![-1], true)?.f_clamp_min(1e-12)?);
            let left = unit(a)?;
            // A matrix with itself is the usual case.
            let right = if std::ptr::eq(a, b) { left.shallow_clone() } else { unit(b)? };
            left.f_matmul(&right.f_transpose(-2, -1)?)
        })
    }

    fn hinge_sums(&mut self, x: Handle, weights: Handle, limit: f64, above: bool) -> Result<(Handle, Handle)> {
        let (x, weights) = (self.held("hinge-sums", &x)?, self.held("hinge-sums", &weights)?);
        let elements = x.elements;
        let sums = attempt(|| {
            let (x, weights) = (&x.tensor, &weights.tensor);
            refuse(x.dim() == 0 || x.size() != weights.size(), "there is not a weight for each element of rows")?;
            refuse(!is_float(x.kind()) || x.kind() != weights.kind(), "values and weights are floats")?;
            refuse(weights.requires_grad(), "the weights have a gradient: `detach` them")?;
            hinge_sums(x, weights, limit, above)
        });
        let (sums, active) = sums.map_err(|error| fault("hinge-sums", &[&x.tensor, &weights.tensor], &error))?;
        self.charge(elements)?;
        Ok((self.push("hinge-sums", sums)?, self.push("hinge-sums", active)?))
    }

    fn diag_embed(&mut self, x: Handle) -> Result<Handle> {
        let held = self.held("diag-embed", &x)?;
        let last = held.tensor.size().last().copied().unwrap_or(1);
        self.room(held.elements.saturating_mul(last.unsigned_abs()))?;
        self.unary("diag-embed", &x, |x| x.f_diag_embed(0, -2, -1))
    }

    fn expand(&mut self, x: Handle, shape: Vec<i64>) -> Result<Handle> {
        let sizes: Vec<i64> = shape.iter().map(|&size| size.max(1)).collect();
        let held = self.held("expand", &x)?.elements;
        // A size of -1 keeps the input's, so the product with the input's elements bounds the result.
        if self.room(self.room_for("expand", &sizes)?.saturating_mul(held.max(1))).is_err() {
            self.room_for("expand", &sizes)?;
        }
        self.unary("expand", &x, |x| x.f_expand(&shape, false))
    }

    fn repeat(&mut self, x: Handle, counts: Vec<i64>) -> Result<Handle> {
        let times = self.room_for("repeat", &counts)?;
        self.room(self.held("repeat", &x)?.elements.saturating_mul(times))?;
        self.unary("repeat", &x, |x| x.f_repeat(&counts))
    }

    fn cat(&mut self, tensors: Vec<Handle>, dim: i64) -> Result<Handle> {
        self.join("cat", &tensors, |tensors| Tensor::f_cat(tensors, dim))
    }

    fn stack(&mut self, tensors: Vec<Handle>, dim: i64) -> Result<Handle> {
        self.join("stack", &tensors, |tensors| Tensor::f_stack(tensors, dim))
    }

    fn gather(&mut self, x: Handle, dim: i64, index: Handle) -> Result<Handle> {
        self.indexed("gather", &x, &index, |x, index| x.f_gather(dim, index, false))
    }

    fn index_select(&mut self, x: Handle, dim: i64, index: Handle) -> Result<Handle> {
        let length = self.held("index-select", &index)?.elements;
        self.room(
            self.held("index-select", &x)?.elements.saturating_mul(length) / self.size("index-select", &x, dim)?.max(1),
        )?;
        self.indexed("index-select", &x, &index, |x, index| x.f_index_select(dim, index))
    }

    fn at(&mut self, x: Handle, rows: Handle, columns: Handle) -> Result<Handle> {
        let columns = self.tensor("at", &columns)?;
        self.indexed("at", &x, &rows, |x, rows| {
            // libtorch also takes masks, and positions that broadcast against each other.
            let vectors = [rows, &columns].iter().all(|index| index.dim() == 1 && index.kind() == Kind::Int64);
            refuse(x.dim() != 2 || !vectors, "not a matrix with two vectors of integers")?;
            x.f_index(&[Some(rows), Some(&columns)])
        })
    }

    fn masked_select(&mut self, x: Handle, mask: Handle) -> Result<Handle> {
        self.binary("masked-select", &x, &mask, |x, mask| x.f_masked_select(mask))
    }

    fn slices(&mut self, x: Handle, count: i64, dim: i64) -> Result<Vec<Handle>> {
        let size = self.size("slices", &x, dim)?;
        let x = self.tensor("slices", &x)?;
        let count = u64::try_from(count).unwrap_or(0);
        if count == 0 || !size.is_multiple_of(count) {
            let message = format!("{size} is not divisible into {count} equal slices");
            return Err(HostFault::Operation { operation: "slices", shapes: describe(&[&x]), message }.into());
        }
        let parts = x.f_chunk(count as i64, dim).map_err(|error| fault("slices", &[&x], &error))?;
        parts.into_iter().map(|part| self.push("slices", part)).collect()
    }

    fn scatter_add(&mut self, x: Handle, dim: i64, index: Handle, source: Handle) -> Result<Handle> {
        let source = self.tensor("scatter-add", &source)?;
        self.indexed("scatter-add", &x, &index, |x, index| x.f_scatter_add(dim, index, &source))
    }

    fn index_add(&mut self, x: Handle, dim: i64, index: Handle, source: Handle) -> Result<Handle> {
        let source = self.tensor("index-add", &source)?;
        self.indexed("index-add", &x, &index, |x, index| x.f_index_add(dim, index, &source))
    }

    fn index_copy(&mut self, x: Handle, dim: i64, index: Handle, source: Handle) -> Result<Handle> {
        let source = self.tensor("index-copy", &source)?;
        self.indexed("index-copy", &x, &index, |x, index| x.f_index_copy(dim, index, &source))
    }

    fn one_hot(&mut self, x: Handle, classes: i64) -> Result<Handle> {
        self.room(self.held("one-hot", &x)?.elements.saturating_mul(classes.unsigned_abs()))?;
        let float = self.float;
        self.unary("one-hot", &x, |x| {
            // libtorch counts the classes itself when it is given -1.
            refuse(classes < 1, "there is no class")?;
            x.f_one_hot(classes)?.f_to_kind(float)
        })
    }
}
