"""What a state dict has besides tensors, as a tensor: safetensors and other formats have nothing but tensors."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor


def packed(state: dict[str, Any]) -> Tensor:
    """Numbers and texts as the bytes of JSON."""
    return torch.frombuffer(bytearray(json.dumps(state).encode()), dtype=torch.uint8)


def unpacked(tensor: Tensor) -> dict[str, Any]:
    """What was packed."""
    return json.loads(bytes(tensor.tolist()))
