"""What is in `examples/pytorch`, run as a user would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
#: Where `lossmith` looks for data sets.
DATA = [os.environ.get("LOSSMITH_DATA"), REPOSITORY / ".data", "/usr/share/datasets"]


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the example that can be edited."""
    folders = [Path(folder) for folder in DATA if folder is not None]
    found = [folder for folder in folders if (folder / "fashion-mnist/train-images-idx3-ubyte.gz").is_file()]
    if not found:
        pytest.skip("there is no fashion-mnist; `lossmith data fetch fashion-mnist` fetches it")
    monkeypatch.setenv("LOSSMITH_DATA", str(found[0]))
    folder = tmp_path / "pytorch"
    shutil.copytree(REPOSITORY / "examples/pytorch", folder, ignore=shutil.ignore_patterns("target", "__pycache__"))
    manifest = folder / "my-loss/Cargo.toml"
    manifest.write_text(manifest.read_text().replace("../../../plugins/sdk", str(REPOSITORY / "plugins/sdk")))
    yield folder


def recalls(text: str) -> list[float]:
    """The values of recall@1 that were printed."""
    return [float(value) for value in re.findall(r"recall@1 (0\.\d+)", text)]


def test_the_script_takes_an_edit_of_its_loss_and_learns(example: Path) -> None:
    # An end that it never reaches: it trains until the edit was taken.
    command = [sys.executable, "train.py", "10000"]
    training = subprocess.Popen(command, cwd=example, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    source, said = example / "my-loss/src/lib.rs", ""
    try:
        assert training.stdout is not None
        for line in training.stdout:
            said += line
            if line.startswith("epoch 1:"):
                source.write_text(source.read_text().replace("pull = distances.relu()", "pull = distances.square()"))
            if ": live" in line:
                break
        else:
            pytest.fail(f"it has ended:\n{said}")
    finally:
        training.kill()
        training.wait()
    assert len(recalls(said)) > 1 and recalls(said)[-1] > 0.6, said


def test_the_notebook_runs_from_its_first_cell_to_its_last(example: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient").NotebookClient
    notebook = nbformat.read(example / "train.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
    client(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(example)}}).execute()
    said = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert ": live" in said, said
    assert recalls(said)[-1] > 0.6, said
