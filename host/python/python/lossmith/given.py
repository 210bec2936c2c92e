"""Tensors that a caller gave, checked before the extension reads their memory.

What comes here may be anything that calls itself a tensor: with no numbers, with numbers elsewhere, or a stand-in of a
tracer. libtorch ends the process for some of them, and answers in its own words for others.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import NoReturn, SupportsIndex

import torch
from torch import Tensor
from torch.autograd import forward_ad

#: The dtypes that the extension knows by name, and refuses in its own words where they do not fit.
_DTYPES = frozenset({
    torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64,
    torch.bfloat16, torch.complex32, torch.complex64, torch.complex128, torch.bool, torch.qint8,
    torch.quint8, torch.qint32,
})  # fmt: skip
_QUANTIZED = frozenset({torch.qint8, torch.quint8, torch.qint32})
_is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor
#: Modes in which operations give stand-ins without numbers.
_STAND_INS = (
    torch._C._TorchDispatchModeKey.FAKE,
    torch._C._TorchDispatchModeKey.PROXY,
    torch._C._TorchDispatchModeKey.FUNCTIONAL,
)
_ALONE = "leave the loss out of it, and compute it on what the network returns"


def plain(tensor: object, what: str) -> Tensor:
    """``tensor``, if the extension can read it. ``what`` names it in the TypeError, ValueError or RuntimeError."""
    tensor = tensor if type(tensor) is Tensor else _of_plain_type(tensor, what)
    if _is_wrapped(tensor):
        raise RuntimeError(
            f"{what}: the transforms of torch.func (grad, vmap, jvp) do not look into a strategy; take its gradient "
            "with backward() or torch.autograd.grad"
        )
    if tensor.is_nested:
        raise TypeError(f"{what} must be one row for each image, not a nested tensor: take torch.cat({what}.unbind())")
    if tensor.layout is not torch.strided:
        raise TypeError(f"{what} must be dense, not {tensor.layout}: take {what}.to_dense()")
    if not (tensor.is_cpu or tensor.is_cuda):
        raise ValueError(f"{what}: strategies compute on cpu and cuda, not on {tensor.device}: move it with .to()")
    if tensor.dtype in _QUANTIZED:
        raise TypeError(f"{what} must be numbers, not {tensor.dtype}: take {what}.dequantize()")
    if tensor.dtype not in _DTYPES:
        raise TypeError(
            f"{what} must not be {tensor.dtype}: take .long() of labels and positions, and .float() of others"
        )
    if tensor.untyped_storage().nbytes() < _end(tensor):
        raise ValueError(
            f"{what}: the memory of this tensor, {tuple(tensor.shape)}, was freed or made smaller, as some tools do "
            "with parameters that lie elsewhere; give it before that"
        )
    if forward_ad._current_level >= 0 and _has_tangent(tensor):
        raise RuntimeError(
            f"{what}: forward-mode derivatives do not go through a strategy; take its gradient with backward() or "
            "torch.autograd.grad"
        )
    return tensor


def _of_plain_type(tensor: object, what: str) -> Tensor:
    """``tensor``; else a TypeError for what is no tensor, and for a class of tensors whose numbers are in others."""
    if not isinstance(tensor, Tensor):
        raise TypeError(
            f"{what} must be a torch.Tensor, not {type(tensor).__name__}: torch.as_tensor makes one of numbers"
        )
    if type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__:
        raise TypeError(
            f"{what} must be a tensor with numbers of its own, not {type(tensor).__name__}: take those inside, for "
            "instance with .full_tensor() of a DTensor, .get_data() of a MaskedTensor, .values() of a nested tensor"
        )
    return tensor


def _has_tangent(tensor: Tensor) -> bool:
    """Whether forward-mode derivatives go with a tensor."""
    return forward_ad.unpack_dual(tensor).tangent is not None  # type: ignore[no-untyped-call]


def _end(tensor: Tensor) -> int:
    """Where the numbers of a tensor end in its storage, in bytes."""
    count, width = tensor.numel(), tensor.element_size()
    if count and not tensor.is_contiguous():
        count = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return (int(tensor.storage_offset()) + count) * width if count else 0


def computing() -> None:
    """Raises RuntimeError where operations are only recorded, for which a strategy cannot be looked into."""
    if torch._C._get_tracing_state() is not None:
        raise RuntimeError(f"torch.jit.trace does not look into a strategy: {_ALONE}")
    if torch._C._len_torch_dispatch_stack() and any(map(torch._C._get_dispatch_mode, _STAND_INS)):
        raise RuntimeError(f"torch.export, make_fx and FakeTensorMode do not look into a strategy: {_ALONE}")


def not_scriptable() -> NoReturn:
    """Raises RuntimeError: ``torch.jit.script`` would compile what only Python can compute."""
    raise RuntimeError(f"torch.jit.script does not look into a strategy: {_ALONE}")


def boolean(value: object, name: str) -> bool:
    """``value``, if it is True or False; else a TypeError."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value


def whole(value: object, name: str, least: int) -> int:
    """``value``, if it is an integer from ``least``; else a TypeError or ValueError."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    number = operator.index(value)
    if number < least:
        raise ValueError(f"{name} must be an integer from {least}, not {number}")
    return number


def labels(tensor: object, what: str) -> None:
    """Raises TypeError if ``tensor`` has no integers: a class for each embedding."""
    dtype = plain(tensor, what).dtype
    if dtype.is_floating_point or dtype.is_complex or dtype is torch.bool:
        raise TypeError(f"{what} must be integers, one class for each embedding, not {dtype}: take {what}.long()")


def tuples(vectors: object) -> None:
    """Raises TypeError if ``vectors`` are neither None nor a tuple or list of tensors."""
    if vectors is None:
        return
    if not isinstance(vectors, (tuple, list)):
        raise TypeError(
            "indices_tuple has 3 vectors (anchors, positives, negatives) or 4 (anchors, positives, anchors, "
            f"negatives), as a miner returns them; it is no {type(vectors).__name__}"
        )
    for vector in vectors:
        if plain(vector, "a vector of indices_tuple").dtype is not torch.int64:
            raise TypeError(f"the vectors of indices_tuple are positions, not {vector.dtype}: take .long() of each")


def thresholds(values: Sequence[float] | None, slices: int) -> list[float]:
    """A threshold for each slice, or none; else a TypeError or ValueError."""
    numbers = [float(value) for value in values or []]
    if numbers and len(numbers) != slices:
        raise ValueError(f"thresholds are {len(numbers)}, and there are {slices} slices: give one for each")
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"thresholds must be finite, not {numbers}")
    return numbers
