"""What every call of a module does before its strategy computes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from lossmith.given import computing, plain

_Function = TypeVar("_Function", bound=Callable[..., Any])
_AS_IT_IS = contextlib.nullcontext()


def eager(function: _Function) -> _Function:
    """Marks a function that ``torch.compile`` leaves as it is, with all that it calls: a compiler cannot look into it.

    It sets what ``torch.compiler.disable`` sets, which would import the compiler: 1.5 s.
    """
    function._torchdynamo_disable = True  # type: ignore[attr-defined]
    eval_frame = torch._C._dynamo.eval_frame
    skipped = eval_frame._FrameExecStrategy(eval_frame._FrameAction.SKIP, eval_frame._FrameAction.SKIP)
    eval_frame.set_code_exec_strategy(function.__code__, skipped)
    return function


def full_precision(tensor: Tensor, what: str = "embeddings") -> Tensor:
    """Floats of 16 bits in 32 bits, with gradient; others as they are. ``what`` names the tensor in errors."""
    computing()
    if plain(tensor, what).dtype in (torch.float16, torch.bfloat16):
        return tensor.float()
    return tensor


def without_autocast(tensor: Tensor) -> contextlib.AbstractContextManager[None]:
    """A context in which operations compute in the dtype of what they are given."""
    kind = tensor.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else _AS_IT_IS
