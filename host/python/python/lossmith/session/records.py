"""The journal of a session, and its log."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lossmith import _lossmith
from lossmith.errors import SessionError
from lossmith.modules import StrategyModule
from lossmith.session.requests import Bindings

LOG = logging.getLogger("lossmith.session")


class Records:
    """What a session leaves behind: the folder of a run, if it is to have one, and lines of a log."""

    def __init__(self, folder: str | os.PathLike[str] | None, slots: Mapping[StrategyModule, str]) -> None:
        self._slots, self._knows_device = slots, False
        self._journal: _lossmith.Journal | None = None
        # A loop may change its folder.
        self._folder = None if folder is None else Path(os.path.abspath(folder))
        if self._folder is None:
            return
        self._there_before = self._folder.exists()
        is_free = not self._there_before or (self._folder.is_dir() and not any(self._folder.iterdir()))
        try:
            self._journal = _lossmith.Journal(self._folder)
        except SessionError:
            # Of a journal with a line it is another session that was faster.
            journal = self._folder / "journal.jsonl"
            if is_free and not (journal.is_file() and b"\n" in journal.read_bytes()):
                self.remove()
            raise

    def plugins(self, bindings: Bindings) -> list[dict[str, str]]:
        """The components, by slot."""
        bound = [(slot, module.ROLE, bindings[module]) for module, slot in self._slots.items()]
        return [
            {"slot": slot, "role": role, "strategy": binding.strategy, "hash": binding.component.hash}
            for slot, role, binding in bound
        ]

    def strategies(self, bindings: Bindings) -> str:
        """The strategies as an experiment has them, as JSON."""
        objectives: list[dict[str, Any]] = []
        experiment: dict[str, Any] = {"objective": objectives}
        for module, slot in self._slots.items():
            bound = bindings[module]
            about = {
                "plugin": bound.component.name, "strategy": bound.strategy, "params": json.loads(bound.core.params)
            }
            place = slot.split(".")
            if place[0] == "fusion":
                experiment[slot.replace(".", "-")] = about
                continue
            number, role = int(place[1]), place[2]
            objectives.extend({} for _ in range(number + 1 - len(objectives)))
            objectives[number][role] = about
        return json.dumps(experiment, sort_keys=True)

    def digest(self, bindings: Bindings) -> str:
        """SHA-256 of the strategies and their components, in hexadecimal."""
        text = self.strategies(bindings) + json.dumps(self.plugins(bindings), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def remove(self) -> None:
        """Removes what was written, of a session that does not begin."""
        if self._folder is None or not self._folder.is_dir():
            return
        self._journal = None
        for path in self._folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not self._there_before:
            self._folder.rmdir()

    def begin(self, bindings: Bindings) -> None:
        """Keeps what the session begins with. A `SessionError` if it cannot be written."""
        if self._journal is not None:
            self.keep(0, bindings, [])
            self._describe(bindings, "not known before the first batch")

    def note_device(self, bindings: Bindings, batch: _lossmith.Batch) -> None:
        """Notes where the first batch is."""
        if self._journal is None or self._knows_device:
            return
        self._knows_device = True
        try:
            self._describe(bindings, str(batch.embeddings.device))
        except SessionError as error:
            LOG.warning("%s", error.message)

    def _describe(self, bindings: Bindings, device: str) -> None:
        """Writes the manifest, if there is a folder."""
        if self._journal is None:
            return
        plugins, seed = json.dumps(self.plugins(bindings)), next(iter(bindings)).seed
        command = [sys.executable, *sys.argv]
        self._journal.describe(command, seed, device, torch.get_num_threads(), torch.__version__, plugins)

    def keep(self, number: int, bindings: Bindings, reset: list[str]) -> None:
        """Keeps a revision and its components. A `SessionError` if it cannot be written."""
        if self._journal is None:
            return
        for bound in bindings.values():
            self._journal.keep(bound.component)
        self._journal.keep_revision(number, self.strategies(bindings), json.dumps(self.plugins(bindings)), reset)

    def must_record(self, event: dict[str, Any], words: str | None = None) -> None:
        """Records an event that must not be lost. A `SessionError` if it cannot be written.

        ``words`` are the line of the log, if not those of a run.
        """
        text = json.dumps(event)
        if self._journal is not None:
            self._journal.record(text)
        refused = event.get("verdict") == "refused"
        level = logging.WARNING if refused or event["event"] in ("rollback", "failed") else logging.INFO
        LOG.log(level, "%s", words or _lossmith.event_text(text))

    def record(self, event: dict[str, Any], words: str | None = None) -> None:
        """Records an event. Where it cannot be written, the log says so and the loop goes on."""
        try:
            self.must_record(event, words)
        except SessionError as error:
            text = words or _lossmith.event_text(json.dumps(event))
            LOG.warning("%s; not in the journal: %s", error.message, text)
