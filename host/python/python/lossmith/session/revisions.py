"""The revisions of a session: which one is at work, and the way back to those before."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from lossmith import _lossmith
from lossmith.modules import StrategyModule
from lossmith.session.gate import Outcome
from lossmith.session.probation import Probation, loss_of
from lossmith.session.records import LOG, Records
from lossmith.session.report import Candidate, Rollback
from lossmith.session.requests import Binding, Bindings
from lossmith.session.seen import Seen
from lossmith.session.shadows import Shadow
from lossmith.session.states import Copies, Guards, forget, parameters_of
from lossmith.session.terms import Caller

#: So many revisions can be gone back from, one after the other.
WAYS_BACK = 5
#: A gradient that comes in above this is that of a scaled loss, which may overflow in a strategy that is right. Those
#: that scalers begin with (2**16) are below it: strategies compute in 32 bits, where they overflow nothing.
LARGE_GRADIENT = 2.0**64


class Taken:
    """A revision that took over, the one before it, and how everything was then."""

    def __init__(self, candidate: Candidate, before: int, copies: Copies) -> None:
        self.candidate, self.before, self.copies = candidate, before, copies


class Revisions:
    """Exchanges what the modules are bound to, and takes it back."""

    def __init__(
        self,
        slots: Mapping[StrategyModule, str],
        seen: Mapping[Caller, Seen],
        records: Records,
        probation_steps: int,
        divergence: float,
    ) -> None:
        self._slots, self._seen, self._records = slots, seen, records
        self._probation_steps, self._divergence = probation_steps, divergence
        self.guards = Guards(slots)
        #: The number of the candidate that is at work; 0 is what the session began with.
        self.number = 0
        #: While the first calls of a revision are looked at.
        self.probation: Probation | None = None
        #: SHA-256 of components, and of strategies, that are refused.
        self.quarantine: set[str] = set()
        #: Parameters that came with the last exchange, by their names.
        self.new: dict[str, Parameter] = {}
        #: What is wrong with a gradient. It is seen in the middle of a backward pass, where nothing can be changed.
        self.bad_gradient: str | None = None
        #: Parameters of revisions that failed, which optimizers may still have.
        self._gone: set[Parameter] = set()
        self._lineage: deque[Taken] = deque(maxlen=WAYS_BACK)
        #: How everything was at the last boundary, and at the one that it last went back to.
        self._last: Copies | None = None
        self._back_to: Copies | None = None

    def live(self) -> Bindings:
        """What the modules are bound to."""
        return {module: Binding.of(module) for module in self._slots}

    @property
    def has_way_back(self) -> bool:
        """Whether there is a revision to go back to."""
        return bool(self._lineage)

    @property
    def steps(self) -> int:
        """How many calls the first module of the session has had."""
        return next(iter(self._seen)).step

    def keep(self, epochs: int) -> None:
        """Copies everything as it is at a boundary after so many epochs, for the way back to it."""
        self._last = Copies(self._slots, self._seen, self.guards, epochs)

    def restore_guarded(self) -> bool:
        """After `go_back`, gives what is guarded its state of the last boundary back. False if nothing is guarded.

        A `SessionError` names those that do not take it; the others are restored, and these are due again.
        """
        last = self._last_boundary()
        # The step in which it went back may have changed what the modules keep.
        if last.guarded and self._back_to is not None:
            self._back_to.put_back(last)
        gone, self._gone = self._gone, set()
        left = self.guards.restore(last.guarded, gone)
        if left:
            LOG.warning("not restored, since guarded after the last boundary: %s", ", ".join(left))
        return bool(last.guarded)

    def restore_due(self) -> bool:
        """Tries once more what did not take its state back. Returns whether something does."""
        return self.guards.restore_due()

    def _last_boundary(self) -> Copies:
        if self._last is None:
            raise RuntimeError("nothing was kept: there was no boundary")
        return self._last

    # Forward

    def take(self, candidate: Candidate, outcome: Outcome, shadow: Shadow | None) -> None:
        """An accepted candidate takes over; `keep` was called before. If anything is raised, all is as it was."""
        before = self._last_boundary()
        try:
            self._exchange(outcome, shadow)
            self._records.must_record({
                "event": "swap", "revision": candidate.number, "epoch": before.epochs, "step": self.steps,
                "changes": outcome.verdict["changes"], "plugins": outcome.verdict["plugins"],
            })
        except BaseException:
            before.put_back(before)
            raise
        self._lineage.append(Taken(candidate, self.number, before))
        self.number, self.bad_gradient = candidate.number, None
        losses = {caller: float(seen.loss) for caller, seen in self._seen.items() if seen.loss is not None}
        self.probation = Probation(self._probation_steps, self._divergence, losses) if self._probation_steps else None
        self.new = {
            f"{slot}/{name}": parameter
            for module, slot in self._slots.items()
            for name, parameter in parameters_of(module).items()
            if not before.has(parameter)
        }
        if self.new:
            LOG.warning(
                "give the optimizer session.new_parameters, which began with revision %d: %s",
                self.number, ", ".join(self.new),
            )

    def _exchange(self, outcome: Outcome, shadow: Shadow | None) -> None:
        """Binds the modules anew. What they keep goes on, except for what begins anew."""
        changed = set()
        for module, bound in outcome.bindings.items():
            place = f"{self._slots[module]}/"
            reset = {name.removeprefix(place) for name in outcome.reset if name.startswith(place)}
            if not reset and bound.identity == Binding.of(module).identity:
                continue
            forget(module, reset)
            bound.take(module)
            changed.add(module)
        if shadow is not None:
            shadow.move_into_place()
            changed.add(shadow.replaced)
        # What the first call would make, so that an optimizer can have it before.
        for seen in self._seen.values():
            if seen.batch is None or changed.isdisjoint(seen.members):
                continue
            for module, made in zip(seen.members, seen.compute().changed, strict=True):
                known = module._names.values()
                module._keep([kept for kept in made if kept[2] is not None and kept[0] not in known])

    # The first calls

    def fault(self, caller: Caller, batch: _lossmith.Batch, value: Any) -> str | None:
        """Why the revision cannot go on after one of its first calls; None if it can."""
        if self.probation is None:
            return None
        loss = loss_of(caller, value)
        fault = self.probation.check(caller, loss)
        if fault is not None:
            return fault
        if loss is not None and batch.embeddings.requires_grad:
            # Of pair losses the mean is what counts, as in `loss_of`.
            returned, divisor = value[:2] if isinstance(value, tuple) else (value, 1.0)
            look = _LookAtGradient(self, caller.step, LARGE_GRADIENT / max(divisor, 1.0))
            if returned.requires_grad:
                returned.register_hook(look.at_value)
                batch.embeddings.register_hook(look.at_embeddings)  # type: ignore[no-untyped-call]
        if self.probation.left == 0:
            self.probation = None
        return None

    # Back

    def go_back(self, reason: str, wish: bool) -> Rollback:
        """The modules are again what they were before the last exchange, with the numbers of the last boundary.

        If it is no wish, what failed is refused from now on. What is guarded is not touched.
        """
        taken, failed_at, failed = self._lineage.pop(), self.steps, self.live()
        last, self._back_to = self._last_boundary(), taken.copies
        parameters = self._parameters()
        taken.copies.put_back(last)
        self._gone = (self._gone | parameters) - self._parameters()
        live = self.live()
        good = {bound.component.hash for bound in live.values()}
        quarantined = [] if wish else sorted({bound.component.hash for bound in failed.values()} - good)
        if not quarantined and not wish:
            # The parameters are at fault.
            quarantined = [self._records.digest(failed)]
        rollback = Rollback(self.number, taken.before, reason, failed_at, self.steps, tuple(quarantined))
        self.quarantine.update(quarantined)
        self.number, self.probation, self.bad_gradient, self.new = taken.before, None, None, {}
        taken.candidate.verdict, taken.candidate.reason = "rolled back", reason
        self._records.record({
            "event": "rollback", "revision": rollback.revision, "to": rollback.to, "epoch": last.epochs,
            "step": rollback.step, "failed_at": failed_at, "reason": reason, "quarantined": quarantined,
            "plugins": self._records.plugins(live),
        }, f"{rollback}; {self.guards.promise(last.guarded)}")
        return rollback

    def _parameters(self) -> set[Parameter]:
        return {parameter for module in self._slots for parameter in parameters_of(module).values()}


class _LookAtGradient:
    """Looks at the gradient that a call makes of the one that comes in; both stay as they are."""

    def __init__(self, revisions: Revisions, step: int, large: float) -> None:
        self._revisions, self._number, self._step = weakref.ref(revisions), revisions.number, step
        #: Above this, what comes in says nothing of the strategy.
        self._large = large
        self._incoming: Tensor | None = None

    def at_value(self, gradient: Tensor) -> None:
        """The gradient that comes in."""
        self._incoming = gradient.detach()

    def at_embeddings(self, gradient: Tensor) -> None:
        """The gradient that goes on. Where a scaler's factor makes numbers too large, no strategy is at fault."""
        there, incoming, self._incoming = self._revisions(), self._incoming, None
        if there is None or there.number != self._number or incoming is None:
            return
        if not bool(torch.isfinite(gradient).all()) and bool((incoming.abs() <= self._large).all()):
            there.bad_gradient = f"the gradient of step {self._step} is not finite"
