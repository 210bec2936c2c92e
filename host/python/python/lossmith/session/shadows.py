"""Losses that are computed beside the one at work, on the same batches."""

from __future__ import annotations

import weakref

import torch
from torch import Tensor

from lossmith import _lossmith
from lossmith.errors import PluginError
from lossmith.modules import StrategyModule
from lossmith.session.records import LOG
from lossmith.session.states import forget
from lossmith.session.terms import Term
from lossmith.training import of_step


class Shadow:
    """A loss that sees the batches of another one, and never touches the network."""

    def __init__(self, name: str, module: StrategyModule, term: Term, replaced: StrategyModule) -> None:
        self.name, self.module, self.term, self.replaced = name, module, term, replaced
        #: Of the last batch: ``loss``, ``gradient-norm``, and after the backward pass ``cosine`` to the gradient that
        #: reached the embeddings.
        self.metrics: dict[str, Tensor] = {}
        self.failed = False
        self._core: tuple[list[_lossmith.Strategy], _lossmith.Objective] | None = None

    def compute(self, batch: _lossmith.Batch) -> None:
        """Computes a batch. A fault leaves the shadow out from then on, and is in the log."""
        if self.failed:
            return
        try:
            self._compute(batch)
        except PluginError as error:
            self.failed, self.metrics = True, {}
            LOG.warning("shadow `%s` is left out from now on: %s", self.name, error)

    def move_into_place(self) -> None:
        """Gives what it keeps, the very parameters, to the module that it replaces. It is a shadow no more."""
        module, replaced = self.module, self.replaced
        forget(replaced, set(replaced._names.values()))
        for name, tensor, multiplier in module._kept():
            replaced._keep([(name, tensor, multiplier)])
        replaced.classes = module.classes or replaced.classes

    def _compute(self, batch: _lossmith.Batch) -> None:
        module, place = self.module, self.term.members.index(self.replaced)
        members = [module if member is self.replaced else member for member in self.term.members]
        leaves = batch.leaves(module.classes or self.replaced.classes or 0)
        called = self._objective(members).compute(leaves, [member._kept() for member in members], of_step(module.step))
        module.step += 1
        module._keep(called.changed[place])
        own = [module.get_parameter(attribute) for attribute in module._multipliers]
        wanted = [leaves.embeddings, *own]
        gradient, *gradients = torch.autograd.grad(called.value, wanted, allow_unused=True, materialize_grads=True)
        for parameter, found in zip(own, gradients, strict=True):
            # For an optimizer that trains the shadow's own parameters, if the user has one.
            parameter.grad = found
        self.metrics = {"loss": called.value.detach(), "gradient-norm": gradient.norm()}
        if batch.embeddings.requires_grad:
            batch.embeddings.register_hook(_Compare(self, gradient))  # type: ignore[no-untyped-call]

    def _objective(self, members: list[StrategyModule]) -> _lossmith.Objective:
        cores = [member._core for member in members]
        if self._core is None or any(a is not b for a, b in zip(cores, self._core[0], strict=True)):
            self._core = cores, self.term.objective(cores)
        return self._core[1]


class _Compare:
    """Compares the gradient of a shadow with the one that reaches the embeddings, which stays as it is."""

    def __init__(self, shadow: Shadow, gradient: Tensor) -> None:
        self._shadow, self._gradient = weakref.ref(shadow), gradient

    def __call__(self, live: Tensor) -> None:
        shadow = self._shadow()
        if shadow is None:
            return
        norms = self._gradient.norm() * live.norm()
        shadow.metrics["cosine"] = (self._gradient * live).sum() / torch.where(norms > 0, norms, 1.0)
