"""The session: strategies of a loop that are exchanged while it runs."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from lossmith import _lossmith
from lossmith.errors import PluginError, SessionError
from lossmith.modules import StrategyModule
from lossmith.objective import Objective
from lossmith.session.arguments import check_settings, check_timeout, complete_epochs, shadow_name
from lossmith.session.candidates import Candidates, did_you_mean, with_parameter
from lossmith.session.probation import loss_of
from lossmith.session.records import LOG, Records
from lossmith.session.report import Candidate, Report, Rollback
from lossmith.session.requests import Wish, located
from lossmith.session.revisions import Revisions
from lossmith.session.seen import Seen
from lossmith.session.shadows import Shadow
from lossmith.session.terms import Caller, slots, terms

_open: weakref.WeakSet[Session] = weakref.WeakSet()


class Session:
    """Exchanges strategies of a loop that runs, and takes them back if they fail.

    >>> session = lossmith.Session(loss, miner, journal="runs/first")   # doctest: +SKIP
    >>> session.guard(model, optimizer)                                 # doctest: +SKIP
    >>> for epoch in range(20):                                         # doctest: +SKIP
    ...     session.boundary(epoch)
    ...     for images, labels in loader:
    ...         ...
    ...         optimizer.step()
    ...         session.step()

    Whenever a file that a module was made of changes, or :meth:`set`, :meth:`replace` or :meth:`promote` ask for it,
    a candidate is checked in the background on the last batch of the loop. One that is good is taken at the next
    :meth:`boundary`. If it fails in its first calls, or a strategy faults later, the session goes back to the
    strategies before, computes the call again with them, and the loop goes on; what failed is refused from then on.

    ``modules`` are strategies and objectives; an objective is tried out as a whole. ``journal`` is a folder that does
    not exist yet; ``lossmith runs show`` shows it. ``on_rollback`` is called with a :class:`Rollback` at the safe point
    after one, when what is guarded was restored. In the first ``probation_steps`` calls of what took over, values and
    gradients must be finite, and no loss may be above ``divergence`` times the first one or the last one before,
    whichever is larger. ``watch`` says whether files are followed.

    A module belongs to one session at most: its ``session``. When the session ends, modules go on with what is at work
    and are free again. Close it, or use it in ``with``: one that is open when the process ends is in the journal as
    interrupted. A session belongs to the process that made it, and its methods to the thread of the loop.
    """

    def __init__(
        self,
        *modules: StrategyModule | Objective,
        journal: str | os.PathLike[str] | None = None,
        on_rollback: Callable[[Rollback], object] | None = None,
        probation_steps: int = 20,
        divergence: float = 10.0,
        watch: bool = True,
    ) -> None:
        check_settings(modules, on_rollback, probation_steps, divergence)
        self._process, self._on_rollback = os.getpid(), on_rollback
        self._slots, self._terms = slots(modules), terms(modules)
        callers: tuple[Caller, ...] = (*modules, *self._slots)
        self._seen = {caller: Seen(caller) for caller in dict.fromkeys(callers)}
        self._shadows: dict[str, Shadow] = {}
        for module in self._slots:
            module.source = located(module.source)
        self._records = Records(journal, self._slots)
        try:
            self._revisions = Revisions(self._slots, self._seen, self._records, probation_steps, divergence)
            self._records.begin(self._revisions.live())
            self._candidates = Candidates(
                self._slots, self._terms, self._seen, self._revisions, self._shadows, self._records, watch
            )
        except BaseException:
            self._records.remove()
            raise
        self._changed = self._candidates.changed
        #: Rollbacks that the loop was not told of at a safe point yet.
        self._due: list[Rollback] = []
        self._report = Report()
        #: Epochs that were complete at the last boundary, and those that are at the next one.
        self._epochs = self._boundaries = 0
        self._closed = False
        for caller in self._seen:
            caller._session = self
        _open.add(self)

    # What a user asks for

    def set(
        self, name: str, value: Any, module: StrategyModule | None = None, *, reset: Sequence[str] = ()
    ) -> Candidate:
        """Asks for another value of a parameter; the module that has it is found, or is ``module``.

        ``reset`` names kept tensors that may begin anew if they do not fit. A name that no module has, a value of
        another type or outside the range is an error at once; what the checks say will be in the candidate that is
        returned.
        """
        self._must_be_open()
        if not isinstance(name, str):
            raise TypeError(f'name must be that of a parameter, a text as "negative_margin", not {name!r}')
        name = name.replace("_", "-")
        with self._changed:
            base = self._candidates.base()
            module = with_parameter(name, base, self._slots) if module is None else self._own(module)
            base[module].with_parameter(module, name, value)
            values, may_reset = {module: {name: value}}, {module: self._resettable(module, reset)}
            return self._candidates.request(f"set {name}={value}", (module,), values=values, reset=may_reset)

    def replace(
        self,
        module: StrategyModule,
        plugin: str | os.PathLike[str],
        strategy: str | None = None,
        *,
        reset: Sequence[str] = (),
        **params: Any,
    ) -> Candidate:
        """Asks for another component in a module: a bare name, a file, or a folder, which is built and followed.

        ``strategy`` can be left out if the component has one of this role only, or one of the same name. ``reset``
        names kept tensors that may begin anew if they do not fit; ``params`` are the strategy's.
        """
        self._must_be_open()
        with self._changed:
            module, source = self._own(module), located(os.fspath(plugin))
            given = {name.replace("_", "-"): value for name, value in params.items()}
            wish, may_reset = Wish(source, strategy, given), {module: self._resettable(module, reset)}
            return self._candidates.request(f"replace {source}", (module,), wishes={module: wish}, reset=may_reset)

    def shadow(self, loss: StrategyModule, name: str | None = None) -> None:
        """Computes another loss, or transfer, beside the one at work on each batch, from the next call on.

        The network gets no gradient of it. Those of its own parameters are left in their ``grad``, for an optimizer
        of yours. ``session.shadows`` has what it measures; ``name`` is that of its strategy, if none is given.
        """
        self._must_be_open()
        with self._changed:
            roles = sorted({term.members[0].ROLE for term in self._terms})
            term = next((term for term in self._terms if term.members[0].ROLE == getattr(loss, "ROLE", "")), None)
            if not roles:
                raise SessionError("the session has no loss that a shadow could stand beside", "give it the loss, too")
            if not isinstance(loss, StrategyModule) or term is None:
                raise TypeError(f"a shadow must be a strategy of the role {' or '.join(roles)}, as the one at work")
            if loss._session is not None:
                raise SessionError("this module belongs to a session already", "give the shadow a module of its own")
            if loss.slices != term.members[0].slices:
                raise ValueError(f"the shadow has slices={loss.slices}, and the one at work {term.members[0].slices}")
            name = shadow_name(name or loss.strategy)
            if name in self._shadows:
                raise SessionError(f"there is a shadow `{name}` already", "name this one: shadow(loss, name=...)")
            loss._session, loss.source = self, located(loss.source)
            self._shadows[name] = Shadow(name, loss, term, term.members[0])

    @property
    def shadows(self) -> dict[str, dict[str, Tensor]]:
        """What each shadow measured on the last batch, by its name: ``loss``, ``gradient-norm``, ``cosine``.

        ``cosine`` is that to the gradient which reached the embeddings; it is there after the backward pass.
        """
        return {name: dict(shadow.metrics) for name, shadow in self._shadows.items()}

    def promote(self, name: str) -> Candidate:
        """Asks for a shadow in the place of the loss, with what it keeps. When it is taken, the shadow ends."""
        self._must_be_open()
        with self._changed:
            if name not in self._shadows:
                raise SessionError(f"there is no shadow `{name}`", did_you_mean(name, list(self._shadows), "shadows"))
            modules = (self._shadows[name].replaced,)
            return self._candidates.request(f"promote {name}", modules, promoted=name)

    def guard(self, *objects: Any) -> None:
        """Restores these after a rollback: whatever has ``state_dict`` and ``load_state_dict``.

        They are copied at each boundary at which a candidate is taken, or one that was taken is at work and past its
        first calls. That needs the memory of one copy of each.
        """
        self._must_be_open()
        for guarded in objects:
            self._revisions.guards.add(guarded)

    # What the loop tells

    def boundary(self, epoch: int | None = None) -> Report:
        """The loop says that now is the time: what is due is restored, and the accepted candidate is taken.

        ``epoch`` is how many epochs are complete; without it boundaries are counted. Call it between two steps.
        During the first calls of a revision nothing is taken, and the report says so.
        """
        self._must_be_open()
        complete = self._boundaries if epoch is None else complete_epochs(epoch)
        with self._changed:
            self._epochs = complete
            self._boundaries = self._epochs + 1
            self._settle()
            self._candidates.look()
            staged, probation = self._candidates.staged, self._revisions.probation
            if probation is None:
                if staged is not None or self._revisions.has_way_back:
                    self._revisions.keep(self._epochs)
                self._swap()
            elif staged is not None:
                self._report.waiting = (
                    f"candidate {staged[0].request.candidate.number} waits for a later boundary: revision "
                    f"{self._revisions.number} is on probation for {probation.left} more calls"
                )
            return self._take_report()

    def step(self) -> bool:
        """The loop says that a step is over, after ``optimizer.step()``: what is due after a rollback is restored here.

        Without it that is done at the next boundary, and a gradient that is not finite is noticed at the next call
        only, when the network has made a step with it. Returns whether something was restored.
        """
        self._must_be_open()
        self._candidates.look()
        if self._revisions.bad_gradient is None and not self._due:
            return False
        with self._changed:
            return self._settle()

    def rollback(self) -> Report:
        """Goes back to the strategies before those at work, and restores what is guarded. Call it between two steps."""
        self._must_be_open()
        with self._changed:
            if not self._revisions.has_way_back:
                raise SessionError(
                    "there is nothing to go back to: the strategies at work are those that the session began with",
                    "ask for others with set or replace",
                )
            self._go_back("rollback()", wish=True)
            self._settle()
            return self._take_report()

    @property
    def candidates(self) -> list[Candidate]:
        """The candidates so far, the oldest first; of many the last hundred."""
        if not self._closed and os.getpid() == self._process:
            self._candidates.look()
        return list(self._candidates.all)

    @property
    def new_parameters(self) -> list[Parameter]:
        """Parameters of strategies that came with the last exchange, for ``optimizer.add_param_group``."""
        return list(self._revisions.new.values())

    @property
    def revision(self) -> int:
        """The number of the candidate that is at work; 0 is what the session began with."""
        return self._revisions.number

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until no candidate is under check. False if that takes longer than ``timeout`` seconds.

        A candidate that waits for the first batch of the loop is not waited for.
        """
        self._must_be_open()
        check_timeout(timeout)
        return self._candidates.wait(timeout)

    def close(self) -> None:
        """Ends the session and a check that is under way. Modules go on with what is at work, and are free again."""
        self._end({"event": "finished"})

    def __enter__(self) -> Session:
        self._must_be_open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is None:
            self.close()
        elif issubclass(kind, (KeyboardInterrupt, SystemExit)):
            self._end({"event": "interrupted"})
        else:
            self._end({"event": "failed", "error": " ".join(f"{kind.__name__}: {error}".split())})

    # Calls of the modules

    def _call(self, caller: Caller, batch: _lossmith.Batch, given: tuple[Any, ...] = ()) -> Any:
        """A call of a module: it is looked at, and computed again with what was at work before if it failed."""
        seen = self._seen.get(caller)
        # A shadow that the user calls.
        if seen is None:
            return caller._finish(caller._compute(batch, *given))
        revisions, trains = self._revisions, torch.is_grad_enabled()
        if revisions.bad_gradient is not None:
            self._go_back(revisions.bad_gradient)
        try:
            called = caller._compute(batch, *given)
            fault = revisions.fault(caller, batch, called.value) if trains else None
        except PluginError as error:
            if error.cause == "machine" or not revisions.has_way_back:
                raise
            fault = error.message
        if fault is not None:
            self._go_back(fault)
            called = caller._compute(batch, *given)
        if trains:
            self._records.note_device(revisions.live(), batch)
            seen.remember(batch, given, loss_of(caller, called.value))
            for shadow in self._shadows.values():
                if shadow.term.caller is caller:
                    shadow.compute(batch)
            self._candidates.look()
        return caller._finish(called)

    # Exchange and way back

    def _swap(self) -> None:
        staged = self._candidates.staged
        if staged is None:
            return
        promoted = staged[0].request.promoted
        candidate = self._candidates.take_staged()
        if candidate is None:
            asked = staged[0].request.candidate
            if asked.verdict in ("waiting", "checking"):
                self._report.waiting = (
                    f"candidate {asked.number} is checked again: modules were moved to another dtype or device"
                )
            return
        self._report.swapped, self._report.new_parameters = candidate, list(self._revisions.new)
        if promoted is not None:
            self._shadows.pop(promoted).module._session = None

    def _go_back(self, reason: str, wish: bool = False) -> None:
        """The modules are what they were before; what is guarded follows at the next safe point."""
        with self._changed:
            rollback = self._revisions.go_back(reason, wish)
            self._candidates.went_back()
            self._due.append(rollback)
            self._report.rolled_back.append(rollback)

    def _settle(self) -> bool:
        """At a safe point: what is due after a rollback. Returns whether something was restored."""
        if self._revisions.bad_gradient is not None:
            self._go_back(self._revisions.bad_gradient)
        due, self._due = self._due, []
        if not due:
            return self._revisions.restore_due()
        # All are told, in their order, also if one of them or the restoring raises.
        with ExitStack() as told:
            for rollback in reversed(due):
                told.callback(self._tell, rollback)
            restored = self._revisions.restore_guarded()
            self._report.restored |= restored
        return restored

    def _tell(self, rollback: Rollback) -> None:
        if self._on_rollback is not None:
            self._on_rollback(rollback)

    def _take_report(self) -> Report:
        self._report.refused, self._candidates.refused = self._candidates.refused, []
        report, self._report = self._report, Report()
        return report

    # What is asked of the user's arguments

    def _own(self, module: Module) -> StrategyModule:
        if module in self._slots:
            return module
        if isinstance(module, Objective):
            raise SessionError("an objective has several strategies", "name one of its modules, such as objective.loss")
        raise SessionError("this module is none of the session's", f"the session has {', '.join(self._slots.values())}")

    def _resettable(self, module: StrategyModule, names: Sequence[str]) -> tuple[str, ...]:
        if isinstance(names, str):
            raise TypeError(f"reset is a list of names: reset=[{names!r}]")
        kept = list(module._names.values())
        for name in names:
            if name not in kept:
                raise SessionError(
                    f"{self._slots[module]} keeps no `{name}` that could begin anew",
                    did_you_mean(name, kept, "kept tensors"),
                )
        return tuple(names)

    def _must_be_open(self) -> None:
        if os.getpid() != self._process:
            raise SessionError(
                "this process was forked from the one of the session, which does not run in it",
                "use the session in the process that made it",
            )
        if self._closed:
            raise SessionError("the session has ended", "make a new one: lossmith.Session(...)")

    def _end(self, event: dict[str, Any]) -> None:
        if self._closed or os.getpid() != self._process:
            return
        self._closed = True
        # The modules are free whatever a guard, or a function of the user, raises.
        try:
            self._candidates.end()
            self._settle()
        finally:
            for caller in self._seen:
                caller._session = None
            for shadow in self._shadows.values():
                shadow.module._session = None
            self._shadows.clear()
            _open.discard(self)
            if event["event"] != "failed":
                event = {**event, "epoch": self._epochs, "step": self._revisions.steps}
            self._records.record(event)


@atexit.register
def _close_all() -> None:
    """Ends the sessions that are open when the process ends.

    Python does not say whether it ends by ``sys.exit``, an exception or after the last line, so none is finished.
    """
    for session in list(_open):
        try:
            session._end({"event": "interrupted"})
        except Exception:  # the other sessions end, too
            LOG.exception("a session that was open when the process ended")
