"""Images of other libraries as numbers from 0 to 255."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def pixels(image: Any, channels: int) -> Tensor:
    """H x W x ``channels`` ``uint8`` numbers of an image of Pillow, an array, or a tensor of H x W or H x W x C.

    A grey image has three equal channels where three are wanted.
    """
    if hasattr(image, "getbands"):
        return _of_pillow(image, channels)
    found = image.cpu() if isinstance(image, Tensor) else torch.tensor(image)
    if found.dtype != torch.uint8 or found.dim() not in (2, 3):
        dtype, shape = str(found.dtype).removeprefix("torch."), " x ".join(map(str, found.shape)) or "no dimension"
        raise TypeError(f"an image is H x W or H x W x C integers from 0 to 255 (uint8), not {dtype} of {shape}")
    found = found[:, :, None] if found.dim() == 2 else found
    if channels == 3 and found.shape[2] == 1:
        return found.expand(-1, -1, 3)
    if found.shape[2] != channels:
        shown, of = " x ".join(map(str, found.shape)), "channel" if channels == 1 else "channels"
        raise ValueError(f"the network was trained on images of {channels} {of}, and this one is {shown} (H x W x C)")
    return found


def _of_pillow(image: Any, channels: int) -> Tensor:
    from PIL import ImageOps

    if image.mode.startswith(("I", "F")):
        raise ValueError(f"the image has the mode {image.mode}, and so no numbers from 0 to 255: convert it before")
    image = ImageOps.exif_transpose(image)
    if channels == 1:
        return _numbers(image.convert("L"))
    if "A" not in image.getbands() and "transparency" not in image.info:
        return _numbers(image.convert("RGB"))
    colours, alpha = _numbers(image.convert("RGBA")).int().split([3, 1], 2)  # type: ignore[no-untyped-call]
    on_white: Tensor = ((colours * alpha + 255 * (255 - alpha) + 127) // 255).to(torch.uint8)
    return on_white


def _numbers(image: Any) -> Tensor:
    flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return flat.view(image.height, image.width, -1)
