"""What happened in a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Candidate:
    """Strategies that were asked for, and what the checks said of them."""

    #: Its number in the journal; the revision has it, too, if it is taken.
    number: int
    #: Where it comes from: ``set negative-margin=0.5``, ``replace my-loss``, or the names of changed files.
    origin: str
    #: ``waiting`` (for a batch or for another check), ``checking``, ``accepted`` (taken at the next boundary),
    #: ``live``, ``refused``, ``same`` (nothing would change), ``superseded`` (a later one has its place) or
    #: ``rolled back``.
    verdict: str = "waiting"
    #: Why it was refused or rolled back, and what to do.
    reason: str | None = None
    help: str | None = None
    #: On the last batch of the loop: its loss, that of what was at work, the cosine of their gradients with respect
    #: to the embeddings (None if one is 0), and how long it took. None for a strategy that was tried without a loss.
    loss: float | None = None
    live_loss: float | None = None
    cosine: float | None = None
    milliseconds: float | None = None
    #: What differs from what was at work: ``key``, ``from`` and ``to``.
    changes: list[dict[str, Any]] = field(default_factory=list)
    #: Names of kept tensors that begin anew with it: ``objective.0.loss/proxies``.
    reset: list[str] = field(default_factory=list)

    def settle(self, verdict: Mapping[str, Any]) -> None:
        """Takes in a verdict, as the journal has it."""
        self.verdict = verdict["verdict"]
        self.reason, self.help = verdict.get("reason"), verdict.get("help")
        canary = verdict.get("canary")
        if canary is not None:
            self.loss, self.live_loss, self.cosine = canary["loss"], canary["live-loss"], canary["cosine"]
            self.milliseconds, self.changes, self.reset = canary["milliseconds"], verdict["changes"], verdict["reset"]

    @property
    def refused(self) -> bool:
        """Whether it was refused."""
        return self.verdict == "refused"

    @property
    def accepted(self) -> bool:
        """Whether it waits for a boundary or was taken at one."""
        return self.verdict in ("accepted", "live")

    def __str__(self) -> str:
        text = f"candidate {self.number} ({self.origin}): {self.verdict}"
        if self.reason is not None:
            text += f": {self.reason}"
        if self.help is not None:
            text += f"\n  help: {self.help}"
        if self.loss is not None:
            live = "" if self.live_loss is None else f", live {self.live_loss:.4f}"
            cosine = "" if self.cosine is None else f", cosine of the gradients {self.cosine:.3f}"
            text += f"\n  on the last batch: loss {self.loss:.4f}{live}{cosine}"
        return text


@dataclass(frozen=True)
class Rollback:
    """A revision that was taken back."""

    #: The revision, and the one that is at work again.
    revision: int
    to: int
    reason: str
    #: The step in which it failed, and the one that the modules are at again.
    failed_at: int
    step: int
    #: SHA-256 of the components that are refused from now on; of the strategies, where no component is new; empty if
    #: it was a wish.
    quarantined: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = "was reverted" if not self.quarantined else f"failed in step {self.failed_at}: {self.reason}"
        return f"revision {self.revision} {what}; revision {self.to} is at work again"


@dataclass
class Report:
    """What happened since the last boundary. It is true if anything did."""

    #: The candidate that was taken, if one was.
    swapped: Candidate | None = None
    refused: list[Candidate] = field(default_factory=list)
    rolled_back: list[Rollback] = field(default_factory=list)
    #: Whether what is guarded was restored after a rollback.
    restored: bool = False
    #: Parameters of strategies that no optimizer has yet, as ``objective.0.loss/proxies``; the tensors are
    #: ``session.new_parameters``.
    new_parameters: list[str] = field(default_factory=list)
    #: Why an accepted candidate was not taken at this boundary.
    waiting: str | None = None

    def __bool__(self) -> bool:
        return bool(self.swapped or self.refused or self.rolled_back or self.restored or self.waiting)

    def __str__(self) -> str:
        lines = [str(rollback) for rollback in self.rolled_back]
        if self.restored:
            lines.append("what is guarded is as it was at the last boundary before")
        lines += [str(candidate) for candidate in self.refused]
        if self.swapped is not None:
            lines.append(str(self.swapped))
        if self.new_parameters:
            lines.append(f"new parameters for the optimizer: {', '.join(self.new_parameters)}")
        if self.waiting is not None:
            lines.append(self.waiting)
        return "\n".join(lines) or "nothing happened"
