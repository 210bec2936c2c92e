"""What of the package is near libtorch. Its users are the other files of the package; what they offer is public."""

import builtins
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, final

from torch import Tensor

#: A parameter or a buffer: its name, the tensor, and of a parameter the multiplier of the learning rate.
_Kept: TypeAlias = tuple[str, Tensor, float | None]
_Path: TypeAlias = str | os.PathLike[str]

@final
class Batch:
    """A batch, checked: B x D embeddings of 32 or 64 bits, B labels, and what else a strategy may be told."""

    def __new__(
        cls,
        embeddings: Tensor,
        labels: Tensor | None,
        classes: int = 0,
        slices: int = 1,
        tuples: Sequence[Tensor] | None = None,
        thresholds: Sequence[float] = ...,
        teacher: Tensor | None = None,
        feature_map: Tensor | None = None,
        teacher_feature_map: Tensor | None = None,
    ) -> Batch: ...
    def __len__(self) -> int: ...
    @property
    def embeddings(self) -> Tensor: ...
    def detach(self) -> Batch: ...
    def leaves(self, classes: int) -> Batch: ...

@final
class Called:
    """What came of a call."""

    @property
    def value(self) -> Any: ...
    @property
    def changed(self) -> list[list[_Kept]]: ...
    @property
    def metrics(self) -> list[tuple[str, Tensor | float]]: ...
    @property
    def lines(self) -> list[tuple[str, str]]: ...

@final
class Component:
    """A component, compiled."""

    @staticmethod
    def load(source: _Path, under_way: UnderWay | None = None) -> Component: ...
    @staticmethod
    def from_bytes(name: str, bytes: bytes) -> Component: ...
    @property
    def name(self) -> str: ...
    @property
    def hash(self) -> str: ...
    @property
    def bytes(self) -> bytes: ...
    @property
    def sources(self) -> list[tuple[str, builtins.bytes]]: ...
    def strategies(self) -> str: ...

@final
class Progress:
    """How far a training is."""

    def __new__(
        cls,
        epoch: int = 0,
        step: int = 0,
        epochs: int = 0,
        steps_per_epoch: int = 0,
        metrics: Mapping[str, float] | None = None,
    ) -> Progress: ...

@final
class Strategy:
    """A strategy with its parameters. It keeps no state: parameters and buffers come with each call."""

    def __new__(
        cls, component: Component, role: str, name: str, params: Mapping[str, Any], seed: int = 0, limits: str = "{}"
    ) -> Strategy: ...
    @property
    def params(self) -> str: ...
    def usual(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        classes: int,
        slices: int,
        kept: list[_Kept],
        progress: Progress,
    ) -> Called | None: ...
    def call(
        self,
        batch: Batch,
        kept: list[_Kept],
        progress: Progress,
        pairs: tuple[Any, ...] | None = None,
    ) -> Called: ...

@final
class Objective:
    """Several strategies as one term of a sum."""

    def __new__(cls, strategies: list[Strategy], weight: float = 1.0, on: str = "embedding") -> Objective: ...
    def compute(self, batch: Batch, kept: list[list[_Kept]], progress: Progress) -> Called: ...

@final
class UnderWay:
    """The build under way of one thread: others can abandon it."""

    def __new__(cls) -> UnderWay: ...
    def abandon(self) -> None: ...
    def take_abandoned(self) -> bool: ...

@final
class Watcher:
    """Follows what modules were made of, on a thread of its own that never calls Python."""

    def __new__(cls, sources: Sequence[_Path], under_way: UnderWay) -> Watcher: ...
    def follow(self, sources: Sequence[_Path]) -> None: ...
    def take(self) -> list[tuple[Path, list[str]]]: ...

@final
class TriedOut:
    """What a candidate made of a batch."""

    @property
    def loss(self) -> float: ...
    @property
    def live_loss(self) -> float | None: ...
    @property
    def cosine(self) -> float | None: ...
    @property
    def milliseconds(self) -> float: ...
    @property
    def reset(self) -> list[str]: ...

@final
class Probation:
    """The first calls of a revision."""

    def __new__(cls, step: int, steps: int) -> Probation: ...
    def check(self, loss: Tensor, step: int, before: float, divergence: float) -> str | None: ...

@final
class Journal:
    """The folder of a session, as ``lossmith runs show`` reads it. Texts are JSON."""

    def __new__(cls, folder: _Path) -> Journal: ...
    def describe(
        self, command: Sequence[str], seed: int, device: str, threads: int, torch: str, plugins: str
    ) -> None: ...
    def keep(self, component: Component) -> None: ...
    def keep_revision(self, number: int, strategies: str, plugins: str, reset: Sequence[str]) -> None: ...
    def record(self, event: str) -> None: ...

@final
class RunFolder:
    """The folder of a run as it is at this moment. ``manifest`` and ``journal`` are JSON."""

    @property
    def name(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def manifest(self) -> str: ...
    @property
    def experiment(self) -> dict[str, Any]: ...
    @property
    def journal(self) -> str: ...
    @property
    def metrics(self) -> list[tuple[str, int, int, dict[str, float]]]: ...
    @property
    def unread(self) -> list[tuple[str, list[int]]]: ...

@final
class TrainedState:
    """The network of a run as a checkpoint has it. ``description`` is JSON."""

    @property
    def description(self) -> str: ...
    @property
    def state(self) -> dict[str, Tensor]: ...

def changes(from_: str, to: str, /) -> str: ...
def command(words: Sequence[str], program: str, first: Sequence[str]) -> None: ...
def event_text(event: str) -> str: ...
def nearest(name: str, known: Sequence[str]) -> str | None: ...
def prepare(pixels: Tensor, size: int, mean: Sequence[float], std: Sequence[float]) -> Tensor: ...
def read_network(path: _Path, checkpoint: str) -> TrainedState: ...
def read_run(path: _Path) -> RunFolder: ...
def refusal(cause: str, slot: str = "", hash: str = "") -> tuple[str, str | None]: ...
def standard_names() -> list[str]: ...
def try_out(
    candidate: Objective,
    kept: Sequence[list[_Kept]],
    live: Objective,
    live_kept: Sequence[list[_Kept]],
    batch: Batch,
    progress: Progress,
    reset: Sequence[Sequence[str]],
) -> TriedOut: ...
def try_out_alone(
    candidate: Strategy,
    kept: list[_Kept],
    place: str,
    batch: Batch,
    progress: Progress,
    reset: Sequence[str],
    pairs: tuple[Tensor, float, Mapping[str, Tensor]] | None,
) -> list[str]: ...
