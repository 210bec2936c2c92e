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


def among_both(tuples: Tuples, size: int) -> tuple[Tensor, ...]:
    """Tuples of a batch of ``size`` with references, as positions in the batch with the references below it."""
    match len(tuples):
        case 3:
            anchors, positives, negatives = tuples
            return anchors, positives + size, negatives + size
        case 4:
            anchors, positives, negative_anchors, negatives = tuples
            return anchors, positives + size, negative_anchors, negatives + size
    raise ValueError(
        "indices_tuple has 3 vectors (anchors, positives, negatives) or 4 (anchors, positives, anchors, negatives), "
        f"not {len(tuples)}"
    )
