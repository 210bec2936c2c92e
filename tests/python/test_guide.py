"""The Python of the chapter `docs/using/pytorch.md`, block after block, as its reader would type it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lossmith import training

CHAPTER = Path(__file__).parents[2] / "docs/using/pytorch.md"


def test_each_block_of_the_chapter_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lightning.pytorch")
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    text = CHAPTER.read_text()
    found = list(re.finditer("```python lossmith\n(.*?)```", text, re.S))
    assert len(found) > 6
    names: dict[str, object] = {"__name__": "chapter"}
    try:
        for block in found:
            # Empty lines before it: a traceback names the line of the chapter.
            lines_before = "\n" * text.count("\n", 0, block.start(1))
            exec(compile(lines_before + block[1], CHAPTER, "exec"), names)
    finally:
        training.forget()
    assert (tmp_path / "runs/first/journal.jsonl").is_file()
