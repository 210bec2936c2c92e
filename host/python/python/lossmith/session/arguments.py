"""What is asked of the arguments of a session."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import torch
from torch.nn import Module

from lossmith.errors import SessionError
from lossmith.modules import StrategyModule
from lossmith.objective import Objective
from lossmith.session.terms import members


def check_settings(
    modules: Sequence[object], on_rollback: object, probation_steps: object, divergence: object
) -> None:
    """An error for what a session cannot be made of."""
    if not modules:
        raise TypeError("a session needs the modules that it is for: Session(loss, miner)")
    known: set[Module] = set()
    for module in modules:
        if not isinstance(module, (StrategyModule, Objective)):
            raise TypeError(f"a session takes strategies and objectives of lossmith, not {type(module).__name__}")
        for one in {module, *members(module)}:
            if one in known:
                raise SessionError(
                    f"a {type(one).__name__} is given twice",
                    "an objective brings its modules along, a transfer its balance",
                )
            if one._session is not None:
                raise SessionError(
                    f"this {type(one).__name__} belongs to a session already, and to one at most",
                    "close that session before: module.session.close()",
                )
            known.add(one)
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        raise SessionError(
            "a session runs in one process, and this is one of several ranks, which would exchange at different times",
            "make the session in a training of one process, and give its strategies to the ranks",
        )
    if on_rollback is not None and not callable(on_rollback):
        raise TypeError("on_rollback must be a function of one argument, the rollback")
    if not isinstance(probation_steps, int) or isinstance(probation_steps, bool) or probation_steps < 0:
        raise ValueError(f"probation_steps must be an integer from 0, not {probation_steps!r}")
    if not isinstance(divergence, (int, float)) or not 1 < divergence < math.inf:
        raise ValueError(f"divergence must be a number above 1, not {divergence!r}")


def complete_epochs(epoch: object) -> int:
    """A number of epochs, of Python or of NumPy, that the journal can have."""
    error = ValueError(f"epoch is how many epochs are complete, an integer from 0 and below 2**63, not {epoch!r}")
    if isinstance(epoch, bool):
        raise error
    try:
        number = operator.index(epoch)  # type: ignore[arg-type]
    except TypeError:
        raise error from None
    if not 0 <= number < 2**63:
        raise error
    return number


def shadow_name(name: object) -> str:
    """A name that the journal can have."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a text, not {name!r}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the name {name!r} has half of a surrogate pair, which no file can have") from None
    return name


def check_timeout(timeout: object) -> None:
    """An error for what is no number of seconds."""
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float))):
        raise TypeError(f"timeout is a number of seconds, or None for as long as it takes, not {timeout!r}")
