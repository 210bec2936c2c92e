"""Losses, miners and transfers that live in WebAssembly components, as modules of PyTorch.

>>> import lossmith
>>> loss = lossmith.Loss("losses", "contrastive", negative_margin=0.8)
>>> value = loss(embeddings, labels)   # doctest: +SKIP
>>> value.backward()                   # doctest: +SKIP

``lossmith.strategies()`` lists what there is.
"""

from typing import TYPE_CHECKING

from lossmith import _torch  # noqa: F401  torch comes first: the extension uses the libtorch that it brings

from lossmith.catalogue import strategies
from lossmith.errors import BuildError, LossmithError, PluginError, RunError, SessionError
from lossmith.modules import Balance, Fusion, Loss, Miner, PairLosses, Schedule, Transfer
from lossmith.objective import Objective
from lossmith.records import Run, load_model, read_run
from lossmith.session import Candidate, Report, Rollback, Session
from lossmith.training import progress

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = [
    "Balance",
    "BuildError",
    "Candidate",
    "Fusion",
    "Loss",
    "LossmithError",
    "Miner",
    "Objective",
    "PairLosses",
    "PluginError",
    "Report",
    "Rollback",
    "Run",
    "RunError",
    "Schedule",
    "Session",
    "SessionError",
    "Transfer",
    "load_model",
    "progress",
    "read_run",
    "strategies",
]
__version__ = _torch.VERSION


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """What ``%load_ext lossmith`` calls: it gives a notebook the magic ``%%lossmith``."""
    from lossmith.notebook import StrategyMagics

    shell.register_magics(StrategyMagics)
