"""Parameters and buffers of a strategy are those of its module."""

from __future__ import annotations

import copy
import logging
import pickle

import pytest
import torch
from conftest import batch, gradient
from torch import Tensor, nn

import lossmith
from lossmith import Loss, Objective, Schedule
from lossmith.extra_state import packed, unpacked

CLASSES = 4


def proxies(seed: int = 0) -> Loss:
    """A loss with proxies, made."""
    return Loss("proxies", "proxy-anchor", classes=CLASSES, seed=seed).prepare(8)


def memory() -> Loss:
    """A loss whose memory of 40 is full after some batches of 12."""
    return Loss("losses", "contrastive", memory_size=40)


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    return [batch(seed=seed) for seed in range(count)]


def goes_on(loss: nn.Module, count: int, first: int = 0) -> list[Tensor]:
    """Values and gradients of some steps."""
    made = []
    for embeddings, labels in batches(first + count)[first:]:
        value = loss(embeddings, labels)
        made += [value.detach(), *gradient(value, embeddings)]
    return made


def equal(found: list[Tensor], wanted: list[Tensor]) -> bool:
    return len(found) == len(wanted) and all(map(torch.equal, found, wanted))


def test_parameters_are_made_at_the_first_call_or_before():
    embeddings, labels = batch()
    late = Loss("proxies", "proxy-anchor", classes=CLASSES)
    assert not list(late.parameters())
    late(embeddings, labels)
    early = proxies()
    assert early.step == 0
    assert torch.equal(late.proxies, early.proxies) and early.proxies.shape == (CLASSES, 8)
    assert not torch.equal(early.proxies, proxies(seed=1).proxies)


def test_preparing_makes_no_buffers_and_changes_nothing_that_is_there():
    loss = proxies()
    before = loss.proxies
    assert loss.prepare(8).proxies is before
    assert not list(memory().prepare(8).buffers())


@pytest.mark.parametrize("strategy", ["proxy-anchor", "soft-triple", "arc-face", "center", "cross-entropy"])
def test_an_optimizer_moves_the_parameters(strategy):
    loss = Loss("proxies", strategy, classes=CLASSES).prepare(8)
    before = {name: p.detach().clone() for name, p in loss.named_parameters()}
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    for embeddings, labels in batches(2):
        optimizer.zero_grad()
        loss(embeddings, labels).backward()
        optimizer.step()
    for name, parameter in loss.named_parameters():
        assert isinstance(parameter, nn.Parameter) and not torch.equal(parameter, before[name])


def test_parameter_groups_have_the_learning_rate_that_the_strategy_asks_for():
    (group,) = proxies().parameter_groups(lr=0.01)
    assert group["lr"] == pytest.approx(1.0)
    optimizer = torch.optim.SGD([*proxies().parameter_groups(0.01), {"params": nn.Linear(2, 2).parameters()}], lr=0.01)
    assert [g["lr"] for g in optimizer.param_groups] == [pytest.approx(1.0), 0.01]


def test_a_module_is_part_of_the_network_that_has_it():
    whole = nn.ModuleDict({"network": nn.Linear(8, 8), "loss": proxies()})
    assert "loss.proxies" in dict(whole.named_parameters())
    assert "loss.proxies" in whole.state_dict()
    whole.requires_grad_(False)
    embeddings, labels = batch()
    whole["loss"](embeddings, labels).backward()
    assert embeddings.grad.any() and whole["loss"].proxies.grad is None


@pytest.mark.parametrize("made", [proxies, memory])
def test_a_fresh_module_goes_on_with_a_state_dict(made, tmp_path):
    loss = made()
    goes_on(loss, 2)
    torch.save(loss.state_dict(), tmp_path / "state.pt")
    wanted = goes_on(loss, 4, first=2)
    fresh = Loss(
        loss.source, loss.strategy, classes=loss.classes, **{k.replace("-", "_"): v for k, v in loss._given.items()}
    )
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert fresh.step == 2
    assert equal(goes_on(fresh, 4, first=2), wanted)


def test_a_memory_in_the_middle_of_being_filled_goes_on_at_every_step():
    straight = goes_on(memory(), 6)
    for stop in range(1, 6):
        first, then = memory(), memory()
        begun = goes_on(first, stop)
        then.load_state_dict(first.state_dict())
        assert equal(begun + goes_on(then, 6 - stop, first=stop), straight), f"after {stop} steps"


def test_a_state_dict_comes_back_into_the_module_that_wrote_it():
    loss = memory()
    goes_on(loss, 2)
    kept = copy.deepcopy(loss.state_dict())
    wanted = goes_on(loss, 2, first=2)
    loss.load_state_dict(kept)
    assert equal(goes_on(loss, 2, first=2), wanted)


def test_the_state_of_another_strategy_or_shape_is_refused():
    with pytest.raises(RuntimeError, match="the state is of `proxy-anchor`, and the module is `contrastive`"):
        memory().load_state_dict(proxies().state_dict())
    with pytest.raises(RuntimeError, match="size mismatch"):
        Loss("proxies", "proxy-anchor", classes=CLASSES).prepare(5).load_state_dict(proxies().state_dict())


def test_another_dtype_is_that_of_parameters_and_buffers():
    loss = proxies().to(torch.float64)
    embeddings, labels = batch(dtype=torch.float64)
    assert loss.proxies.dtype == torch.float64
    assert loss(embeddings, labels).dtype == torch.float64
    loss = memory()
    goes_on(loss, 2)
    loss.double()
    assert loss(embeddings, labels).isfinite()


@pytest.mark.parametrize("made", [proxies, memory])
def test_a_deep_copy_goes_its_own_way(made):
    loss = made()
    goes_on(loss, 2)
    twin = copy.deepcopy(loss)
    wanted = goes_on(loss, 2, first=2)
    assert twin.step == 2 and equal(goes_on(twin, 2, first=2), wanted)
    with torch.no_grad():
        for tensor in (*twin.parameters(), *twin.buffers()):
            tensor.zero_()
    assert any(tensor.any() for tensor in (*loss.parameters(), *loss.buffers()))


GOES_ON = """
import pickle, sys, torch
from test_state import goes_on
with open(sys.argv[1], "rb") as file:
    loss = pickle.load(file)
torch.save((loss.step, goes_on(loss, 2, first=2)), sys.argv[2])
"""


@pytest.mark.parametrize("made", [proxies, memory, lambda: Objective(memory())], ids=["proxies", "memory", "objective"])
def test_a_pickle_goes_on_in_another_process(made, tmp_path, child):
    loss = made()
    goes_on(loss, 2)
    file = tmp_path / "loss.pickle"
    file.write_bytes(pickle.dumps(loss))
    done = child(GOES_ON, str(file), str(tmp_path / "made.pt"))
    assert done.returncode == 0, done.stderr
    step, made = torch.load(tmp_path / "made.pt")
    assert step == 2 and equal(made, goes_on(loss, 2, first=2))


def test_a_pickle_has_the_bytes_of_the_component(guest, tmp_path):
    component = tmp_path / "gone.wasm"
    component.write_bytes(open(guest("roles"), "rb").read())
    loss = Loss(component, "running-mean")
    kept = pickle.dumps(loss)
    component.unlink()
    again = pickle.loads(kept)
    assert again.hash == loss.hash
    assert equal(goes_on(again, 2), goes_on(loss, 2))


def test_an_exchanged_parameter_is_told(guest, caplog):
    loss = Loss(guest("roles"), "grown-proxies", classes=4)
    embeddings, labels = batch()
    with caplog.at_level(logging.WARNING, logger="lossmith"):
        loss(embeddings, labels)
        first = loss.proxies
        loss.classes = 6
        loss(embeddings, labels)
    assert loss.proxies is not first and loss.proxies.shape == (6, 8)
    assert "give the new one to the optimizer" in caplog.text


def test_a_parameter_that_was_taken_away_is_missed():
    loss = proxies()
    del loss.proxies
    with pytest.raises(RuntimeError, match="`proxies` is missing"):
        loss(*batch())


def test_an_objective_keeps_what_its_strategies_keep(tmp_path):
    def made() -> Objective:
        loss = Loss("proxies", "proxy-anchor", classes=CLASSES)
        return Objective(loss, miner=lossmith.Miner("miners", "distance-weighted"), weight=0.5)

    whole = made()
    goes_on(whole, 2)
    assert [name for name, _ in whole.named_parameters()] == ["loss.proxies"]
    fresh = made()
    fresh.load_state_dict(whole.state_dict())
    assert equal(goes_on(fresh, 2, first=2), goes_on(whole, 2, first=2))


def test_a_schedule_goes_on_with_its_buffers():
    def steps(schedule: Schedule, seeds: range) -> list[list[float]]:
        return [schedule(*batch(seed=seed)) for seed in seeds]

    schedule = Schedule("schedules", "adaptive", slices=2)
    steps(schedule, range(2))
    fresh = Schedule("schedules", "adaptive", slices=2)
    fresh.load_state_dict(schedule.state_dict())
    assert steps(fresh, range(2, 5)) == steps(schedule, range(2, 5))


def test_the_state_of_a_newer_version_is_refused():
    state = proxies().state_dict()
    state["_extra_state"] = packed(unpacked(state["_extra_state"])).clone()
    Loss("proxies", "proxy-anchor", classes=CLASSES).load_state_dict(state)
    text = bytes(state["_extra_state"].tolist()).replace(b'"version": 1', b'"version": 2')
    state["_extra_state"] = torch.tensor(list(text), dtype=torch.uint8)
    with pytest.raises((ValueError, RuntimeError), match="newer lossmith"):
        Loss("proxies", "proxy-anchor", classes=CLASSES).load_state_dict(state)


def test_an_extra_state_of_another_kind_is_refused_by_a_sentence():
    state = proxies().state_dict()
    for wrong, says in (
        (state["_extra_state"].float(), "a vector of bytes.*float32"),
        ({"step": 1}, "a vector of bytes.*has dict"),
        (torch.arange(9, dtype=torch.uint8), "is damaged"),
        (torch.tensor([55], dtype=torch.uint8), "is damaged"),
    ):
        for fresh in (Loss("proxies", "proxy-anchor", classes=CLASSES), Objective(memory())):
            with pytest.raises(ValueError, match=says):
                fresh.load_state_dict({"_extra_state": wrong}, strict=False)
