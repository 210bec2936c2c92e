"""What a fault says to do is said in the words of Python: what to give to a module or to its call."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import batch
from torch import nn

import lossmith
from lossmith import Loss, Objective, PluginError, Transfer


def fault(call: Callable[[], Any]) -> PluginError:
    """The fault of a call."""
    with pytest.raises(PluginError) as raised:
        call()
    return raised.value


def proxies(dimension: int = 8) -> Loss:
    return Loss("proxies", "proxy-anchor", classes=4).prepare(dimension)


def wide() -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of 9 columns, where modules are made for 8."""
    return batch(dimension=9)


def test_a_limit_is_raised_where_the_module_is_made():
    error = fault(lambda: Loss("losses", "contrastive", limits={"tensor-elements": 20})(*batch()))
    assert error.help is not None and 'limits={"tensor-elements": ...}' in error.help
    assert "[limits]" not in str(error) and "commands" not in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.help) == (str(error), error.help)
    Loss("losses", "contrastive", limits={"tensor-elements": 2000})(*batch())


@pytest.mark.parametrize(
    "module",
    [
        lambda: Loss("transfers", "rkd-angle"),
        lambda: Transfer("transfers", "pkt"),
        lambda: Objective(transfer=Transfer("transfers", "pkt")),
    ],
    ids=["loss", "transfer", "objective"],
)
def test_a_teacher_that_is_missing_is_given_to_the_call(module):
    error = fault(lambda: module()(*batch()))
    assert error.cause == "refused" and error.help is not None and "teacher=" in error.help
    embeddings, labels = batch()
    module()(embeddings, labels, teacher=batch(seed=1)[0].detach())


def loaded() -> Loss:
    loss = Loss("proxies", "proxy-anchor", classes=4)
    loss.load_state_dict(proxies().state_dict())
    return loss


def called() -> Loss:
    loss = Loss("proxies", "proxy-anchor", classes=4)
    loss(*batch())
    return loss


def called_in_an_objective() -> Loss:
    loss = Loss("proxies", "proxy-anchor", classes=4)
    Objective(loss)(*batch())
    return loss


def called_in_a_session() -> Loss:
    loss = Loss("proxies", "proxy-anchor", classes=4)
    with lossmith.Session(loss):
        loss(*batch())
    return loss


MADE = [
    proxies,
    called,
    loaded,
    called_in_an_objective,
    called_in_a_session,
    lambda: copy.deepcopy(proxies()),
    lambda: pickle.loads(pickle.dumps(proxies())),
]
NAMES = ["prepared", "called", "loaded", "in an objective", "in a session", "copied", "pickled"]


@pytest.mark.parametrize("made", MADE, ids=NAMES)
def test_parameters_say_for_which_width_they_were_made(made):
    loss = made()
    for call in (loss, Objective(loss)):
        error = fault(lambda: call(*wide()))
        assert error.cause == "operation"
        assert "made for 8 columns, and the batch has 9" in str(error) and error.help is not None
    with pytest.raises(ValueError, match="made for 8 columns, and dimension is 9"):
        loss.prepare(9)
    loss.prepare(8)
    loss(*batch())


def test_a_fault_of_the_right_width_says_nothing_of_widths():
    loss = Loss("proxies", "proxy-anchor").prepare(8, classes=4)
    loss.classes = None
    error = fault(lambda: loss(*batch()))
    assert error.cause == "operation" and "columns" not in str(error)


def test_the_width_of_a_state_that_was_not_taken_is_not_remembered():
    loss = proxies(5)
    with pytest.raises(RuntimeError, match="size mismatch"):
        loss.load_state_dict(proxies(8).state_dict())
    loss.prepare(5)


def test_a_script_does_not_look_into_a_strategy():
    for module in (proxies(), Objective(Loss("losses", "contrastive")), nn.Sequential(nn.Linear(8, 8), proxies())):
        with pytest.raises(RuntimeError, match=r"torch\.jit\.script does not look into a strategy: leave the loss out"):
            torch.jit.script(module)
