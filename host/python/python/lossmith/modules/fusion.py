"""Fusions."""

from __future__ import annotations

from torch import Tensor

from lossmith.modules.calls import eager, full_precision, without_autocast
from lossmith.modules.strategy import StrategyModule


class Fusion(StrategyModule):
    """A fusion: one embedding (B x D') of the slices of each (B x D)."""

    ROLE = "fusion"

    @eager
    def forward(self, embeddings: Tensor) -> Tensor:
        """The fused embeddings."""
        embeddings = full_precision(embeddings)
        with without_autocast(embeddings):
            batch = self._batch(embeddings, None)
            fused: Tensor = self._call(batch)
        return fused
