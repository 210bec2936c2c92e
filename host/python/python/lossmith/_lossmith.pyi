"""What of the package is near libtorch. Its users are the other files of the package; what they offer is public."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, final

from torch import Tensor

#: A parameter or a buffer: its name, the tensor, and of a parameter the multiplier of the learning rate.
_Kept = tuple[str, Tensor, float | None]

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
    def detach(self) -> Batch: ...

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
    def load(source: str | os.PathLike[str]) -> Component: ...
    @staticmethod
    def from_bytes(name: str, bytes: bytes) -> Component: ...
    @property
    def name(self) -> str: ...
    @property
    def hash(self) -> str: ...
    @property
    def bytes(self) -> bytes: ...
    @property
    def sources(self) -> list[tuple[str, list[int]]]: ...
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
    def loss(self, batch: Batch, kept: list[_Kept], progress: Progress) -> Called: ...
    def mine(self, batch: Batch, kept: list[_Kept], progress: Progress) -> Called: ...
    def transfer(self, batch: Batch, kept: list[_Kept], progress: Progress) -> Called: ...
    def balance(
        self,
        values: Tensor,
        divisor: float,
        parts: Mapping[str, Tensor],
        batch: Batch,
        kept: list[_Kept],
        progress: Progress,
    ) -> Called: ...
    def thresholds(self, batch: Batch, kept: list[_Kept], progress: Progress) -> Called: ...
    def fuse(self, batch: Batch, kept: list[_Kept], progress: Progress) -> Called: ...

@final
class Objective:
    """Several strategies as one term of a sum."""

    def __new__(cls, strategies: list[Strategy], weight: float = 1.0, on: str = "embedding") -> Objective: ...
    def compute(self, batch: Batch, kept: list[list[_Kept]], progress: Progress) -> Called: ...

def command(words: Sequence[str]) -> None: ...
def standard_names() -> list[str]: ...
