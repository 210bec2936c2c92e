//! Tensors of nothing but attributes.

use lossmith_torch_shim::upload;
use tch::kind::Element;
use tch::{Device, Kind, TchError, Tensor};

operations! {
    /// Constants; `options` are dtype and device.
    Create() -> Tensor {
        Zeros { shape: Vec<i64>, options: (Kind, Device) } "zeros" => Tensor::f_zeros(shape, *options);
        Ones { shape: Vec<i64>, options: (Kind, Device) } "ones" => Tensor::f_ones(shape, *options);
        Full { shape: Vec<i64>, value: f64, options: (Kind, Device) } "full" =>
            Tensor::f_full(shape, *value, *options);
        Arange { start: i64, end: i64, options: (Kind, Device) } "arange" =>
            Tensor::f_arange_start(*start, *end, *options);
        Linspace { start: f64, end: f64, count: i64, options: (Kind, Device) } "linspace" =>
            Tensor::f_linspace(*start, *end, *count, *options);
        Eye { size: i64, options: (Kind, Device) } "eye" => Tensor::f_eye(*size, *options);
        FromFloats { data: Vec<f32>, shape: Vec<i64>, options: (Kind, Device) } "from-floats" =>
            of_list(data, shape, *options);
        FromDoubles { data: Vec<f64>, shape: Vec<i64>, options: (Kind, Device) } "from-doubles" =>
            of_list(data, shape, *options);
        FromIntegers { data: Vec<i64>, shape: Vec<i64>, options: (Kind, Device) } "from-integers" =>
            of_list(data, shape, *options);
    }
}

impl Create {
    /// Gives the shape of the result, as far as it was asked for, to `ask`.
    pub(crate) fn with_shape<T>(&self, ask: impl FnOnce(&[i64]) -> T) -> T {
        match self {
            Self::Zeros { shape, .. }
            | Self::Ones { shape, .. }
            | Self::Full { shape, .. }
            | Self::FromFloats { shape, .. }
            | Self::FromDoubles { shape, .. }
            | Self::FromIntegers { shape, .. } => ask(shape),
            Self::Arange { start, end, .. } => ask(&[end.saturating_sub(*start)]),
            Self::Linspace { count, .. } => ask(&[*count]),
            Self::Eye { size, .. } => ask(&[*size, *size]),
        }
    }

    /// Dtype of the result.
    pub(crate) fn kind(&self) -> Kind {
        let (Self::Zeros { options, .. }
        | Self::Ones { options, .. }
        | Self::Full { options, .. }
        | Self::Arange { options, .. }
        | Self::Linspace { options, .. }
        | Self::Eye { options, .. }
        | Self::FromFloats { options, .. }
        | Self::FromDoubles { options, .. }
        | Self::FromIntegers { options, .. }) = self;
        options.0
    }
}

/// A list in a shape that it fills.
pub(super) fn of_list<T: Element>(
    data: &[T],
    shape: &[i64],
    (kind, device): (Kind, Device),
) -> Result<Tensor, TchError> {
    upload(&Tensor::f_from_slice(data)?.f_reshape(shape)?.f_to_kind(kind)?, device)
}
