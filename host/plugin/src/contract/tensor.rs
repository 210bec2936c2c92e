//! The interface `tensor` of the contract: each function checks what it is given, and asks for an
//! operation.

mod autograd;
#[macro_use]
mod declare;
mod einsum;
mod indexing;
mod operation;
mod products;
mod run;
mod shapes;
mod sizes;
mod sort;

use tch::Kind;
use wasmtime::Result;

use crate::bindings::lossmith::plugin::tensor::{Dtype, HostTensor};
use crate::charge;
use crate::dtype::{dtype_name, is_float};
use crate::host::Host;
use crate::host_fault::{HostFault, describe, fault};
use crate::operation::{Along, Binary, Create, Join, Lookup, Order, Product, Put, Reduction, Shape, Unary};
use operation::Handle;
use sizes::rows;

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
        Ok(match dtype_name(self.held("dtype", &x)?.kind) {
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
        self.create(Create::Zeros { shape, options })
    }

    fn ones(&mut self, shape: Vec<i64>, dtype: Dtype) -> Result<Handle> {
        let options = (self.kind(dtype), self.device);
        self.create(Create::Ones { shape, options })
    }

    fn full(&mut self, shape: Vec<i64>, value: f64) -> Result<Handle> {
        let options = (self.float, self.device);
        self.create(Create::Full { shape, value, options })
    }

    fn arange(&mut self, start: i64, end: i64) -> Result<Handle> {
        let options = (Kind::Int64, self.device);
        self.create(Create::Arange { start, end, options })
    }

    fn linspace(&mut self, start: f64, end: f64, count: i64) -> Result<Handle> {
        let options = (self.float, self.device);
        self.create(Create::Linspace { start, end, count, options })
    }

    fn eye(&mut self, size: i64) -> Result<Handle> {
        let options = (self.float, self.device);
        self.create(Create::Eye { size, options })
    }

    fn from_floats(&mut self, data: Vec<f32>, shape: Vec<i64>) -> Result<Handle> {
        let options = (self.float, self.device);
        self.tensor_of_list(data.len(), Create::FromFloats { data, shape, options })
    }

    fn from_doubles(&mut self, data: Vec<f64>, shape: Vec<i64>) -> Result<Handle> {
        let options = (self.float, self.device);
        self.tensor_of_list(data.len(), Create::FromDoubles { data, shape, options })
    }

    fn from_integers(&mut self, data: Vec<i64>, shape: Vec<i64>) -> Result<Handle> {
        let options = (Kind::Int64, self.device);
        self.tensor_of_list(data.len(), Create::FromIntegers { data, shape, options })
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
        self.recorder.end("it reads a value, with `item`");
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
        add Add LINEAR;
        sub Sub LINEAR;
        mul Mul PRODUCT;
        div Div PRODUCT;
        minimum Minimum PRODUCT;
        maximum Maximum PRODUCT;
        eq Eq COMPARISON;
        ne Ne COMPARISON;
        lt Lt COMPARISON;
        le Le COMPARISON;
        gt Gt COMPARISON;
        ge Ge COMPARISON;
        logical_and LogicalAnd MASK;
        logical_or LogicalOr MASK;
        logical_xor LogicalXor MASK;
    }

    fn pow(&mut self, a: Handle, b: Handle) -> Result<Handle> {
        let whole = !is_float(self.held("pow", &a)?.kind) && !is_float(self.held("pow", &b)?.kind);
        let charge = if whole { charge::POWER_OF_INTEGERS } else { charge::POWER };
        self.binary(Binary::Pow.into(), &a, &b, charge)
    }

    fn pow_scalar(&mut self, x: Handle, value: f64) -> Result<Handle> {
        let whole = !is_float(self.held("pow-scalar", &x)?.kind);
        let charge = if whole { charge::POWER_OF_INTEGERS } else { charge::POWER };
        self.unary(Unary::PowScalar { value }.into(), &x, charge, None)
    }

    fn smooth_l1(&mut self, a: Handle, b: Handle, beta: f64) -> Result<Handle> {
        self.binary(Binary::SmoothL1 { beta }.into(), &a, &b, charge::PRODUCT)
    }

    fn searchsorted(&mut self, sorted: Handle, values: Handle, right: bool) -> Result<Handle> {
        sort::searchsorted(self, sorted, values, right)
    }

    unary! {
        zeros_like() Unary ZerosLike SAME;
        ones_like() Unary OnesLike SAME;
        add_scalar(value: f64) Unary AddScalar LINEAR;
        sub_scalar(value: f64) Unary SubScalar LINEAR;
        rsub_scalar(value: f64) Unary RsubScalar LINEAR;
        mul_scalar(value: f64) Unary MulScalar LINEAR;
        div_scalar(value: f64) Unary DivScalar LINEAR;
        rdiv_scalar(value: f64) Unary RdivScalar INVERSE;
        neg() Unary Neg LINEAR;
        abs() Unary Abs PRODUCT;
        sign() Unary Sign LINEAR;
        exp() Unary Exp OF_RESULT;
        expm1() Unary Expm1 OF_RESULT;
        log() Unary Log OF_INPUT;
        log1p() Unary Log1p OF_INPUT;
        sqrt() Unary Sqrt OF_RESULT;
        safe_sqrt() Unary SafeSqrt SAFE_ROOT;
        rsqrt() Unary Rsqrt OF_RESULT;
        square() Unary Square PRODUCT;
        reciprocal() Unary Reciprocal OF_RESULT;
        sin() Unary Sin ANGLE;
        cos() Unary Cos ANGLE;
        tan() Unary Tan ANGLE;
        asin() Unary Asin OF_INPUT;
        acos() Unary Acos OF_INPUT;
        atan() Unary Atan OF_INPUT;
        tanh() Unary Tanh OF_RESULT;
        sinh() Unary Sinh OF_INPUT;
        cosh() Unary Cosh OF_INPUT;
        asinh() Unary Asinh OF_INPUT;
        acosh() Unary Acosh OF_INPUT;
        atanh() Unary Atanh OF_INPUT;
        sigmoid() Unary Sigmoid OF_RESULT;
        log_sigmoid() Unary LogSigmoid LOG_SIGMOID;
        relu() Unary Relu OF_RESULT;
        softplus(beta: f64) Unary Softplus SOFTPLUS;
        erf() Unary Erf OF_INPUT;
        floor() Unary Floor LINEAR;
        ceil() Unary Ceil LINEAR;
        round() Unary Round LINEAR;
        eq_scalar(value: f64) Unary EqScalar COMPARISON;
        ne_scalar(value: f64) Unary NeScalar COMPARISON;
        lt_scalar(value: f64) Unary LtScalar COMPARISON;
        le_scalar(value: f64) Unary LeScalar COMPARISON;
        gt_scalar(value: f64) Unary GtScalar COMPARISON;
        ge_scalar(value: f64) Unary GeScalar COMPARISON;
        logical_not() Unary LogicalNot MASK;
        is_finite() Unary IsFinite COMPARISON;
        softmax(dim: i64) Along Softmax SOFTMAX;
        log_softmax(dim: i64) Along LogSoftmax SOFTMAX;
        cumsum(dim: i64) Along CumSum RUNNING_SUM;
        normalize(p: f64, dim: i64) Along Normalize NORM;
        tril(k: i64) Shape Tril SAME;
        triu(k: i64) Shape Triu SAME;
    }

    reduction! {
        sum() Sum SUM;
        mean() Mean SUM;
        amax() Amax EXTREME;
        amin() Amin EXTREME;
        any() Any QUANTIFIED;
        all() All QUANTIFIED;
        logsumexp() LogSumExp LOG_SUM;
        norm(p: f64) Norm NORM;
    }

    view! {
        transpose(dim0: i64, dim1: i64) Transpose;
        diagonal() Diagonal;
        squeeze(dim: i64) Squeeze;
        unsqueeze(dim: i64) Unsqueeze;
        narrow(dim: i64, start: i64, length: i64) Narrow;
        select(dim: i64, index: i64) Select;
    }

    fn variance(&mut self, x: Handle, dims: Vec<i64>, correction: i64, keep: bool) -> Result<Handle> {
        let made = self.reduced("variance", &x, &dims)?;
        self.unary(Reduction::Variance { dims, correction, keep }.into(), &x, charge::VARIANCE, Some(made))
    }

    fn argmax(&mut self, x: Handle, dim: i64, keep: bool) -> Result<Handle> {
        let made = self.reduced("argmax", &x, &[dim])?;
        self.unary(Reduction::ArgMax { dim, keep }.into(), &x, charge::WHICH, Some(made))
    }

    fn argmin(&mut self, x: Handle, dim: i64, keep: bool) -> Result<Handle> {
        let made = self.reduced("argmin", &x, &[dim])?;
        self.unary(Reduction::ArgMin { dim, keep }.into(), &x, charge::WHICH, Some(made))
    }

    fn flip(&mut self, x: Handle, dims: Vec<i64>) -> Result<Handle> {
        self.rank(&dims)?;
        self.unary(Shape::Flip { dims }.into(), &x, charge::SAME, None)
    }

    fn permute(&mut self, x: Handle, dims: Vec<i64>) -> Result<Handle> {
        self.rank(&dims)?;
        self.view(Shape::Permute { dims }.into(), &x)
    }

    fn reshape(&mut self, x: Handle, shape: Vec<i64>) -> Result<Handle> {
        shapes::reshape(self, x, shape)
    }

    fn clamp(&mut self, x: Handle, min: Option<f64>, max: Option<f64>) -> Result<Handle> {
        self.unary(Unary::Clamp { min, max }.into(), &x, charge::PRODUCT, None)
    }

    fn where_(&mut self, mask: Handle, a: Handle, b: Handle) -> Result<Handle> {
        indexing::where_(self, mask, a, b)
    }

    fn masked_fill(&mut self, x: Handle, mask: Handle, value: f64) -> Result<Handle> {
        indexing::masked_fill(self, x, mask, value)
    }

    fn max(&mut self, x: Handle, dim: i64, keep: bool) -> Result<(Handle, Handle)> {
        self.largest(Order::Max { dim, keep }, &x, dim)
    }

    fn min(&mut self, x: Handle, dim: i64, keep: bool) -> Result<(Handle, Handle)> {
        self.largest(Order::Min { dim, keep }, &x, dim)
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
        self.product(Product::Matmul, &a, &b, charge::PRODUCT, columns)
    }

    fn einsum(&mut self, equation: String, tensors: Vec<Handle>) -> Result<Handle> {
        products::einsum(self, equation, tensors)
    }

    fn distance_matrix(&mut self, a: Handle, b: Handle) -> Result<Handle> {
        self.product(Product::DistanceMatrix, &a, &b, charge::NORM, rows)
    }

    fn cosine_matrix(&mut self, a: Handle, b: Handle) -> Result<Handle> {
        self.product(Product::CosineMatrix, &a, &b, charge::COSINES, rows)
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
        self.join(Join::Cat { dim }, &tensors)
    }

    fn stack(&mut self, tensors: Vec<Handle>, dim: i64) -> Result<Handle> {
        self.join(Join::Stack { dim }, &tensors)
    }

    fn gather(&mut self, x: Handle, dim: i64, index: Handle) -> Result<Handle> {
        let made = self.held("gather", &index)?.elements;
        self.indexed(Lookup::Gather { dim }.into(), [&x, &index], None, None, made, charge::GATHER)
    }

    fn index_select(&mut self, x: Handle, dim: i64, index: Handle) -> Result<Handle> {
        indexing::index_select(self, x, dim, index)
    }

    fn at(&mut self, x: Handle, rows: Handle, columns: Handle) -> Result<Handle> {
        indexing::at(self, x, rows, columns)
    }

    fn masked_select(&mut self, x: Handle, mask: Handle) -> Result<Handle> {
        self.binary(Lookup::MaskedSelect.into(), &x, &mask, charge::SELECTED)
    }

    fn slices(&mut self, x: Handle, count: i64, dim: i64) -> Result<Vec<Handle>> {
        shapes::slices(self, x, count, dim)
    }

    fn scatter_add(&mut self, x: Handle, dim: i64, index: Handle, source: Handle) -> Result<Handle> {
        self.replaced(Put::ScatterAdd { dim }, &x, &index, &source, charge::SCATTER)
    }

    fn index_add(&mut self, x: Handle, dim: i64, index: Handle, source: Handle) -> Result<Handle> {
        let each = self.scattered("index-add", &x, dim, charge::SCATTER)?;
        self.replaced(Put::IndexAdd { dim }, &x, &index, &source, each)
    }

    fn index_copy(&mut self, x: Handle, dim: i64, index: Handle, source: Handle) -> Result<Handle> {
        let each = self.scattered("index-copy", &x, dim, charge::ROWS)?;
        self.replaced(Put::IndexCopy { dim }, &x, &index, &source, each)
    }

    fn one_hot(&mut self, x: Handle, classes: i64) -> Result<Handle> {
        indexing::one_hot(self, x, classes)
    }
}
