"""What a rank does in the tests of the wrappers of pytorch-metric-learning.

A process that is started imports no more than this.
"""

from __future__ import annotations

from pathlib import Path

import torch
from peer import BATCHES, DIMENSION, assert_equal, batch, computed
from pytorch_metric_learning import losses
from pytorch_metric_learning.utils import distributed
from torch import Tensor

from lossmith import Loss


class ContrastiveLoss(Loss):
    """`CrossBatchMemory` and `SelfSupervisedLoss` look at the name of the class alone."""


class GatheredContrastiveLoss(Loss, losses.BaseMetricLossFunction):
    """`DistributedLossWrapper` looks at the class."""


def steps(count: int, dtype: torch.dtype = torch.float64) -> list[tuple[Tensor, Tensor]]:
    """Batches of a training."""
    return [batch(BATCHES["several"], dtype, seed) for seed in range(count)]


def gathered(rank: int, folder: str) -> None:
    """A rank of two: what the wrapper gives for both, with both ways of gathering, and with a memory."""
    address = f"file://{folder}/rendezvous"
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    ours, theirs = GatheredContrastiveLoss("losses", "contrastive"), losses.ContrastiveLoss()
    wrapper = distributed.DistributedLossWrapper
    pairs = [[wrapper(loss, efficient=efficient) for loss in (ours, theirs)] for efficient in (True, False)]
    in_memory = ContrastiveLoss("losses", "contrastive")
    pairs.append([wrapper(losses.CrossBatchMemory(loss, DIMENSION, 64)) for loss in (in_memory, theirs)])
    for embeddings, labels in steps(4)[rank::2]:
        for pair in pairs:
            assert_equal(*[computed(loss, embeddings, labels) for loss in pair], torch.float64)
    torch.distributed.destroy_process_group()
    Path(folder, f"rank {rank} is done").touch()
