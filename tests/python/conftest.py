"""What the tests of the package share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import lossmith
from lossmith import _lossmith, training

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nothing_told():
    """What a test tells by `lossmith.progress` ends with it."""
    yield
    training.forget()


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The component of a crate in tests/guests, which is built when it is first asked for."""
    built: dict[str, str] = {}

    def of(name: str) -> str:
        if name not in built:
            component = _lossmith.Component.load(ROOT / "tests" / "guests" / name)
            file = tmp_path_factory.mktemp("guests") / f"{name}.wasm"
            file.write_bytes(component.bytes)
            built[name] = str(file)
        return built[name]

    return of


@pytest.fixture(scope="session")
def child() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs lines of Python in a process of their own, with torch and lossmith at hand."""

    def run(source: str, *words: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", source, *words]
        return subprocess.run(program, capture_output=True, text=True, timeout=120, env=with_package())

    return run


def with_package() -> dict[str, str]:
    """The environment for a process that imports the package that is tested."""
    folder = str(Path(lossmith.__file__).parents[1])
    path = [folder, str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), "OMP_NUM_THREADS": "1"}


def batch(
    size: int = 12, dimension: int = 8, dtype: torch.dtype = torch.float32, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Embeddings, a leaf that wants a gradient, and labels in classes of three."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(size, dimension, dtype=dtype, generator=generator)
    return embeddings.requires_grad_(), torch.arange(size) // 3


def gradient(value: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    """The gradients of a value."""
    return torch.autograd.grad(value, of)
