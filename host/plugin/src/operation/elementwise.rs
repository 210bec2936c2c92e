//! Element-wise operations: each element of the result is made of one element of each input.

use tch::{Kind, Reduction, Tensor};

use super::formulas::{broadcast, mask, refuse, safe_sqrt};
use crate::dtype::is_float;

fn no_mask(x: &Tensor) -> Result<(), tch::TchError> {
    refuse(x.kind() == Kind::Bool, "a mask is not a number: make it float, or use `logical-not`")
}

operations! {
    /// Of one tensor; the result has its shape.
    Unary(x: &Tensor) -> Tensor {
        ZerosLike "zeros-like" => x.f_zeros_like();
        OnesLike "ones-like" => x.f_ones_like();
        AddScalar { value: f64 } "add-scalar" => x.f_add_scalar(*value);
        SubScalar { value: f64 } "sub-scalar" => {
            no_mask(x)?;
            x.f_sub_scalar(*value)
        };
        RsubScalar { value: f64 } "rsub-scalar" => {
            no_mask(x)?;
            x.f_rsub_scalar(*value)
        };
        MulScalar { value: f64 } "mul-scalar" => x.f_mul_scalar(*value);
        DivScalar { value: f64 } "div-scalar" => x.f_div_scalar(*value);
        RdivScalar { value: f64 } "rdiv-scalar" => x.f_reciprocal()?.f_mul_scalar(*value);
        PowScalar { value: f64 } "pow-scalar" => x.f_pow_tensor_scalar(*value);
        Neg "neg" => x.f_neg();
        Abs "abs" => x.f_abs();
        Sign "sign" => x.f_sign();
        Exp "exp" => x.f_exp();
        Expm1 "expm1" => x.f_expm1();
        Log "log" => x.f_log();
        Log1p "log1p" => x.f_log1p();
        Sqrt "sqrt" => x.f_sqrt();
        SafeSqrt "safe-sqrt" => safe_sqrt(x);
        Rsqrt "rsqrt" => x.f_rsqrt();
        Square "square" => x.f_square();
        Reciprocal "reciprocal" => x.f_reciprocal();
        Sin "sin" => x.f_sin();
        Cos "cos" => x.f_cos();
        Tan "tan" => x.f_tan();
        Asin "asin" => x.f_asin();
        Acos "acos" => x.f_acos();
        Atan "atan" => x.f_atan();
        Tanh "tanh" => x.f_tanh();
        Sinh "sinh" => x.f_sinh();
        Cosh "cosh" => x.f_cosh();
        Asinh "asinh" => x.f_asinh();
        Acosh "acosh" => x.f_acosh();
        Atanh "atanh" => x.f_atanh();
        Sigmoid "sigmoid" => x.f_sigmoid();
        LogSigmoid "log-sigmoid" => x.f_log_sigmoid();
        Relu "relu" => x.f_relu();
        Softplus { beta: f64 } "softplus" => {
            refuse(beta.is_nan() || *beta <= 0.0, "beta is not above 0")?;
            x.f_mul_scalar(*beta)?.f_softplus()?.f_div_scalar(*beta)
        };
        Erf "erf" => x.f_erf();
        Floor "floor" => x.f_floor();
        Ceil "ceil" => x.f_ceil();
        Round "round" => x.f_round();
        Clamp { min: Option<f64>, max: Option<f64> } "clamp" => match (*min, *max) {
            (Some(min), Some(max)) => x.f_clamp(min, max),
            (Some(min), None) => x.f_clamp_min(min),
            (None, Some(max)) => x.f_clamp_max(max),
            (None, None) => Err(tch::TchError::Torch("neither bound is given".into())),
        };
        EqScalar { value: f64 } "eq-scalar" => mask(&[x], || x.f_eq(*value), |out| x.f_eq_scalar_out(out, *value));
        NeScalar { value: f64 } "ne-scalar" => mask(&[x], || x.f_ne(*value), |out| x.f_ne_scalar_out(out, *value));
        LtScalar { value: f64 } "lt-scalar" => mask(&[x], || x.f_lt(*value), |out| x.f_lt_scalar_out(out, *value));
        LeScalar { value: f64 } "le-scalar" => mask(&[x], || x.f_le(*value), |out| x.f_le_scalar_out(out, *value));
        GtScalar { value: f64 } "gt-scalar" => mask(&[x], || x.f_gt(*value), |out| x.f_gt_scalar_out(out, *value));
        GeScalar { value: f64 } "ge-scalar" => mask(&[x], || x.f_ge(*value), |out| x.f_ge_scalar_out(out, *value));
        LogicalNot "logical-not" => x.f_logical_not();
        IsFinite "is-finite" => x.f_isfinite();
    }
}

operations! {
    /// Of two tensors that broadcast.
    Binary(a: &Tensor, b: &Tensor) -> Tensor {
        Add "add" => a.f_add(b);
        Sub "sub" => a.f_sub(b);
        Mul "mul" => a.f_mul(b);
        Div "div" => a.f_div(b);
        Pow "pow" => a.f_pow(b);
        Minimum "minimum" => a.f_minimum(b);
        Maximum "maximum" => a.f_maximum(b);
        SmoothL1 { beta: f64 } "smooth-l1" => {
            refuse(beta.is_nan() || *beta <= 0.0, "beta is not above 0")?;
            a.f_smooth_l1_loss(b, Reduction::None, *beta)
        };
        Eq "eq" => mask(&[a, b], || a.f_eq_tensor(b), |out| a.f_eq_tensor_out(out, b));
        Ne "ne" => mask(&[a, b], || a.f_ne_tensor(b), |out| a.f_ne_tensor_out(out, b));
        Lt "lt" => mask(&[a, b], || a.f_lt_tensor(b), |out| a.f_lt_tensor_out(out, b));
        Le "le" => mask(&[a, b], || a.f_le_tensor(b), |out| a.f_le_tensor_out(out, b));
        Gt "gt" => mask(&[a, b], || a.f_gt_tensor(b), |out| a.f_gt_tensor_out(out, b));
        Ge "ge" => mask(&[a, b], || a.f_ge_tensor(b), |out| a.f_ge_tensor_out(out, b));
        LogicalAnd "logical-and" => a.f_logical_and(b);
        LogicalOr "logical-or" => a.f_logical_or(b);
        LogicalXor "logical-xor" => a.f_logical_xor(b);
        // The second tensor is the mask.
        MaskedFill { value: f64 } "masked-fill" => {
            refuse(b.kind() != Kind::Bool, "the mask is not boolean")?;
            refuse(!broadcast(&a.size(), &b.size()), "the shapes do not broadcast")?;
            refuse(!is_float(a.kind()) && !value.is_finite(), "the value is not an integer")?;
            a.f_masked_fill(b, *value)
        };
    }
}
