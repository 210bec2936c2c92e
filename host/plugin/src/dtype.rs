//! The dtypes of the contract.

use tch::Kind;

pub(super) fn is_float(kind: Kind) -> bool {
    matches!(kind, Kind::Half | Kind::BFloat16 | Kind::Float | Kind::Double)
}

/// The contract's name of a dtype.
pub(super) fn dtype_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "boolean",
        kind if is_float(kind) => "float",
        _ => "integer",
    }
}
