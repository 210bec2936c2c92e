"""What a session sees of the calls of a module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from lossmith import _lossmith
from lossmith.modules import StrategyModule
from lossmith.objective import Objective
from lossmith.session.terms import Caller

#: The dtype and the device of what strategies keep, by the module and the strategy's name.
Places = dict[tuple[StrategyModule, str], tuple[torch.dtype, torch.device]]


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
        #: What the batch was then: the version of its embeddings, and the dtype and device of what the members keep.
        self._version: int | None = None
        self._places: Places = {}

    def remember(self, batch: _lossmith.Batch, given: tuple[Any, ...], loss: Tensor | None) -> None:
        """Keeps handles of a call, without a way back into the network."""
        if given:
            values, divisor, parts = given
            given = values.detach(), divisor, {name: part.detach() for name, part in parts.items()}
        self.batch, self.given, self.loss = batch.detach(), given, loss
        self._version, self._places = _version(batch.embeddings), places(self.members)

    @property
    def images(self) -> int:
        """The number of images of the batch."""
        return 0 if self.batch is None else len(self.batch)

    @property
    def usable(self) -> bool:
        """Whether there is a batch, as it was when the module was called, for a module that was not moved since."""
        if self.batch is None or _version(self.batch.embeddings) != self._version:
            return False
        return not moved(self._places, places(self.members))

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


def places(modules: Iterable[StrategyModule]) -> Places:
    """Where that which modules keep is."""
    kept = ((module, name, tensor) for module in modules for name, tensor, _ in module._kept())
    return {(module, name): (tensor.dtype, tensor.device) for module, name, tensor in kept}


def moved(before: Mapping[Any, object], now: Mapping[Any, object]) -> bool:
    """Whether something that was there before has another dtype or device now."""
    return any(name in now and now[name] != place for name, place in before.items())


def _version(tensor: Tensor) -> int | None:
    """How often a tensor was changed in place; None of one that does not count it."""
    return None if tensor.is_inference() else tensor._version
