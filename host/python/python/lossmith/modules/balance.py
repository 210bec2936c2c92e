"""Balances, and the pair losses that they weigh."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from lossmith.given import plain
from lossmith.modules.calls import eager, full_precision, without_autocast
from lossmith.modules.strategy import StrategyModule


@dataclass
class PairLosses:
    """Pair losses of a transfer: B x B ``values``, what their sum is divided by, and the matrices they were made of.

    The matrices are by name.
    """

    values: Tensor
    divisor: float
    parts: dict[str, Tensor] = field(default_factory=dict)

    def total(self) -> Tensor:
        """The unbalanced loss: the sum over the divisor."""
        return self.values.sum() / self.divisor


class Balance(StrategyModule):
    """A balance: weighs the pair losses of a transfer into a scalar."""

    ROLE = "balance"

    @eager
    def forward(
        self, pair_losses: PairLosses, embeddings: Tensor, labels: Tensor, teacher: Tensor | None = None
    ) -> Tensor:
        """The weighted sum of ``pair_losses``, which a transfer made of this batch."""
        if not isinstance(pair_losses, PairLosses):
            found = type(pair_losses).__name__
            raise TypeError(f"pair_losses must be what pair_losses() of a transfer returns, not {found}")
        embeddings = full_precision(embeddings)
        size = embeddings.shape[0] if embeddings.dim() else 0
        if plain(pair_losses.values, "pair_losses").shape != (size, size):
            raise ValueError(
                f"pair_losses are {tuple(pair_losses.values.shape)}, and there are {size} embeddings: give those of "
                "this batch"
            )
        with without_autocast(embeddings):
            batch = self._batch(embeddings, labels, teacher=teacher)
            value: Tensor = self._call(batch, pair_losses.values, pair_losses.divisor, pair_losses.parts)
        return value
