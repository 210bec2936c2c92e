"""The networks of the command as modules of PyTorch, with torchvision's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lossmith import _lossmith
from lossmith.images import pixels

if TYPE_CHECKING:
    from PIL.Image import Image

#: Blocks in each of the four stages, and how much wider a block's output is than its middle.
_RESNETS = {"resnet18": ([2, 2, 2, 2], 1), "resnet34": ([3, 4, 6, 3], 1), "resnet50": ([3, 4, 6, 3], 4)}


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


class Convnet(nn.Module):
    """Three blocks of 3x3 convolution, batch normalisation, 2x2 maximum pooling and ReLU, and the mean of each channel.

    From B x C x H x W images to B x 4 ``width`` features.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _convolution(channels, width, 3), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _convolution(width, 2 * width, 3), nn.BatchNorm2d(2 * width)
        self.conv3, self.bn3 = _convolution(2 * width, 4 * width, 3), nn.BatchNorm2d(4 * width)

    def forward(self, images: Tensor) -> Tensor:
        # The channels of a pixel side by side, as in the command. The strides of one channel are ambiguous otherwise.
        batch, channels, height, width = images.shape
        strides = (channels * height * width, 1, width * channels, channels)
        x = images.permute(0, 2, 3, 1).contiguous().as_strided(images.shape, strides)
        for convolution, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = nn.functional.max_pool2d(norm(convolution(x)), 2).relu()
        return x.mean((2, 3))


class Block(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3 and 1x1 where the outputs are wider than the middle, beside a shortcut."""

    def __init__(self, inputs: int, width: int, outputs: int, stride: int) -> None:
        super().__init__()
        wide = outputs != width
        plan = [(inputs, width, 3, stride), (width, width, 3, 1)]
        if wide:
            plan = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        for number, (a, b, kernel, step) in enumerate(plan, 1):
            self.add_module(f"conv{number}", _convolution(a, b, kernel, step))
            self.add_module(f"bn{number}", nn.BatchNorm2d(b))
        self.steps = len(plan)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(_convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for number in range(1, self.steps + 1):
            y = y if number == 1 else y.relu()
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class Resnet(nn.Module):
    """ResNet-18, -34 or -50 without its classifier, with torchvision's names.

    From B x C x H x W images to B x F features.
    """

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        depths, expansion = _RESNETS[name]
        self.conv1, self.bn1 = _convolution(channels, 64, 7, 2), nn.BatchNorm2d(64)
        inputs = 64
        for stage, (depth, width) in enumerate(zip(depths, (64, 128, 256, 512)), 1):
            blocks = []
            for index in range(depth):
                stride = 2 if stage > 1 and index == 0 else 1
                blocks.append(Block(inputs, width, width * expansion, stride))
                inputs = width * expansion
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))

    def forward(self, images: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.bn1(self.conv1(images)).relu(), 3, 2, 1)
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return x.mean((2, 3))


class Network(nn.Module):
    """A trained network: a backbone with torchvision's names and a head, as ``load_model`` returns it.

    From B x C x S x S float images, as ``preprocess`` makes them, to B x D float32 embeddings, not normalised.
    """

    def __init__(self, description: dict[str, Any], features: int) -> None:
        super().__init__()
        #: What is known of it: ``run``, ``epoch``, ``step``, ``model``, ``preprocessing``, ``precision``, ``distance``
        #: and ``fusion``.
        self.description = description
        model, channels = description["model"], description["preprocessing"]["channels"]
        #: Into how many equal slices the embedding is divided.
        self.slices: int = model["slices"]
        self._frozen: bool = model["freeze-batch-norm"]
        if model["backbone"] == "torchscript":
            self.backbone = torch.jit.load(model["path"], map_location="cpu")  # type: ignore[no-untyped-call]
        elif model["backbone"] == "convnet":
            self.backbone = Convnet(channels, model["width"])
        else:
            self.backbone = Resnet(model["backbone"], channels)
        self.head = nn.Linear(features, model["embedding"])
        if self._frozen:
            for norm in self._norms():
                norm.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        if images.dim() != 4 or not images.is_floating_point():
            shown, dtype = " x ".join(map(str, images.shape)), str(images.dtype).removeprefix("torch.")
            channels = self.description["preprocessing"]["channels"]
            raise ValueError(
                f"images are B x {channels} x H x W floats, as preprocess makes them, not {dtype} of {shown}: "
                "torch.stack([model.preprocess(image), ...]) makes a batch of images"
            )
        embeddings: Tensor = self.head(self.backbone(images)).float()
        return embeddings

    def preprocess(self, image: Image | Tensor | Any) -> Tensor:
        """An image as the network was evaluated with it: C x S x S, float32, on the CPU; ``torch.stack`` makes a batch.

        ``image`` is an image of Pillow, which is turned as its EXIF orientation says and laid on white where it is
        transparent, or an array or a tensor of H x W or H x W x C integers from 0 to 255 (``uint8``).
        """
        how = self.description["preprocessing"]
        return _lossmith.prepare(pixels(image, how["channels"]), how["size"], how["mean"], how["std"])

    def train(self, mode: bool = True) -> Network:
        """As of any module; batch normalisation that was frozen in the training stays so."""
        super().train(mode)
        if self._frozen:
            for norm in self._norms():
                norm.eval()
        return self

    def _norms(self) -> list[nn.BatchNorm2d]:
        return [part for part in self.modules() if isinstance(part, nn.BatchNorm2d)]
