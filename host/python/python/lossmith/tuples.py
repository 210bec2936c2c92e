"""Tuples of positions in a batch, as miners return them and losses take them: those of pytorch-metric-learning, too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Tuples = Sequence[Tensor]


def all_pairs(labels: Tensor, ref_labels: Tensor) -> tuple[Tensor, ...]:
    """All pairs of a batch with references: anchors, positives, anchors, negatives."""
    same = labels.unsqueeze(1) == ref_labels.unsqueeze(0)
    return (*torch.nonzero(same, as_tuple=True), *torch.nonzero(~same, as_tuple=True))


def among_both(tuples: Tuples, size: int, references: int) -> tuple[Tensor, ...]:
    """Tuples of a batch of ``size`` with ``references``, as positions in the batch with the references below it."""
    if len(tuples) not in (3, 4):
        raise ValueError(
            "indices_tuple has 3 vectors (anchors, positives, negatives) or 4 (anchors, positives, anchors, "
            f"negatives), not {len(tuples)}"
        )
    anchors = (0,) if len(tuples) == 3 else (0, 2)
    for number, positions in enumerate(tuples):
        end, what = (size, "anchors in the batch") if number in anchors else (references, "positions in ref_emb")
        if positions.numel() and (positions.min() < 0 or positions.max() >= end):
            low, high = int(positions.min()), int(positions.max())
            raise ValueError(f"indices_tuple has {what} from {low} to {high}: they must be from 0 to {end - 1}")
    return tuple(part if number in anchors else part + size for number, part in enumerate(tuples))
