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
    """What was packed. A ``ValueError`` if another version of lossmith packed it otherwise."""
    state: dict[str, Any] = json.loads(bytes(tensor.tolist()))
    version = state.pop("version", None)
    if version != VERSION:
        raise ValueError(
            f"this state dict was written by a newer lossmith: its extra state has version {version}, and this one "
            f"reads version {VERSION}; update lossmith, or save the state with the version that is here"
        )
    return state
