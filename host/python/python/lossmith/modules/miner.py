"""Miners."""

from __future__ import annotations

from torch import Tensor

from lossmith.distributed import gathered
from lossmith.modules.calls import eager, full_precision, without_autocast
from lossmith.modules.strategy import StrategyModule


class Miner(StrategyModule):
    """A miner: positions in a batch that are worth a comparison, for ``indices_tuple`` of a loss.

    Triplets are 3 vectors (anchors, positives, negatives), pairs are 4 (anchors, positives, anchors, negatives).
    """

    ROLE = "miner"

    @eager
    def forward(
        self, embeddings: Tensor, labels: Tensor, ref_emb: Tensor | None = None, ref_labels: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """The tuples of a batch. The embeddings get no gradient of it."""
        if ref_emb is None and ref_labels is None:
            usual: tuple[Tensor, ...] | None = self._usual(embeddings, labels)
            if usual is not None:
                return usual
        if ref_emb is not None and ref_emb is not embeddings:
            raise NotImplementedError(
                "a miner chooses among the rows of one batch: without ref_emb, or take a miner of "
                "pytorch-metric-learning"
            )
        if self.gather:
            rows = gathered({"embeddings": embeddings, "labels": labels}, self._same())
            embeddings, labels = rows.values()
        embeddings = full_precision(embeddings).detach()
        with without_autocast(embeddings):
            batch = self._batch(embeddings, labels)
            tuples: tuple[Tensor, ...] = self._call(batch)
        if len(embeddings) == 1:
            self._warn_of_one(not any(map(len, tuples)))
        return tuples
