"""The checks of a candidate, which run beside the loop on copies of what it has."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lossmith import _lossmith
from lossmith.errors import LossmithError
from lossmith.modules import StrategyModule
from lossmith.session.records import LOG, Records
from lossmith.session.requests import Bindings, Request
from lossmith.session.seen import Places
from lossmith.session.terms import Term

Kept = list[tuple[str, Any, float | None]]


@dataclass
class Trial:
    """A batch of the loop, detached, and copies of what the strategies keep that it is tried with."""

    #: None of a strategy that is tried by itself.
    term: Term | None
    members: tuple[StrategyModule, ...]
    batch: _lossmith.Batch
    progress: _lossmith.Progress
    #: What the members keep.
    live: list[Kept]
    #: What they would begin with.
    kept: list[Kept]
    #: What a balance weighs: pair losses, divisor, parts.
    pairs: tuple[Any, float, dict[str, Any]] | None = None


@dataclass
class Job:
    """A candidate to check, with all that it is compared to."""

    request: Request
    #: The revision at work, and what the modules are bound to then.
    revision: int
    live: Bindings
    #: What the candidate starts from: what is at work, or what is accepted and waits.
    base: Bindings
    trials: list[Trial]
    quarantine: frozenset[str]
    #: The dtype and the device of what the modules keep.
    places: Places
    #: What a shadow that is promoted brings along.
    promoted: Bindings = field(default_factory=dict)
    #: When it was asked for.
    begun: float = field(default_factory=time.perf_counter)


@dataclass
class Outcome:
    """What the checks say: a verdict as the journal has it, and what can be taken."""

    verdict: dict[str, Any]
    #: Empty of a candidate that is not taken.
    bindings: Bindings = field(default_factory=dict)
    canary: Mapping[str, Any] = field(default_factory=dict)
    reset: list[str] = field(default_factory=list)


class Gate:
    """Checks candidates, one at a time."""

    def __init__(self, records: Records, slots: Mapping[StrategyModule, str]) -> None:
        self._records, self._slots = records, slots
        self.under_way = _lossmith.UnderWay()

    def check(self, job: Job) -> Outcome:
        """Checks a candidate. It touches nothing that is at work."""
        try:
            outcome = self._judge(job)
        except LossmithError as error:
            outcome = refused(error.message, error.help)
        except (ValueError, TypeError) as error:
            outcome = refused(str(error))
        except Exception as error:  # a thread's exception would be seen by nobody
            LOG.exception("the check of candidate %s ended", job.request.candidate.number)
            outcome = refused(f"the check ended with {type(error).__name__}: {error}")
        if self.under_way.take_abandoned() and not outcome.bindings:
            # Its files have changed since, so it says nothing of what is there now.
            return Outcome({"verdict": "superseded"})
        return outcome

    def _judge(self, job: Job) -> Outcome:
        wanted = {**job.request.bindings(job.base, self.under_way), **job.promoted}
        if {module: bound.identity for module, bound in wanted.items()} == {
            module: bound.identity for module, bound in job.live.items()
        } and not job.promoted:
            return Outcome({"verdict": "same"}, wanted)
        for module, bound in wanted.items():
            if bound.component.hash in job.quarantine:
                return refused(*_lossmith.refusal("component", self._slots[module], bound.component.hash))
        if self._records.digest(wanted) in job.quarantine:
            return refused(*_lossmith.refusal("parameters"))
        number = job.request.candidate.number
        self._records.keep(number, wanted, [])
        canary, reset = self._try_out(job, wanted)
        if reset:
            self._records.keep(number, wanted, reset)
        changes = json.loads(_lossmith.changes(self._records.strategies(job.live), self._records.strategies(wanted)))
        verdict = {
            "verdict": "accepted",
            "changes": changes,
            "plugins": self._records.plugins(wanted),
            "canary": canary,
            "reset": reset,
            "milliseconds": (time.perf_counter() - job.begun) * 1e3,
        }
        return Outcome(verdict, wanted, canary, reset)

    def _try_out(self, job: Job, wanted: Bindings) -> tuple[dict[str, Any], list[str]]:
        """How it did on the batches, and what begins anew. A `LossmithError` says why it cannot be taken."""
        canary: dict[str, Any] = {}
        alone: dict[str, Any] = {}
        reset: list[str] = []
        for trial in job.trials:
            may_reset = [list(job.request.reset.get(member, ())) for member in trial.members]
            if trial.term is None:
                (member,), begun = trial.members, time.perf_counter()
                names = _lossmith.try_out_alone(
                    wanted[member].core, trial.kept[0], self._slots[member], trial.batch, trial.progress, may_reset[0],
                    trial.pairs,
                )
                reset += [f"{self._slots[member]}/{name}" for name in names]
                milliseconds = (time.perf_counter() - begun) * 1e3
                alone = {"loss": None, "live-loss": None, "cosine": None, "milliseconds": milliseconds}
                continue
            live = trial.term.objective([job.live[member].core for member in trial.members])
            new = trial.term.objective([wanted[member].core for member in trial.members])
            tried = _lossmith.try_out(new, trial.kept, live, trial.live, trial.batch, trial.progress, may_reset)
            reset += [self._named(trial, name) for name in tried.reset]
            canary = canary or {
                "loss": tried.loss,
                "live-loss": tried.live_loss,
                "cosine": tried.cosine,
                "milliseconds": tried.milliseconds,
            }
        return canary or alone, sorted(set(reset))

    def _named(self, trial: Trial, name: str) -> str:
        """A name of a trial, `objective.0.ROLE/NAME`, as the session has it."""
        place, _, name = name.partition("/")
        role = place.rsplit(".", 1)[-1]
        member = next(member for member in trial.members if member.ROLE == role)
        return f"{self._slots[member]}/{name}"


def refused(reason: str, help: str | None = None) -> Outcome:
    """A candidate that is not taken."""
    verdict = {"verdict": "refused", "reason": reason}
    return Outcome(verdict if help is None else {**verdict, "help": help})
