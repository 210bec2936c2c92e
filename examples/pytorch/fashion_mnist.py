"""Fashion-MNIST: its images, batches of it, and how well an embedding finds images of the same class."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

FOLDER = Path(os.environ.get("LOSSMITH_DATA", "/usr/share/datasets"), "fashion-mnist")


def load(part: str, count: int) -> tuple[Tensor, Tensor]:
    """The first images (count x 1 x 28 x 28, from 0 to 1) of ``part``, ``train`` or ``t10k``, and their classes."""
    with gzip.open(FOLDER / f"{part}-images-idx3-ubyte.gz") as file:
        images = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8, offset=16)
    with gzip.open(FOLDER / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8, offset=8)
    return images.view(-1, 1, 28, 28)[:count] / 255, labels[:count].long()


def batches(images: Tensor, labels: Tensor, count: int, samples: int = 12) -> Iterator[tuple[Tensor, Tensor]]:
    """So many batches of ``samples`` images of each class, drawn anew each time."""
    of_class = [torch.nonzero(labels == label).flatten() for label in range(int(labels.max()) + 1)]
    for _ in range(count):
        drawn = torch.cat([images_of[torch.randperm(len(images_of))[:samples]] for images_of in of_class])
        yield images[drawn], labels[drawn]


@torch.no_grad()
def recall_at_1(network: torch.nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images whose nearest other image is of their class."""
    embeddings = normalize(network(images))
    similarities = (embeddings @ embeddings.T).fill_diagonal_(-1)
    return (labels[similarities.argmax(1)] == labels).float().mean().item()
