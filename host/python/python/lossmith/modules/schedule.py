"""Schedules."""

from __future__ import annotations

from torch import Tensor

from lossmith.modules.calls import eager, full_precision, without_autocast
from lossmith.modules.strategy import StrategyModule


class Schedule(StrategyModule):
    """A schedule: a threshold for each slice of the embedding, for losses on several thresholds."""

    ROLE = "schedule"

    @eager
    def forward(self, embeddings: Tensor, labels: Tensor) -> list[float]:
        """The thresholds for a batch. The embeddings get no gradient of it."""
        embeddings = full_precision(embeddings).detach()
        with without_autocast(embeddings):
            batch = self._batch(embeddings, labels)
            thresholds: list[float] = self._call(batch)
        return thresholds
