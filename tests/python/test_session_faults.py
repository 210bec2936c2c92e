"""Faults around a session: none of them leaves modules half exchanged, tied up, or told of wrongly."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path

import numpy
import pytest
import torch
from session_loop import Loop, checked
from torch import nn

import lossmith
from lossmith import _lossmith


def contrastive(**settings: object) -> lossmith.Loss:
    """A loss of the standard plugins."""
    return lossmith.Loss("losses", "contrastive", **settings)


def events(folder: Path) -> list[dict]:
    """The events of a journal."""
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def exchanged(loop: Loop, *modules: nn.Module, name: str = "negative_margin", **settings: object) -> lossmith.Session:
    """A session of the loop in which a revision was taken, and one step made with it."""
    session = loop.begin(*modules, **settings)
    loop.step()
    session.set(name, 0.3)
    assert checked(session).accepted
    session.boundary()
    loop.step()
    return session


# Exchange


def test_modules_that_were_moved_after_the_check_are_checked_again(tmp_path):
    loss = lossmith.Loss("proxies", "proxy-anchor").prepare(8, 4)
    embeddings, labels = torch.randn(16, 8), torch.arange(16) % 4
    with lossmith.Session(loss, journal=tmp_path / "run", watch=False) as session:
        loss(embeddings, labels)
        asked = session.replace(loss, "proxies", "proxy-nca")
        assert checked(session).accepted
        loss.to(torch.float64)
        report = session.boundary()
        assert report.swapped is None and "checked again: modules were moved" in report.waiting
        assert (asked.verdict, session.revision, loss.strategy) == ("waiting", 0, "proxy-anchor")
        loss(embeddings.double(), labels)
        assert checked(session).accepted and session.boundary().swapped is asked
        assert (loss.strategy, loss.proxies.dtype) == ("proxy-nca", torch.float64)
    assert [event["event"] for event in events(tmp_path / "run")].count("swap") == 1


class Interrupts(logging.Handler):
    """Ctrl-C while an exchange is being noted."""

    def emit(self, record: logging.LogRecord) -> None:
        raise KeyboardInterrupt


def test_an_interrupted_exchange_is_undone_and_made_at_the_next_boundary():
    loop = Loop(contrastive())
    session = loop.begin()
    loop.step()
    asked = session.set("negative_margin", 0.3)
    assert checked(session).accepted
    log, handler = logging.getLogger("lossmith.session"), Interrupts()
    before = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            session.boundary()
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
    assert loop.loss.params["negative-margin"] != 0.3 and session.revision == 0 and asked.verdict == "accepted"
    assert session.boundary().swapped is asked and loop.loss.params["negative-margin"] == 0.3


def test_an_epoch_is_a_number_that_the_journal_can_have():
    loop = Loop(contrastive())
    session = loop.begin()
    loop.step()
    session.set("negative_margin", 0.3)
    assert checked(session).accepted
    for wrong in (2**70, 2**63, -1, 1.5, "1", True):
        with pytest.raises(ValueError, match="how many epochs are complete"):
            session.boundary(wrong)
    assert session.revision == 0
    assert session.boundary(numpy.int64(3)).swapped is not None


def test_a_batch_that_was_changed_in_place_is_no_batch_to_check_on():
    loss = contrastive()
    batch, labels = torch.randn(16, 8), torch.arange(16) % 4
    with lossmith.Session(loss, watch=False) as session:
        loss(batch, labels)
        batch.fill_(float("nan"))
        asked = session.set("negative_margin", 0.3)
        assert session.wait(60) and asked.verdict == "waiting"
        loss(torch.randn(16, 8), labels)
        assert checked(session).accepted, asked


# Gradients


def overflow(gradient: torch.Tensor) -> torch.Tensor:
    """What numbers of 16 bits make of a large gradient."""
    return gradient * float("inf")


def test_a_step_that_a_scaler_skips_is_not_the_fault_of_a_strategy():
    loop = Loop(contrastive())
    session, scaler = exchanged(loop), torch.amp.GradScaler("cpu", init_scale=2.0**127)
    scaler.scale(loop.loss(loop.network(loop.images), loop.labels) * 4).backward()
    assert not loop.network[0].weight.grad.isfinite().all()
    scaler.step(loop.optimizer)
    scaler.update()
    assert not session.step() and session.revision == 1


@pytest.mark.parametrize("scale, revision", [(1.0, 0), (2.0**70, 1)])
@pytest.mark.parametrize("role", ["loss", "transfer"])
def test_an_overflow_is_taken_back_if_what_came_in_is_of_usual_size(role, scale, revision):
    transfer, teacher = lossmith.Transfer("transfers", "relaxed-contrastive"), torch.randn(16, 5)
    loop = Loop(contrastive() if role == "loss" else lambda rows, labels: transfer(rows, labels, teacher))
    session = exchanged(loop) if role == "loss" else exchanged(loop, transfer, name="sigma")
    embeddings = loop.network(loop.images)
    embeddings.register_hook(overflow)
    (loop.loss(embeddings, loop.labels) * scale).backward()
    assert session.step() is (revision == 0) and session.revision == revision


# Rollback


def test_groups_that_were_added_after_an_exchange_stay_in_the_optimizer(caplog):
    loop = Loop(contrastive(classes=4))
    session = loop.begin()
    loop.step()
    session.replace(loop.loss, "proxies", "proxy-anchor")
    assert checked(session).accepted
    session.boundary()
    own = nn.Parameter(torch.ones(2))
    (new,) = session.new_parameters
    loop.optimizer.add_param_group({"params": [new, own], "lr": 0.5})
    own.grad = torch.ones(2)
    loop.optimizer.step()
    memory = loop.optimizer.state[own]["momentum_buffer"].clone()
    assert session.rollback().restored
    _, added = loop.optimizer.param_groups
    assert len(added["params"]) == 1 and added["params"][0] is own and added["lr"] == 0.5
    assert torch.equal(loop.optimizer.state[own]["momentum_buffer"], memory) and new not in loop.optimizer.state
    assert "1 parameters of the strategies that failed were taken out of the SGD" in caplog.text
    assert "the SGD keeps 1 parameters in groups that were added" in caplog.text


class Stubborn(nn.Module):
    """Takes its state back when it is told that it may."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.may = nn.Parameter(torch.zeros(2)), False

    def load_state_dict(self, state: dict, **settings: object) -> object:
        if not self.may:
            raise RuntimeError("not now")
        return super().load_state_dict(state, **settings)


@pytest.mark.parametrize("later", [True, False])
def test_a_guard_that_is_not_restored_does_not_keep_the_others_from_it(later, caplog):
    loop, told = Loop(contrastive()), []
    session, stubborn = lossmith.Session(loop.loss, on_rollback=told.append, watch=False), Stubborn()
    session.guard(stubborn, loop.network, loop.optimizer)
    loop.step()
    session.set("negative_margin", 0.3)
    checked(session)
    weight = loop.network[0].weight.detach().clone()
    session.boundary()
    loop.steps(2)
    stubborn.weight.data.fill_(1.0)
    with pytest.raises(lossmith.SessionError, match="the Stubborn that is guarded .* not now"):
        session.rollback()
    assert torch.equal(loop.network[0].weight, weight) and len(told) == 1
    loop.steps(2)
    trained = loop.network[0].weight.detach().clone()
    stubborn.may = later
    session.boundary()
    assert torch.equal(loop.network[0].weight, trained), "only what was not restored is"
    assert bool((stubborn.weight == 0).all()) is later
    assert ("Stubborn that is guarded stays as it is" in caplog.text) is not later
    session.close()


def test_a_rollback_says_in_the_log_what_becomes_of_the_loop(caplog):
    loop = Loop(contrastive())
    exchanged(loop).rollback()
    assert "Sequential, SGD will be as at the last boundary" in caplog.text
    caplog.clear()
    free = contrastive()
    with lossmith.Session(free, watch=False) as session:
        free(torch.randn(16, 8), torch.arange(16) % 4)
        session.set("negative_margin", 0.3)
        checked(session)
        session.boundary()
        session.rollback()
    assert "nothing is guarded: networks and optimizers stay as they are" in caplog.text
    assert "weights of then" not in caplog.text


# The end


def test_a_function_that_raises_neither_ties_the_modules_up_nor_keeps_the_others_from_being_told(tmp_path):
    loop, told = Loop(contrastive()), []

    def tell(rollback: lossmith.session.Rollback) -> None:
        told.append(rollback.revision)
        raise RuntimeError(f"told of {rollback.revision}")

    session = exchanged(loop, on_rollback=tell, journal=tmp_path / "run")
    session.set("negative_margin", 0.4)
    assert checked(session).accepted
    loop.steps(20)
    session.boundary()
    # Both go back between two safe points.
    session._go_back("one", wish=True)
    session._go_back("the other", wish=True)
    with pytest.raises(RuntimeError, match="told of 1"):
        session.close()
    assert told == [2, 1] and loop.loss.session is None
    assert events(tmp_path / "run")[-1]["event"] == "finished"
    lossmith.Session(loop.loss, watch=False).close()


ENDING = """
import sys, torch, lossmith
loss = lossmith.Loss("losses", "contrastive")
session = lossmith.Session(loss, journal=sys.argv[1], watch=False)
loss(torch.randn(16, 8), torch.arange(16) % 4)
"""


@pytest.mark.parametrize("end", ["1 / 0", "sys.exit(3)", "raise KeyboardInterrupt"])
def test_a_session_that_nobody_closed_is_not_finished(child, tmp_path, end):
    assert child(ENDING + end, str(tmp_path / "run")).returncode != 0
    assert events(tmp_path / "run")[-1]["event"] == "interrupted"


def test_a_session_that_has_ended_cannot_be_entered():
    session = lossmith.Session(contrastive(), watch=False)
    session.close()
    with pytest.raises(lossmith.SessionError, match="the session has ended"), session:
        pass


def test_a_module_knows_its_session_with_which_one_ends_it():
    loss = contrastive()
    objective = lossmith.Objective(loss)
    session = lossmith.Session(objective, watch=False)
    assert objective.session is session and loss.session is session
    with pytest.raises(lossmith.SessionError, match=r"module\.session\.close\(\)"):
        lossmith.Session(loss)
    loss.session.close()
    assert objective.session is None and loss.session is None


# Files


def test_a_loop_may_change_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.wasm").write_bytes(_lossmith.Component.load("losses").bytes)
    loop = Loop(lossmith.Loss("mine.wasm", "contrastive"))
    session = loop.begin(journal="run", watch=True)
    (tmp_path / "elsewhere").mkdir()
    os.chdir("elsewhere")
    loop.step()
    session.set("negative_margin", 0.3)
    assert checked(session).accepted
    session.boundary()
    # The same component with a section of nobody's: another one to whoever looks at the bytes.
    Path("aside").write_bytes(_lossmith.Component.load("losses").bytes + b"\x00\x02\x01n")
    os.replace("aside", tmp_path / "mine.wasm")
    end = time.monotonic() + 60
    while len(session.candidates) < 2:
        assert time.monotonic() < end
        loop.step()
    assert checked(session).accepted, session.candidates[-1]
    session.close()
    assert events(tmp_path / "run")[-1]["event"] == "finished"
    assert list((tmp_path / "elsewhere").iterdir()) == []


FULL = """
import resource, signal, sys, lossmith
loss = lossmith.Loss("losses", "contrastive")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    lossmith.Session(loss, journal=sys.argv[1], watch=False)
except lossmith.SessionError as error:
    print(loss.session, error)
"""


@pytest.mark.parametrize("room", [10, 2000])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_session_that_does_not_begin_leaves_nothing(child, tmp_path, room, is_there):
    folder = tmp_path / "run"
    if is_there:
        folder.mkdir()
    ran = child(FULL, str(folder), str(room))
    assert ran.stdout.startswith("None "), ran
    assert folder.exists() is is_there and (not is_there or list(folder.iterdir()) == [])


# Arguments


def test_what_is_asked_for_is_checked():
    loss = contrastive()
    with lossmith.Session(loss, watch=False) as session:
        with pytest.raises(TypeError, match="name must be that of a parameter"):
            session.set(3, 3)
        for wrong in ("x", True):
            with pytest.raises(TypeError, match="timeout is a number of seconds"):
                session.wait(wrong)
        with pytest.raises(ValueError, match="half of a surrogate pair"):
            session.shadow(contrastive(), "a\ud800b")
        with pytest.raises(TypeError, match="name must be a text"):
            session.shadow(contrastive(), 3)
        with pytest.raises(TypeError, match="Linear is a class and cannot be guarded"):
            session.guard(nn.Linear)
        assert session.shadows == {}
