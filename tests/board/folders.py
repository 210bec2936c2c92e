"""Folders of runs as plain files, in the form that docs/using/runs.md describes."""

from __future__ import annotations

import json
from pathlib import Path

HASH = "a1" * 32
OTHER = "b2" * 32
# What a page and a terminal would act on.
HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    "\x1b[31mred\x07\u202eabc"
)


def lines(path: Path, rows: list[object]) -> None:
    """Writes a file with a JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def plugin(digest: str) -> dict[str, str]:
    """A component of an experiment."""
    return {"slot": "objective.0.loss", "role": "loss", "strategy": "triplet", "hash": digest}


def manifest(**changes: object) -> dict[str, object]:
    """What a run is made of."""
    versions = {"lossmith": "0.1.0", "tch": "0.26.0", "libtorch": "2.13.0", "wasmtime": "48.0.8"}
    return {
        "name": "small", "started": "2026-01-31T14:05:02Z", "command": ["lossmith", "train", "a b.toml"],
        "versions": versions, "seed": 7, "device": "cpu", "threads": 2, "data": "fashion-mnist 3f2a",
        "commit": None, "plugins": [plugin(HASH)], "parent": None, **changes,
    }  # fmt: skip


def step(number: int, **values: object) -> dict[str, object]:
    """A row of a step."""
    return {"kind": "step", "epoch": number // 100, "step": number, "values": values}


def evaluation(epoch: int, **values: float) -> dict[str, object]:
    """A row after an epoch."""
    values = {f"validation/{name.replace('_', '-')}": value for name, value in values.items()}
    return {"kind": "evaluation", "epoch": epoch, "step": 100 * epoch, "values": values}


def at(second: int, event: str, **rest: object) -> dict[str, object]:
    """A line of a journal."""
    return {"time": f"2026-01-31T14:{5 + second // 60:02}:{second % 60:02}Z", "event": event, **rest}


def accepted(cosine: float) -> dict[str, object]:
    """A verdict."""
    canary = {"loss": 0.5, "live-loss": 0.6, "cosine": cosine, "milliseconds": 3.5}
    return {
        "verdict": "accepted", "changes": [], "plugins": [plugin(OTHER)], "canary": canary, "reset": [],
        "milliseconds": 120.0,
    }  # fmt: skip


def small(folder: Path, seed: int = 7, epochs: int = 5, **experiment: object) -> Path:
    """A finished run with two edits, the second of which was undone, and one that was refused."""
    (folder / "checkpoints").mkdir(parents=True)
    settings = "".join(f"{key} = {json.dumps(value)}\n" for key, value in experiment.items())
    text = f'name = "small"\nseed = {seed}\n{settings}\n[evaluation]\nbest = "map-at-r"\n'
    (folder / "experiment.toml").write_text(text)
    (folder / "manifest.json").write_text(json.dumps(manifest(seed=seed)))
    for digest, body in [(HASH, "a - b"), (OTHER, "a + b")]:
        (folder / "sources" / digest / "src").mkdir(parents=True)
        (folder / "sources" / digest / "src" / "lib.rs").write_text(f"fn loss() {{\n    {body}\n}}\n")
    change = {"key": "optimizer.learning-rate", "from": 0.01, "to": 0.001}
    undone = {"revision": 3, "to": 2, "epoch": 3, "step": 300, "failed-at": 312, "failed_at": 312, "quarantined": []}
    lines(
        folder / "journal.jsonl",
        [
            at(0, "started", process=None),
            at(5, "candidate", number=1, origin="src/lib.rs"),
            at(6, "verdict", number=1, verdict="refused", reason="expected `;`", help="save it again"),
            at(20, "candidate", number=2, origin="src/lib.rs"),
            at(21, "verdict", number=2, **accepted(-0.75)),
            at(25, "swap", revision=2, epoch=2, step=200, changes=[change], plugins=[plugin(OTHER)]),
            at(30, "candidate", number=3, origin="set epochs=9"),
            at(35, "swap", revision=3, epoch=3, step=300, changes=[], plugins=[plugin(OTHER)]),
            at(36, "rollback", reason="the loss is NaN", plugins=[plugin(OTHER)], **undone),
            at(60, "finished", epoch=epochs, step=100 * epochs),
        ],
    )
    rows: list[object] = []
    for epoch in range(1, epochs + 1):
        rows += [step(100 * (epoch - 1) + at, loss=1 / (100 * epoch + at)) for at in range(10, 101, 10)]
        value = 0.3 + 0.05 * epoch - 0.001 * seed
        rows.append(evaluation(epoch, map_at_r=value, recall_at_1=value + 0.2, distance_ratio=1 - value))
    lines(folder / "metrics.jsonl", rows)
    return folder
