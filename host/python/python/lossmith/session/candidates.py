"""What is asked for in a session, and what becomes of it: the queue, the check under way, and what waits for a
boundary."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from lossmith import _lossmith
from lossmith.errors import LossmithError, SessionError
from lossmith.modules import StrategyModule
from lossmith.session.gate import Gate, Job, Outcome, Trial
from lossmith.session.records import LOG, Records
from lossmith.session.report import Candidate
from lossmith.session.requests import Binding, Bindings, Request, Wish
from lossmith.session.revisions import Revisions
from lossmith.session.seen import Seen, moved, places
from lossmith.session.shadows import Shadow
from lossmith.session.states import copies
from lossmith.session.terms import Caller, Term
from lossmith.training import of_step

#: So many of the last candidates are told; the journal has all.
TOLD = 100
#: How often an abandoned check is looked at while a session ends, in seconds.
GLANCE = 0.05

_AT_END = {
    "verdict": "refused", "reason": "the session ended before the next boundary", "help": "ask for it in a new session"
}


class Candidates:
    """Asks for checks of what is wanted, one at a time, and keeps the one that is accepted."""

    def __init__(
        self,
        slots: Mapping[StrategyModule, str],
        terms: Sequence[Term],
        seen: Mapping[Caller, Seen],
        revisions: Revisions,
        shadows: Mapping[str, Shadow],
        records: Records,
        watch: bool,
    ) -> None:
        self._slots, self._terms, self._seen = slots, terms, seen
        self._revisions, self._shadows, self._records = revisions, shadows, records
        self._gate = Gate(records, slots)
        #: Held by the loop and by the thread of a check while they change something; told of each verdict.
        self.changed = threading.Condition(threading.RLock())
        self.all: deque[Candidate] = deque(maxlen=TOLD)
        #: Those that were refused since somebody took them out.
        self.refused: list[Candidate] = []
        #: The one that waits for a boundary.
        self.staged: tuple[Job, Outcome] | None = None
        self._number = 0
        self._asked: list[Request] = []
        self._checking: Request | None = None
        self._thread: threading.Thread | None = None
        self._ended = False
        self._wishes = {module: Wish(module.source, module.strategy, module._given) for module in slots}
        sources = sorted({wish.source for wish in self._wishes.values()})
        self._watcher = _lossmith.Watcher(sources, self._gate.under_way) if watch else None

    def base(self) -> Bindings:
        """What edits start from: what is accepted and waits, or what is at work."""
        return self._revisions.live() if self.staged is None else dict(self.staged[1].bindings)

    def request(
        self,
        origin: str,
        modules: tuple[StrategyModule, ...],
        *,
        values: dict[StrategyModule, dict[str, Any]] | None = None,
        wishes: dict[StrategyModule, Wish] | None = None,
        promoted: str | None = None,
        reset: Mapping[StrategyModule, Sequence[str]] | None = None,
    ) -> Candidate:
        """Asks for a candidate, whose check begins when there is a batch and no other is under way."""
        self._number += 1
        candidate = Candidate(self._number, origin)
        self.all.append(candidate)
        self._records.record({"event": "candidate", "number": candidate.number, "origin": origin})
        self._asked.append(Request(candidate, values or {}, wishes or {}, promoted, reset or {}, modules))
        if wishes:
            self._wishes.update(wishes)
            self._follow()
        self._begin()
        return candidate

    def look(self) -> None:
        """Asks for candidates of files that have changed, and begins a check if none is under way."""
        changed = self._watcher.take() if self._watcher is not None else []
        if not changed and (not self._asked or self._checking is not None):
            return
        with self.changed:
            for source, names in changed:
                wishes = {module: wish for module, wish in self._wishes.items() if wish.source == os.fspath(source)}
                if wishes:
                    self.request(", ".join(names), tuple(wishes), wishes=wishes)
            self._begin()

    def wait(self, timeout: float | None) -> bool:
        """Waits until no check is under way. False if it takes longer than so many seconds."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        with self.changed:
            while True:
                self.look()
                if self._checking is None:
                    return True
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self.changed.wait(None if left == math.inf else left)

    def take_staged(self) -> Candidate | None:
        """The accepted candidate takes over. None if there is none, or if it cannot after all.

        One whose modules have another dtype or device than when it was checked is checked again.
        """
        if self.staged is None:
            return None
        job, outcome = self.staged
        candidate, shadow = job.request.candidate, self._shadows.get(job.request.promoted or "")
        if moved(job.places, places(self._slots)):
            self.staged, candidate.verdict = None, "waiting"
            LOG.info("candidate %d is checked again: modules were moved to another dtype or device", candidate.number)
            self._asked.insert(0, job.request)
            self._begin()
            return None
        try:
            self._revisions.take(candidate, outcome, shadow)
        except LossmithError as error:
            self.staged = None
            self._settle(candidate, _refused(error.message, error.help))
            return None
        except (ValueError, TypeError) as error:
            self.staged = None
            self._settle(candidate, _refused(str(error), None))
            return None
        self.staged, candidate.verdict = None, "live"
        return candidate

    def went_back(self) -> None:
        """What was compared to the revision that failed is not taken."""
        if self.staged is not None:
            (job, _), self.staged = self.staged, None
            self._settle(job.request.candidate, _refused(*_lossmith.refusal("base")))

    def end(self) -> None:
        """Gives up the check under way, and refuses all that waits."""
        self._ended = True
        thread = self._thread
        while thread is not None and thread.is_alive():
            self._gate.under_way.abandon()
            thread.join(GLANCE)
        with self.changed:
            waiting = [request.candidate for request in self._asked]
            waiting += [] if self.staged is None else [self.staged[0].request.candidate]
            self._asked, self.staged, self._watcher = [], None, None
            for candidate in waiting:
                self._settle(candidate, _AT_END)

    # The check

    def _begin(self) -> None:
        """Begins the check of the oldest request for which there is a batch, if none is under way."""
        for request in self._asked if self._checking is None and not self._ended else []:
            job = self._job(request)
            if job is not None:
                self._asked.remove(request)
                self._checking, request.candidate.verdict = request, "checking"
                self._thread = threading.Thread(target=self._check, args=(job,), name="lossmith-gate", daemon=True)
                self._thread.start()
                return

    def _job(self, request: Request) -> Job | None:
        live, base = self._revisions.live(), self.base()
        changed = {module for module in live if base[module].identity != live[module].identity}.union(request.modules)
        shadow = self._shadows.get(request.promoted or "")
        trials = self._trials(changed, shadow)
        if not trials:
            return None
        promoted = {} if shadow is None else {shadow.replaced: Binding.of(shadow.module)}
        number, quarantine = self._revisions.number, frozenset(self._revisions.quarantine)
        return Job(request, number, live, base, trials, quarantine, places(self._slots), promoted)

    def _trials(self, changed: set[StrategyModule], shadow: Shadow | None) -> list[Trial]:
        """The batches on which a change of these modules is tried, with copies of what the strategies keep."""
        found: list[Trial] = []
        tried: set[StrategyModule] = set()
        for term in self._terms:
            if changed.isdisjoint(term.members) or not self._has_batch(term):
                continue
            tried.update(term.members)
            live = [copies(member._kept()) for member in term.members]
            kept, classes = live, term.members[0].classes
            if shadow is not None and shadow.replaced in term.members:
                place = term.members.index(shadow.replaced)
                kept = [*live[:place], copies(shadow.module._kept()), *live[place + 1 :]]
                classes = shadow.module.classes or classes
            batch = self._seen[term.caller].leaves(classes)
            found.append(Trial(term, term.members, batch, of_step(term.caller.step), live, kept))
        for module in changed - tried:
            seen = self._seen[module]
            if not seen.usable or module.ROLE in ("loss", "transfer"):
                continue
            live = [copies(module._kept())]
            batch = seen.leaves(module.classes).detach()
            found.append(Trial(None, (module,), batch, of_step(module.step), live, live, seen.given or None))
        return found

    def _has_batch(self, term: Term) -> bool:
        """Whether a term was seen; what is called by itself, with as many images as the loss that it is tried with."""
        seen = self._seen[term.caller]
        if not seen.usable or term.with_caller:
            return seen.usable
        own = self._seen[term.members[-1]]
        return own.usable and own.images == seen.images

    def _check(self, job: Job) -> None:
        """The thread of a check."""
        outcome = self._gate.check(job)
        with self.changed:
            self._checking = None
            self._judge(job, outcome)
            self.changed.notify_all()

    def _judge(self, job: Job, outcome: Outcome) -> None:
        """Takes in what a check says."""
        request, verdict = job.request, outcome.verdict
        if self._ended:
            verdict = _AT_END
        elif verdict["verdict"] == "accepted" and job.revision != self._revisions.number:
            verdict = _refused(*_lossmith.refusal("base"))
        if verdict["verdict"] in ("accepted", "same") and self.staged is not None:
            (before, _), self.staged = self.staged, None
            self._settle(before.request.candidate, {"verdict": "superseded"})
        self._settle(request.candidate, verdict)
        if verdict["verdict"] != "accepted":
            return
        self.staged = job, outcome
        for module in request.modules:
            bound = outcome.bindings[module]
            self._wishes[module] = Wish(bound.source, bound.strategy, bound.given)
        self._follow()
        cosine = request.candidate.cosine
        if cosine is not None and cosine < 0:
            LOG.warning(
                "the gradient of candidate %d points against the one that is live (cosine %.3f): it undoes what was "
                "learned", request.candidate.number, cosine,
            )

    def _settle(self, candidate: Candidate, verdict: Mapping[str, Any]) -> None:
        """Notes what became of a candidate."""
        candidate.settle(verdict)
        if candidate.refused:
            self.refused.append(candidate)
        self._records.record({"event": "verdict", "number": candidate.number, **verdict})

    def _follow(self) -> None:
        if self._watcher is not None:
            live = {module.source for module in self._slots}
            self._watcher.follow(sorted(live | {wish.source for wish in self._wishes.values()}))


def _refused(reason: str, help: str | None) -> dict[str, Any]:
    verdict = {"verdict": "refused", "reason": reason}
    return verdict if help is None else {**verdict, "help": help}


def did_you_mean(name: str, known: Sequence[str], what: str) -> str:
    """Advice on a name that is not known."""
    near = _lossmith.nearest(name, list(known))
    if near is not None:
        return f"did you mean `{near}`?"
    return f"there are {', '.join(known)}" if known else f"there are no {what}"


def with_parameter(name: str, bindings: Bindings, slots: Mapping[StrategyModule, str]) -> StrategyModule:
    """The only module whose strategy has a parameter. A `SessionError` if there is none or several."""
    found = [module for module, bound in bindings.items() if name in bound.parameters]
    if len(found) == 1:
        return found[0]
    if found:
        places = ", ".join(f"{slots[module]} ({bindings[module].strategy})" for module in found)
        raise SessionError(
            f"several modules have a parameter `{name}`: {places}", "say which: set(name, value, module=loss)"
        )
    known = sorted({known for bound in bindings.values() for known in bound.parameters})
    raise SessionError(f"no module has a parameter `{name}`", did_you_mean(name, known, "parameters"))
