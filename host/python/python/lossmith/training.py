"""How far the training is, for strategies that depend on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossmith import _lossmith

_told: dict[str, Any] = {}


def progress(
    *,
    epoch: int | None = None,
    step: int | None = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    metrics: Mapping[str, float] | None = None,
) -> None:
    """Tells all strategies of this process how far the training is.

    ``epoch`` and ``step`` count from 0; ``epochs`` is how many there will be, which some schedules must know. What is
    not told stays as it was told before; what was never told is counted by each module: its step is the number of its
    calls, its epoch 0.
    """
    told = {"epoch": epoch, "step": step, "epochs": epochs, "steps_per_epoch": steps_per_epoch}
    for name, value in told.items():
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"{name} must be an integer from 0, not {value!r}")
        _told[name] = value
    if metrics is not None:
        _told["metrics"] = {name: float(value) for name, value in metrics.items()}


def forget() -> None:
    """What was told is forgotten: modules count by themselves again."""
    _told.clear()


def told() -> dict[str, Any]:
    """What was told."""
    return dict(_told)


def of_step(step: int) -> _lossmith.Progress:
    """What a module that counted so many calls is told."""
    if not _told:
        return _lossmith.Progress(0, step)
    return _lossmith.Progress(**{"step": step, **_told})
