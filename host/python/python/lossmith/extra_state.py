"""What a state dict has besides tensors, as a tensor: safetensors and other formats have nothing but tensors."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

#: That of what is packed. Another one is read differently.
VERSION = 1


def packed(state: dict[str, Any]) -> Tensor:
    """Numbers and texts as the bytes of JSON."""
    return torch.frombuffer(bytearray(json.dumps({"version": VERSION, **state}).encode()), dtype=torch.uint8)


def unpacked(tensor: Tensor) -> dict[str, Any]:
    """What was packed. A ``ValueError`` if it is something else, or another version of lossmith packed it otherwise."""
    state = _read(tensor)
    version = state.pop("version", None)
    if version != VERSION:
        raise ValueError(
            f"this state dict was written by a newer lossmith: its extra state has version {version}, and this one "
            f"reads version {VERSION}; update lossmith, or save the state with the version that is here"
        )
    return state


def _read(tensor: object) -> dict[str, Any]:
    """The bytes of JSON that a tensor has."""
    if not isinstance(tensor, Tensor) or tensor.dtype is not torch.uint8 or tensor.dim() != 1:
        found = f"{tensor.dtype} of {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else type(tensor).__name__
        raise ValueError(
            f"`_extra_state` of a module of lossmith is a vector of bytes (uint8), and this state dict has {found}: "
            "where a state dict is converted to another dtype, leave `_extra_state` as state_dict() gave it"
        )
    try:
        state = json.loads(bytes(tensor.tolist()))
    except ValueError:
        state = None
    if not isinstance(state, dict):
        raise ValueError("`_extra_state` of this state dict is damaged, or no module of lossmith wrote it")
    return state
