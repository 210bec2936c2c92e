//! Element-wise operations.

use lossmith_program::{Binary as Node, Id, Unary as Function};
use tch::Kind;

use super::{EXACT, Lowering};
use crate::operation::{Binary, Unary};
use crate::program::ValueId;

impl Lowering<'_> {
    pub(super) fn unary(&mut self, op: &Unary, x: ValueId, out: ValueId) -> Option<Id> {
        let comparison = match op {
            Unary::EqScalar { value } => Some((Node::Eq, *value)),
            Unary::NeScalar { value } => Some((Node::Ne, *value)),
            Unary::LtScalar { value } => Some((Node::Lt, *value)),
            Unary::LeScalar { value } => Some((Node::Le, *value)),
            Unary::GtScalar { value } => Some((Node::Gt, *value)),
            Unary::GeScalar { value } => Some((Node::Ge, *value)),
            _ => None,
        };
        if let Some((op, value)) = comparison {
            // Between a large integer and a small number there is room for what rounding does.
            let exact = self.is_small(x) || (value.abs() < EXACT && value.fract() == 0.0);
            let x = exact.then(|| self.get(x)).flatten()?;
            return Some(self.graph.scalar(op, x, value));
        }
        if *op == Unary::LogicalNot {
            let x = self.get(x)?;
            return Some(self.graph.unary(Function::Not, x));
        }
        let shape = self.shape(x)?;
        match op {
            Unary::ZerosLike => return self.filled(0.0, &shape),
            Unary::OnesLike => return self.filled(1.0, &shape),
            _ => {}
        }
        // A mask or small integers become floats here; the result is what counts.
        if !(self.is_float(out) && self.is_small(x)) {
            return (*op == Unary::IsFinite && self.is_float(x)).then(|| {
                let x = self.get(x)?;
                Some(self.graph.unary(Function::IsFinite, x))
            })?;
        }
        let x = self.get(x)?;
        let graph = &mut self.graph;
        Some(match *op {
            Unary::AddScalar { value } => graph.scalar(Node::Add, x, value),
            Unary::SubScalar { value } => graph.scalar(Node::Sub, x, value),
            Unary::RsubScalar { value } => {
                let value = graph.constant(value);
                graph.binary(Node::Sub, value, x)
            }
            Unary::MulScalar { value } => graph.scalar(Node::Mul, x, value),
            Unary::DivScalar { value } => graph.scalar(Node::Div, x, value),
            Unary::RdivScalar { value } => {
                let reciprocal = graph.unary(Function::Reciprocal, x);
                graph.scalar(Node::Mul, reciprocal, value)
            }
            Unary::PowScalar { value: 0.5 } => graph.unary(Function::Sqrt, x),
            Unary::PowScalar { value: 1.0 } => x,
            Unary::PowScalar { value: 2.0 } | Unary::Square => graph.binary(Node::Mul, x, x),
            Unary::PowScalar { value: -1.0 } | Unary::Reciprocal => graph.unary(Function::Reciprocal, x),
            Unary::PowScalar { value } => graph.scalar(Node::Pow, x, value),
            Unary::Neg => graph.unary(Function::Neg, x),
            Unary::Abs => graph.unary(Function::Abs, x),
            Unary::Sign => graph.unary(Function::Sign, x),
            Unary::Exp => graph.unary(Function::Exp, x),
            Unary::Expm1 => graph.unary(Function::Expm1, x),
            Unary::Log => graph.unary(Function::Log, x),
            Unary::Log1p => graph.unary(Function::Log1p, x),
            Unary::Sqrt => graph.unary(Function::Sqrt, x),
            Unary::SafeSqrt => {
                let above = graph.scalar(Node::Gt, x, 0.0);
                let (zero, one) = (graph.constant(0.0), graph.constant(1.0));
                let inner = graph.choose(above, x, one);
                let root = graph.unary(Function::Sqrt, inner);
                graph.choose(above, root, zero)
            }
            Unary::Rsqrt => {
                let root = graph.unary(Function::Sqrt, x);
                graph.unary(Function::Reciprocal, root)
            }
            Unary::Sin => graph.unary(Function::Sin, x),
            Unary::Cos => graph.unary(Function::Cos, x),
            Unary::Tan => graph.unary(Function::Tan, x),
            Unary::Asin => graph.unary(Function::Asin, x),
            Unary::Acos => graph.unary(Function::Acos, x),
            Unary::Atan => graph.unary(Function::Atan, x),
            Unary::Tanh => graph.unary(Function::Tanh, x),
            Unary::Sinh => graph.unary(Function::Sinh, x),
            Unary::Cosh => graph.unary(Function::Cosh, x),
            Unary::Asinh => graph.unary(Function::Asinh, x),
            Unary::Acosh => graph.unary(Function::Acosh, x),
            Unary::Atanh => graph.unary(Function::Atanh, x),
            Unary::Sigmoid => graph.unary(Function::Sigmoid, x),
            Unary::LogSigmoid => graph.unary(Function::LogSigmoid, x),
            Unary::Relu => {
                let (none, zero) = (graph.scalar(Node::Le, x, 0.0), graph.constant(0.0));
                graph.choose(none, zero, x)
            }
            Unary::Softplus { beta } => {
                let scaled = graph.scalar(Node::Mul, x, -beta);
                let logarithm = graph.unary(Function::LogSigmoid, scaled);
                graph.scalar(Node::Div, logarithm, -beta)
            }
            Unary::Erf => graph.unary(Function::Erf, x),
            Unary::Floor => graph.unary(Function::Floor, x),
            Unary::Ceil => graph.unary(Function::Ceil, x),
            Unary::Round => graph.unary(Function::Round, x),
            Unary::Clamp { min, max } => {
                let mut clamped = x;
                for (op, limit) in [(Node::Lt, min), (Node::Gt, max)] {
                    let Some(limit) = limit else { continue };
                    let (beyond, limit) = (graph.scalar(op, clamped, limit), graph.constant(limit));
                    clamped = graph.choose(beyond, limit, clamped);
                }
                clamped
            }
            Unary::ZerosLike
            | Unary::OnesLike
            | Unary::EqScalar { .. }
            | Unary::NeScalar { .. }
            | Unary::LtScalar { .. }
            | Unary::LeScalar { .. }
            | Unary::GtScalar { .. }
            | Unary::GeScalar { .. }
            | Unary::LogicalNot
            | Unary::IsFinite => return None,
        })
    }

    pub(super) fn binary(&mut self, op: &Binary, a: ValueId, b: ValueId, out: ValueId) -> Option<Id> {
        let node = match op {
            Binary::Add => Node::Add,
            Binary::Sub => Node::Sub,
            Binary::Mul => Node::Mul,
            Binary::Div => Node::Div,
            Binary::Pow => Node::Pow,
            Binary::Minimum => Node::Minimum,
            Binary::Maximum => Node::Maximum,
            Binary::Eq => Node::Eq,
            Binary::Ne => Node::Ne,
            Binary::Lt => Node::Lt,
            Binary::Le => Node::Le,
            Binary::Gt => Node::Gt,
            Binary::Ge => Node::Ge,
            Binary::LogicalAnd => Node::And,
            Binary::LogicalOr => Node::Or,
            Binary::LogicalXor => Node::Xor,
            Binary::SmoothL1 { beta } => return self.smooth_l1(a, b, *beta),
            Binary::MaskedFill { value } => {
                if !self.is_float(a) {
                    return None;
                }
                let (x, mask) = (self.get(a)?, self.get(b)?);
                let value = self.graph.constant(*value);
                let shape = self.shape(out)?;
                let filled = self.graph.choose(mask, value, x);
                return (self.graph.shape(filled) == shape).then_some(filled);
            }
        };
        // Of integers only comparisons, and only where they are exact.
        let fits = (self.is_float(out) || self.is(out, Kind::Bool)) && self.is_small(a) && self.is_small(b);
        let arithmetic = matches!(op, Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Pow);
        if !fits || (arithmetic && !self.is_float(out)) {
            return None;
        }
        let (a, b) = (self.get(a)?, self.get(b)?);
        Some(self.graph.binary(node, a, b))
    }

    fn smooth_l1(&mut self, a: ValueId, b: ValueId, beta: f64) -> Option<Id> {
        if !(self.is_float(a) && self.is_float(b)) {
            return None;
        }
        let (a, b) = (self.get(a)?, self.get(b)?);
        let graph = &mut self.graph;
        let difference = graph.binary(Node::Sub, a, b);
        let distance = graph.unary(Function::Abs, difference);
        let near = graph.scalar(Node::Lt, distance, beta);
        let square = graph.binary(Node::Mul, difference, difference);
        let square = graph.scalar(Node::Mul, square, 0.5 / beta);
        let far = graph.scalar(Node::Sub, distance, 0.5 * beta);
        Some(graph.choose(near, square, far))
    }
}
