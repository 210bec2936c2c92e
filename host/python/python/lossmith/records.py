"""What a run of the command left behind: its record, and its network."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from lossmith import _lossmith
from lossmith.networks import Network

if TYPE_CHECKING:
    import pandas

    Rows: TypeAlias = pandas.DataFrame | list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Run:
    """The record of a run as it was when it was read; of one that goes on, ``read_run`` reads more later."""

    #: The folder.
    path: Path
    #: The name of the folder.
    name: str
    #: ``running``, ``finished``, ``interrupted``, ``failed``, ``died``, or ``unknown`` if another machine runs it.
    status: str
    #: What it takes to run it again, as ``manifest.json`` has it.
    manifest: dict[str, Any] = field(repr=False)
    #: The experiment as it began, with all defaults.
    experiment: dict[str, Any] = field(repr=False)
    #: What was measured, without what was undone: ``kind`` (``step``, ``epoch``, ``evaluation``, ``origin``), ``epoch``
    #: and ``step`` that were complete, and a column for each number.
    metrics: Rows = field(repr=False)
    #: What happened: ``time``, ``event``, and what the event has.
    journal: Rows = field(repr=False)
    #: Numbers, from 1, of the lines that could not be read, by file: torn when a process died, or written by a later
    #: version.
    unread: dict[str, list[int]] = field(repr=False)


def read_run(path: str | os.PathLike[str]) -> Run:
    """Reads the folder of a run, which may still go on.

    ``metrics`` and ``journal`` are pandas' ``DataFrame`` where pandas is installed, else lists of dicts. Lines that
    cannot be read are left out with a warning. Raises ``RunError`` if the folder is no run or a file of it is damaged.
    """
    read = _lossmith.read_run(path)
    unread = dict(read.unread)
    for file, lines in unread.items():
        if lines:
            numbers = ", ".join(map(str, lines))
            warnings.warn(f"{os.fspath(path)}: not understood and left out: {file}, line {numbers}", stacklevel=2)
    metrics = [{"kind": kind, "epoch": epoch, "step": step, **values} for kind, epoch, step, values in read.metrics]
    return Run(
        path=Path(path),
        name=read.name,
        status=read.status,
        manifest=json.loads(read.manifest),
        experiment=read.experiment,
        metrics=_table(metrics, ["kind", "epoch", "step"]),
        journal=_table(json.loads(read.journal), ["time", "event"]),
        unread=unread,
    )


def load_model(
    run: str | os.PathLike[str] | Run, checkpoint: str | int = "best", device: torch.device | str = "cpu"
) -> Network:
    """The trained network of a run, in evaluation mode.

    ``checkpoint`` is ``"best"`` (the last where none was measured), ``"last"``, or an epoch. The run's data is not
    needed; a network of TorchScript is made of its file, which must be where it was.

    What it returns is the embedding as the network gives it: all slices, not normalised, without a fusion, of which
    there is a warning. A run with ``precision = "bf16"`` was measured under ``torch.autocast``. Raises ``RunError`` if
    there is no such checkpoint or a file is damaged or gone.
    """
    if isinstance(checkpoint, bool) or not isinstance(checkpoint, (str, int)):
        raise TypeError(f'checkpoint is "best", "last" or the number of an epoch, not {checkpoint!r}')
    read = _lossmith.read_network(run.path if isinstance(run, Run) else run, str(checkpoint))
    description = json.loads(read.description)
    name, fusion = description["run"], description["fusion"]
    if fusion is not None:
        warnings.warn(
            f"{name} has the fusion `{fusion}`, a plugin, which is no part of the network: "
            "it gives all slices, one after the other; `lossmith embed` writes what the fusion makes of them",
            stacklevel=2,
        )
    network = Network(description, read.state["head.weight"].shape[1])
    network.load_state_dict(read.state)
    return network.to(device).eval()


def _table(rows: list[dict[str, Any]], first: list[str]) -> Rows:
    """Rows as a table, if there is pandas. The columns ``first`` are there without rows, too."""
    try:
        import pandas
    except ImportError:
        return rows
    table = pandas.DataFrame(rows, columns=None if rows else first)
    if "time" in first:
        table["time"] = pandas.to_datetime(table["time"], utc=True, format="ISO8601")
    return table
