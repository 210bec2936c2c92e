"""Transfers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lossmith.distributed import gathered
from lossmith.modules.balance import Balance, PairLosses
from lossmith.modules.calls import eager, full_precision, without_autocast
from lossmith.modules.strategy import StrategyModule


class Transfer(StrategyModule):
    """A transfer: what a student's embeddings miss of a teacher's, as a scalar.

    ``balance`` weighs its pair losses; without one they are summed and divided by the transfer's divisor.
    """

    ROLE = "transfer"

    def __init__(
        self,
        plugin: str | os.PathLike[str],
        strategy: str | None = None,
        *,
        balance: Balance | None = None,
        classes: int | None = None,
        slices: int = 1,
        seed: int = 0,
        limits: Mapping[str, int] | None = None,
        gather: bool = False,
        **params: Any,
    ) -> None:
        super().__init__(
            plugin, strategy, classes=classes, slices=slices, seed=seed, limits=limits, gather=gather, **params
        )
        if balance is not None and not isinstance(balance, Balance):
            raise TypeError(f"balance must be a lossmith.Balance, not {type(balance).__name__}")
        self.balance = balance

    @eager
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        teacher: Tensor | None = None,
        *,
        thresholds: list[float] | None = None,
        feature_map: Tensor | None = None,
        teacher_feature_map: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch; ``teacher`` is B x D', the teacher's embeddings of the same images."""
        rows = self._rows(
            thresholds,
            embeddings=embeddings,
            labels=labels,
            teacher=teacher,
            feature_map=feature_map,
            teacher_feature_map=teacher_feature_map,
        )
        pairs = self._pair_losses(thresholds, **rows)
        if self.balance is None:
            return pairs.total()
        balanced: Tensor = self.balance(pairs, rows["embeddings"], rows["labels"], rows["teacher"])
        return balanced

    @eager
    def pair_losses(
        self,
        embeddings: Tensor,
        labels: Tensor,
        teacher: Tensor | None = None,
        *,
        thresholds: list[float] | None = None,
        feature_map: Tensor | None = None,
        teacher_feature_map: Tensor | None = None,
    ) -> PairLosses:
        """What a balance weighs: a loss for each pair of images, of all ranks with ``gather=True``."""
        rows = self._rows(
            thresholds,
            embeddings=embeddings,
            labels=labels,
            teacher=teacher,
            feature_map=feature_map,
            teacher_feature_map=teacher_feature_map,
        )
        return self._pair_losses(thresholds, **rows)

    def _rows(self, thresholds: list[float] | None, **rows: Tensor | None) -> dict[str, Any]:
        """The rows that a call was given, of all ranks with ``gather=True``."""
        return gathered(rows, {**self._same(), "thresholds": thresholds}) if self.gather else rows

    def _pair_losses(
        self, thresholds: list[float] | None, embeddings: Tensor, labels: Tensor, **teacher: Any
    ) -> PairLosses:
        embeddings = full_precision(embeddings)
        with without_autocast(embeddings):
            return PairLosses(*self._call(self._batch(embeddings, labels, thresholds=thresholds, **teacher)))
