"""The first calls after an exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lossmith import _lossmith
from lossmith.modules import Balance, Loss, Transfer
from lossmith.objective import Objective
from lossmith.session.terms import Caller


def loss_of(caller: Caller, value: Any) -> Tensor | None:
    """The loss that a call returned, without a way back; None of a module that returns none."""
    if isinstance(caller, (Loss, Balance, Objective)):
        loss: Tensor = value.detach()
        return loss
    if isinstance(caller, Transfer) and caller.balance is None:
        values, divisor, _ = value
        mean: Tensor = values.detach().sum() / divisor
        return mean
    return None


class Probation:
    """The first calls of a revision: each loss is looked at, and the revision goes on if all are good."""

    def __init__(self, steps: int, divergence: float, before: Mapping[Caller, float]) -> None:
        self._steps, self._divergence = steps, divergence
        #: The last loss of each caller before these calls.
        self._before = before
        self._calls: dict[Caller, int] = {}
        self._of: dict[Caller, _lossmith.Probation] = {}

    @property
    def left(self) -> int:
        """For how many more calls it lasts. The module that is called most counts."""
        return max(0, self._steps - max(self._calls.values(), default=0))

    def check(self, caller: Caller, loss: Tensor | None) -> str | None:
        """Looks at a call. Why the revision cannot go on, or None."""
        self._calls[caller] = self._calls.get(caller, 0) + 1
        if loss is None:
            return None
        if caller not in self._of:
            self._of[caller] = _lossmith.Probation(caller.step, self._steps)
        return self._of[caller].check(loss, caller.step, self._before.get(caller, 0.0), self._divergence)
