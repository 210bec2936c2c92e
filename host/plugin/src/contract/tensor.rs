//! The interface `tensor` of the contract: each function is one libtorch operation, or a few.

mod autograd;
#[macro_use]
mod declare;
mod einsum;
mod formulas;
mod indexing;
mod operation;
mod products;
mod run;
mod shapes;
mod sort;

use lossmith_torch_shim::euclidean_distances;
use tch::{Kind, Reduction, Tensor};
use wasmtime::Result;

use crate::bindings::lossmith::plugin::tensor::{Dtype, HostTensor};
use crate::charge;
use crate::dtype::{dtype_name, is_float};
use crate::host::Host;
use crate::host_fault::{HostFault, describe, fault};
use formulas::{all_dims, mask, norm, refuse, rows, safe_sqrt};
use operation::Handle;

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
        shapes::to_dtype(self, x, dtype)
    }

    fn gradient(&mut self, of: Handle, with_respect_to: Vec<Handle>) -> Result<Vec<Handle>> {
        autograd::gradient(self, of, with_respect_to)
    }

    fn detach(&mut self, handle: Handle) -> Result<Handle> {
        autograd::detach(self, handle)
    }

    fn with_gradients(&mut self, value: Handle, inputs: Vec<Handle>, gradients: Vec<Handle>) -> Result<Handle> {
        autograd::with_gradients(self, value, inputs, gradients)
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
        sort::searchsorted(self, sorted, values, right)
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
        eq_scalar(value: f64) "eq-scalar" COMPARISON =>
            |x| mask(&[x], || x.f_eq(value), |out| x.f_eq_scalar_out(out, value));
        ne_scalar(value: f64) "ne-scalar" COMPARISON =>
            |x| mask(&[x], || x.f_ne(value), |out| x.f_ne_scalar_out(out, value));
        lt_scalar(value: f64) "lt-scalar" COMPARISON =>
            |x| mask(&[x], || x.f_lt(value), |out| x.f_lt_scalar_out(out, value));
        le_scalar(value: f64) "le-scalar" COMPARISON =>
            |x| mask(&[x], || x.f_le(value), |out| x.f_le_scalar_out(out, value));
        gt_scalar(value: f64) "gt-scalar" COMPARISON =>
            |x| mask(&[x], || x.f_gt(value), |out| x.f_gt_scalar_out(out, value));
        ge_scalar(value: f64) "ge-scalar" COMPARISON =>
            |x| mask(&[x], || x.f_ge(value), |out| x.f_ge_scalar_out(out, value));
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
        sum() "sum" SUM =>
            |x, dims, keep| {
                if dims.is_empty() && !keep { x.f_sum(None) } else { x.f_sum_dim_intlist(dims, keep, None) }
            };
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
        shapes::reshape(self, x, shape)
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
        indexing::where_(self, mask, a, b)
    }

    fn masked_fill(&mut self, x: Handle, mask: Handle, value: f64) -> Result<Handle> {
        indexing::masked_fill(self, x, mask, value)
    }

    fn max(&mut self, x: Handle, dim: i64, keep: bool) -> Result<(Handle, Handle)> {
        self.largest("max", &x, dim, |x| x.f_max_dim(dim, keep))
    }

    fn min(&mut self, x: Handle, dim: i64, keep: bool) -> Result<(Handle, Handle)> {
        self.largest("min", &x, dim, |x| x.f_min_dim(dim, keep))
    }

    fn sort(&mut self, x: Handle, dim: i64, descending: bool) -> Result<(Handle, Handle)> {
        sort::sort(self, x, dim, descending)
    }

    fn topk(&mut self, x: Handle, k: i64, dim: i64, largest: bool) -> Result<(Handle, Handle)> {
        sort::topk(self, x, k, dim, largest)
    }

    fn unique(&mut self, x: Handle) -> Result<(Handle, Handle)> {
        sort::unique(self, x)
    }

    fn bincount(&mut self, x: Handle, size: i64) -> Result<Handle> {
        sort::bincount(self, x, size)
    }

    fn nonzero(&mut self, x: Handle) -> Result<Handle> {
        sort::nonzero(self, x)
    }

    fn matmul(&mut self, a: Handle, b: Handle) -> Result<Handle> {
        let columns = |b: &[i64]| if b.len() < 2 { 1 } else { b.last().copied().unwrap_or(1) };
        self.product("matmul", &a, &b, charge::PRODUCT, columns, |a, b| a.f_matmul(b))
    }

    fn einsum(&mut self, equation: String, tensors: Vec<Handle>) -> Result<Handle> {
        products::einsum(self, equation, tensors)
    }

    fn distance_matrix(&mut self, a: Handle, b: Handle) -> Result<Handle> {
        self.product("distance-matrix", &a, &b, charge::NORM, rows, euclidean_distances)
    }

    fn cosine_matrix(&mut self, a: Handle, b: Handle) -> Result<Handle> {
        products::cosine_matrix(self, a, b)
    }

    fn hinge_sums(&mut self, x: Handle, weights: Handle, limit: f64, above: bool) -> Result<(Handle, Handle)> {
        products::hinge_sums(self, x, weights, limit, above)
    }

    fn diag_embed(&mut self, x: Handle) -> Result<Handle> {
        shapes::diag_embed(self, x)
    }

    fn expand(&mut self, x: Handle, shape: Vec<i64>) -> Result<Handle> {
        shapes::expand(self, x, shape)
    }

    fn repeat(&mut self, x: Handle, counts: Vec<i64>) -> Result<Handle> {
        shapes::repeat(self, x, counts)
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
        indexing::index_select(self, x, dim, index)
    }

    fn at(&mut self, x: Handle, rows: Handle, columns: Handle) -> Result<Handle> {
        indexing::at(self, x, rows, columns)
    }

    fn masked_select(&mut self, x: Handle, mask: Handle) -> Result<Handle> {
        self.binary("masked-select", &x, &mask, charge::SELECTED, |x, mask| x.f_masked_select(mask))
    }

    fn slices(&mut self, x: Handle, count: i64, dim: i64) -> Result<Vec<Handle>> {
        shapes::slices(self, x, count, dim)
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
        indexing::one_hot(self, x, classes)
    }
}
