"""What a session sees of the calls of a module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lossmith import _lossmith
from lossmith.modules import StrategyModule
from lossmith.objective import Objective
from lossmith.session.terms import Caller


class Seen:
    """The last call of a module, for the checks of candidates."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        #: The strategies that a call of it calls.
        self.members: list[StrategyModule] = caller.strategies if isinstance(caller, Objective) else [caller]
        #: Its batch, detached; None before the first call.
        self.batch: _lossmith.Batch | None = None
        #: What else it was called with: of a balance pair losses, their divisor and their parts.
        self.given: tuple[Any, ...] = ()
        self.loss: Tensor | None = None

    def remember(self, batch: _lossmith.Batch, given: tuple[Any, ...], loss: Tensor | None) -> None:
        """Keeps handles of a call, without a way back into the network."""
        if given:
            values, divisor, parts = given
            given = values.detach(), divisor, {name: part.detach() for name, part in parts.items()}
        self.batch, self.given, self.loss = batch.detach(), given, loss

    def leaves(self, classes: int | None) -> _lossmith.Batch:
        """The batch with leaves that have a gradient, for a strategy that is told of so many classes."""
        if self.batch is None:
            raise RuntimeError("there is no batch before the first call")
        return self.batch.leaves(classes or 0)

    def compute(self) -> _lossmith.Called:
        """Calls the module as it was called last. It stays as it is."""
        given = self.given
        if given:
            given = given[0].detach().requires_grad_(), *given[1:]
        with torch.enable_grad():
            return self.caller._compute(self.leaves(self.members[0].classes), *given)
