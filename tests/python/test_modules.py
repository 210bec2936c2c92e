"""Every strategy as a module: values, gradients, what it reports, and loops that torch changes."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from conftest import batch, gradient, with_package
from torch import Tensor, nn

import lossmith
from lossmith import Loss, Miner, Transfer

ALL = lossmith.strategies()
#: For strategies that have no default that fits.
PARAMS = {
    "list": {"thresholds": [0.2, 0.4]},
    "dimension-weighted": {"dimensions": [4, 4]},
    "weighted": {"weights": [1.0, 2.0]},
}
CLASSES, SLICES = 4, 2


def called(info: lossmith.catalogue.StrategyInfo) -> tuple[nn.Module, Tensor, object]:
    """A module of a strategy, the embeddings of a batch, and what the module makes of it."""
    lossmith.progress(epochs=3)
    embeddings, labels = batch()
    params = PARAMS.get(info.name, {})
    module = info(classes=CLASSES, slices=1 if info.name == "single" else SLICES, **params)
    teacher = batch(seed=1)[0].detach()
    maps = {
        "feature_map": embeddings.reshape(12, 2, 2, 2),
        "teacher_feature_map": batch(seed=2)[0].reshape(12, 2, 2, 2),
    }
    match info.role:
        case "loss":
            of_teachers = {"teacher": teacher, **maps} if info.plugin == "transfers" else {}
            thresholds = [0.3, 0.6] if info.name == "multi-threshold" else None
            made = module(embeddings, labels, thresholds=thresholds, **of_teachers)
        case "transfer":
            made = module(embeddings, labels, teacher)
        case "balance":
            transfer = Transfer("transfers", "pkt" if info.name == "row-wise" else "relaxed-contrastive")
            pairs = transfer.pair_losses(embeddings, labels, teacher)
            made = module(pairs, embeddings, labels, teacher)
        case "fusion":
            made = module(embeddings)
        case _:
            made = module(embeddings, labels)
    return module, embeddings, made


@pytest.mark.parametrize("info", ALL, ids=lambda info: f"{info.role}-{info.name}")
def test_every_strategy_runs_through_its_module(info):
    module, embeddings, made = called(info)
    assert isinstance(module, getattr(lossmith, info.role.capitalize()))
    assert module.step == 1
    match info.role:
        case "miner":
            assert len(made) in (3, 4) and all(part.dtype == torch.int64 for part in made)
        case "schedule":
            assert len(made) == module.slices and all(isinstance(threshold, float) for threshold in made)
        case "fusion":
            assert made.shape[0] == 12
        case _:
            assert made.shape == () and made.isfinite()
            (found,) = gradient(made, embeddings)
            assert found.isfinite().all() and found.any()


def test_a_call_that_is_made_again_gives_the_same():
    embeddings, labels = batch()
    loss = Loss("losses", "multi-similarity")
    first, again = (loss(embeddings, labels) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(*(gradient(value, embeddings)[0] for value in (first, again)))


def test_a_loss_trains_a_network():
    torch.manual_seed(0)
    network, loss = nn.Linear(8, 4), Loss("losses", "triplet", margin=0.2)
    images, labels = batch()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    values = []
    for _ in range(20):
        optimizer.zero_grad()
        value = loss(network(images.detach()), labels)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < values[0]


# What the command computes


def of_command(tmp_path, plugin: str, strategy: str, role: str, case: dict, *words: str) -> dict:
    """What `lossmith plugin eval` writes."""
    file = tmp_path / "case.json"
    file.write_text(json.dumps(case))
    program = [sys.executable, "-m", "lossmith", "plugin", "eval", plugin, "--strategy", strategy, "--role", role]
    program += ["--input", str(file), "--dtype", "f32", "--seed", "7", *words]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120, env=with_package())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def same_bits(found: Tensor, wanted: object) -> bool:
    """JSON has each float32 as the float64 of the same value."""
    return torch.equal(found.detach().double(), torch.tensor(wanted, dtype=torch.float64).reshape(found.shape))


@pytest.mark.parametrize(
    ("plugin", "strategy", "params"),
    [
        ("losses", "contrastive", {"negative-margin": 0.8}),
        ("losses", "multi-similarity", {}),
        ("proxies", "proxy-anchor", {}),
        ("rankings", "smooth-ap", {}),
        ("regularizers", "equal-norm", {}),
    ],
)
def test_value_and_gradients_are_those_of_the_command_to_the_last_bit(tmp_path, plugin, strategy, params):
    embeddings, labels = batch()
    case = {"embeddings": embeddings.tolist(), "labels": labels.tolist(), "class-count": CLASSES}
    wanted = of_command(tmp_path, plugin, strategy, "loss", case, "--params", json.dumps(params))
    loss = Loss(plugin, strategy, seed=7, classes=CLASSES, **{k.replace("-", "_"): v for k, v in params.items()})
    lossmith.progress(epochs=1, steps_per_epoch=1)
    value = loss(embeddings, labels)
    value.backward()
    assert value.item() == wanted["value"]
    assert same_bits(embeddings.grad, wanted["gradient"])
    made = {name: parameter.grad for name, parameter in loss.named_parameters()}
    assert set(made) == set(wanted.get("parameter_gradients", {}))
    for name, found in made.items():
        assert same_bits(found, wanted["parameter_gradients"][name])


def test_a_transfer_with_a_balance_is_that_of_the_command_to_the_last_bit(tmp_path):
    embeddings, labels = batch()
    teacher = batch(dimension=6, seed=1)[0].detach()
    balance = {"plugin": "balances", "strategy": "mean", "params": {"lambda": 0.3}}
    case = {
        "embeddings": embeddings.tolist(),
        "labels": labels.tolist(),
        "teacher": teacher.tolist(),
        "balance": balance,
    }
    wanted = of_command(tmp_path, "transfers", "relaxed-contrastive", "transfer", case)
    module = Transfer(
        "transfers", "relaxed-contrastive", seed=7, balance=lossmith.Balance("balances", "mean", seed=7, lambda_=0.3)
    )
    value = module(embeddings, labels, teacher)
    assert value.item() == wanted["value"]
    assert same_bits(*gradient(value, embeddings), wanted["gradient"])


def test_random_numbers_are_those_of_the_command_with_the_same_seed(tmp_path, guest):
    embeddings, labels = batch()
    case = {"embeddings": embeddings.tolist(), "labels": labels.tolist()}
    wanted = of_command(tmp_path, guest("roles"), "noise", "loss", case)
    value = Loss(guest("roles"), "noise", seed=7)(embeddings, labels)
    assert value.item() == wanted["value"]
    assert same_bits(*gradient(value, embeddings), wanted["gradient"])
    assert Loss(guest("roles"), "noise", seed=8)(embeddings, labels).item() != wanted["value"]


# Seeds, progress, reports


@pytest.mark.parametrize("strategy", ["distance-weighted", "uniform-histogram"])
def test_what_a_miner_draws_depends_on_seed_and_step_alone(strategy):
    embeddings, labels = batch(60)

    def draws(seed: int) -> list[list[int]]:
        miner = Miner("miners", strategy, seed=seed)
        return [torch.cat(miner(embeddings, labels)).tolist() for _ in range(3)]

    first = draws(0)
    torch.manual_seed(99)
    assert draws(0) == first != draws(1)
    assert first[0] != first[1]


def test_steps_are_counted_and_epochs_are_told(guest):
    embeddings, labels = batch()
    loss = Loss(guest("roles"), "running-mean")
    for step in range(3):
        loss(embeddings, labels)
        assert loss.metrics["step"] == step
    lossmith.progress(step=10)
    loss(embeddings, labels)
    assert loss.metrics["step"] == 10
    curriculum = lossmith.Schedule("schedules", "curriculum", slices=4)
    widths = []
    for epoch in range(4):
        lossmith.progress(epoch=epoch, epochs=4)
        thresholds = curriculum(embeddings, labels)
        widths.append(max(thresholds) - min(thresholds))
    assert widths[0] < widths[-1]


def test_metrics_are_tensors_without_gradient_or_numbers(guest):
    embeddings, labels = batch()
    loss = Loss(guest("roles"), "running-mean")
    assert loss.metrics == {}
    loss(embeddings, labels)
    norm = loss.metrics["mean-norm"]
    assert isinstance(norm, Tensor) and not norm.requires_grad
    torch.testing.assert_close(norm, embeddings.detach().mean(0).norm())


def test_log_lines_go_to_logging(guest, caplog):
    embeddings, labels = batch()
    with caplog.at_level(logging.INFO, logger="lossmith"):
        Loss(guest("roles"), "noise")(embeddings, labels)
    assert [(r.name, r.levelname, r.message) for r in caplog.records] == [
        ("lossmith.roles.noise", "INFO", "noise added")
    ]


# Embeddings of all kinds


@pytest.mark.parametrize(
    ("plugin", "strategy"), [("losses", "triplet"), ("proxies", "proxy-anchor"), ("rankings", "histogram")]
)
def test_gradients_are_those_of_differences(plugin, strategy):
    loss = Loss(plugin, strategy, classes=2).prepare(3, dtype=torch.float64)
    embeddings, labels = batch(6, 3, torch.float64)
    parameters = tuple(loss.parameters())
    assert torch.autograd.gradcheck(lambda e, *_: loss(e, labels), (embeddings, *parameters))


def test_columns_of_another_matrix_and_its_transpose_are_as_good_as_a_copy():
    embeddings, labels = batch()
    rows = embeddings.detach()
    loss = Loss("losses", "contrastive")
    wanted = loss(embeddings, labels)
    (slope,) = gradient(wanted, embeddings)
    wide = torch.cat([rows, rows], dim=1)
    for given in (rows.T.contiguous().T, wide[:, 8:], torch.stack([rows, rows], dim=1)[:, 1], rows.flip(0).flip(0)):
        leaf = given.requires_grad_()
        value = loss(leaf, torch.stack([labels, labels], dim=1)[:, 0])
        torch.testing.assert_close(value, wanted)
        torch.testing.assert_close(gradient(value, leaf)[0], slope)


def test_a_thousand_embeddings_are_no_other_case():
    embeddings, labels = batch(1200, 16)
    loss = Loss("losses", "multi-similarity")
    miner = Miner("miners", "multi-similarity")
    value = loss(embeddings, labels, miner(embeddings, labels))
    assert value.isfinite() and gradient(value, embeddings)[0].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_embeddings_of_16_bits_are_computed_in_32(dtype):
    embeddings, labels = batch()
    loss, network = Loss("losses", "multi-similarity"), nn.Linear(8, 8)
    with torch.autocast("cpu", dtype):
        made = network(embeddings)
        value = loss(made, labels)
    assert made.dtype == dtype and value.dtype == torch.float32
    outside = loss(made.detach().float().requires_grad_(), labels)
    assert torch.equal(value, outside)
    value.backward()
    assert embeddings.grad.isfinite().all() and embeddings.grad.any()


def test_without_gradient_the_value_is_the_same():
    embeddings, labels = batch()
    loss = Loss("losses", "contrastive")
    wanted = loss(embeddings, labels)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            value = loss(embeddings, labels)
        assert torch.equal(value, wanted) and not value.requires_grad


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_proxies_that_were_made_without_gradient_are_trained_later(mode):
    embeddings, labels = batch()
    loss = Loss("proxies", "proxy-anchor", classes=CLASSES)
    with mode():
        loss(embeddings, labels)
    loss(embeddings, labels).backward()
    assert loss.proxies.grad.any()


# Loops that torch changes


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_network_and_a_compiled_step_keep_working():
    torch.manual_seed(0)
    network, (images, labels) = nn.Linear(8, 4), batch()
    loss, miner = Loss("losses", "contrastive"), Miner("miners", "multi-similarity")

    def step(images: Tensor) -> Tensor:
        embeddings = nn.functional.normalize(network(images))
        return 2.0 * loss(embeddings, labels, miner(embeddings, labels))

    wanted = step(images)
    (slope,) = gradient(wanted, images)
    value = torch.compile(step, backend="aot_eager")(images)
    torch.testing.assert_close(value, wanted)
    torch.testing.assert_close(gradient(value, images)[0], slope)
    network = torch.compile(network, backend="aot_eager")
    torch.testing.assert_close(step(images), wanted)


@pytest.mark.filterwarnings("ignore")
def test_a_compiler_does_not_look_into_a_call():
    (embeddings, labels), graphs = batch(), []
    loss, miner = Loss("losses", "contrastive"), Miner("miners", "multi-similarity")

    def kept(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    def step(embeddings: Tensor) -> Tensor:
        return 2.0 * loss(3.0 * embeddings, labels, miner(embeddings, labels))

    torch.compile(step, backend=kept)(embeddings)
    package = str(Path(lossmith.__file__).parent)
    traces = [node.meta.get("stack_trace", "") for graph in graphs for node in graph.graph.nodes]
    assert traces and not [trace for trace in traces if package in trace]


def test_other_parameters_can_be_given_for_one_call():
    embeddings, labels = batch()
    loss = Loss("proxies", "proxy-anchor", classes=CLASSES).prepare(8)
    other = torch.randn(CLASSES, 8, requires_grad=True)
    value = torch.func.functional_call(loss, {"proxies": other}, (embeddings, labels))
    value.backward()
    assert other.grad.any() and loss.proxies.grad is None
    assert value != loss(embeddings, labels)


def test_a_parametrization_of_the_proxies_is_trained():
    embeddings, labels = batch()
    loss = Loss("proxies", "proxy-anchor", classes=CLASSES).prepare(8)
    wanted = loss(embeddings, labels)
    nn.utils.parametrizations.weight_norm(loss, "proxies")
    value = loss(embeddings, labels)
    torch.testing.assert_close(value, wanted)
    value.backward()
    assert all(parameter.grad.any() for parameter in loss.parameters())


def test_operations_are_counted_by_torchs_own_modes():
    embeddings, labels = batch()
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        Loss("losses", "contrastive")(embeddings, labels).backward()
    assert counter.get_total_flops() > 0


def test_hooks_on_saved_tensors_are_called():
    embeddings, labels = batch()
    loss, seen = Loss("losses", "contrastive"), []
    (wanted,) = gradient(loss(embeddings, labels), embeddings)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: seen.append(t) or t.clone(), lambda t: t):
        value = loss(embeddings, labels)
    # Where hooks look, operations run one by one.
    assert seen and torch.allclose(gradient(value, embeddings)[0], wanted, atol=1e-7)


def test_what_a_hook_raises_is_the_exception_of_the_call():
    def packed(tensor: Tensor) -> Tensor:
        raise KeyError("on purpose")

    embeddings, labels = batch()
    loss = Loss("losses", "contrastive")
    with torch.autograd.graph.saved_tensors_hooks(packed, lambda t: t), pytest.raises(KeyError, match="on purpose"):
        loss(embeddings, labels)
    assert loss(embeddings, labels).isfinite()


def test_a_loss_in_a_checkpoint_has_its_gradient():
    from torch.utils.checkpoint import checkpoint

    embeddings, labels = batch()
    loss = Loss("losses", "contrastive")
    (wanted,) = gradient(loss(embeddings, labels), embeddings)
    checkpoint(loss, embeddings, labels, use_reentrant=False).backward()
    assert torch.allclose(embeddings.grad, wanted, atol=1e-7)


def test_a_call_warns_of_nothing():
    embeddings, labels = batch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Loss("losses", "contrastive")(embeddings, labels).backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_call_with_nothing_special_is_like_any_other(dtype):
    for name in ("contrastive", "triplet", "sup-con"):
        found = []
        for more in ({}, {"thresholds": []}):
            embeddings, labels = batch(dtype=dtype)
            value = lossmith.Loss("losses", name)(embeddings, labels, **more)
            found += [value.detach(), *gradient(value, embeddings)]
        assert all(map(torch.equal, found[: len(found) // 2], found[len(found) // 2 :]))
    embeddings, labels = batch(dtype=dtype)
    miner = lossmith.Miner("miners", "multi-similarity")
    assert all(map(torch.equal, miner(embeddings, labels), miner(embeddings, labels, ref_emb=embeddings)))
