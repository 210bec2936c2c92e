"""A session in a training of the real `lightning.pytorch`."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lossmith

pytest.importorskip("lightning.pytorch")
from lightning.pytorch import Callback, LightningModule, Trainer  # noqa: E402
from lightning.pytorch.callbacks import ModelCheckpoint  # noqa: E402

from lossmith.lightning import SessionCallback  # noqa: E402

CLASSES, BATCHES = 3, 4


class Embedding(LightningModule):
    """A network of one layer with a loss and a miner."""

    def __init__(self, loss: lossmith.Loss, miner: lossmith.Miner | None = None) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.network, self.loss, self.miner = nn.Linear(8, 4), loss, miner
        #: What the miner found in each step.
        self.mined: list[list[Tensor]] = []

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        embeddings, labels = self.network(batch[0]), batch[1]
        if self.miner is None:
            return self.loss(embeddings, labels)
        tuples = self.miner(embeddings, labels)
        self.mined.append(list(tuples))
        return self.loss(embeddings, labels, tuples)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


class Each(Callback):
    """Calls a function after each batch with its epoch and place in it, and one after each epoch."""

    def __init__(
        self, batch: Callable[[int, int], Any] | None = None, epoch: Callable[[int], Any] | None = None
    ) -> None:
        self.batch, self.epoch = batch, epoch

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, place: int
    ) -> None:
        if self.batch is not None:
            self.batch(trainer.current_epoch, place)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if self.epoch is not None:
            self.epoch(trainer.current_epoch)


def batches() -> DataLoader[Any]:
    """Four batches of 12 rows, the same in each epoch. The third has long rows, which only losses on lengths notice."""
    rows = torch.randn(12 * BATCHES, 8, generator=torch.Generator().manual_seed(2))
    rows[24:36] *= 100
    return DataLoader(TensorDataset(rows, torch.arange(len(rows)) % CLASSES), batch_size=12)


def fit(
    module: Embedding, callbacks: list[Callback], epochs: int, checkpoint: Path | None = None, **more: Any
) -> Trainer:
    """Trains, from a checkpoint if there is one."""
    more.setdefault("enable_checkpointing", False)
    trainer = Trainer(
        accelerator="cpu", devices=1, max_epochs=epochs, callbacks=callbacks, logger=False, enable_progress_bar=False,
        enable_model_summary=False, **more,
    )
    trainer.fit(module, batches(), ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return trainer


def test_a_component_is_exchanged_between_two_epochs() -> None:
    loss = lossmith.Loss("losses", "contrastive")
    session = lossmith.Session(loss)
    seen = []

    def each(epoch: int, place: int) -> None:
        seen.append((epoch, loss.strategy))
        if (epoch, place) == (0, 1):
            session.replace(loss, "losses", "multi-similarity")
            session.wait()

    fit(Embedding(loss), [SessionCallback(session), Each(each)], epochs=2)
    assert seen == [(0, "contrastive")] * BATCHES + [(1, "multi-similarity")] * BATCHES
    assert loss._session is None, "the session is closed when the training ends"


def test_a_candidate_that_is_refused_costs_nothing() -> None:
    loss = lossmith.Loss("losses", "contrastive")
    session = lossmith.Session(loss)

    def each(epoch: int, place: int) -> None:
        if (epoch, place) == (0, 1):
            # Infinite in 32 bits.
            session.set("negative-margin", 1e39)
            session.wait()

    module, plain = Embedding(loss), Embedding(lossmith.Loss("losses", "contrastive"))
    fit(module, [SessionCallback(session), Each(each)], epochs=2)
    assert [candidate.verdict for candidate in session.candidates] == ["refused"]
    assert "finite" in session.candidates[0].reason
    fit(plain, [], epochs=2)
    assert torch.equal(module.network.weight, plain.network.weight)


def test_a_candidate_that_diverges_rolls_back_and_the_weights_are_restored() -> None:
    loss, rollbacks = lossmith.Loss("losses", "contrastive"), []
    session = lossmith.Session(loss, on_rollback=rollbacks.append)
    module = Embedding(loss)
    states: dict[tuple[int, int | None], Any] = {}

    def keep(epoch: int, place: int | None = None) -> None:
        optimizer = module.optimizers().optimizer
        states[epoch, place] = copy.deepcopy((module.network.state_dict(), optimizer.state_dict()))
        if (epoch, place) == (0, 1):
            # The lengths of embeddings: good on this batch, and a hundred times as large on the next one.
            session.replace(loss, "regularizers", "lp-norm")
            session.wait()

    fit(module, [SessionCallback(session), Each(keep, keep)], epochs=2)
    assert [candidate.verdict for candidate in session.candidates] == ["rolled back"]
    assert [rollback.to for rollback in rollbacks] == [0]
    swap = states[0, None]
    assert not torch.equal(states[1, 1][0]["weight"], swap[0]["weight"]), "it trained"
    torch.testing.assert_close(states[1, 2], swap, rtol=0, atol=0)
    assert not torch.equal(states[1, 3][0]["weight"], swap[0]["weight"]), "the training goes on"
    assert loss.strategy == "contrastive"


def test_weights_are_not_restored_while_gradients_are_accumulated() -> None:
    loss = lossmith.Loss("losses", "contrastive")
    session = lossmith.Session(loss)
    module, weights = Embedding(loss), {}

    def keep(epoch: int, place: int | None = None) -> None:
        weights[epoch, place] = module.network.weight.detach().clone()
        if (epoch, place) == (0, 1):
            session.replace(loss, "regularizers", "lp-norm")
            session.wait()

    fit(module, [SessionCallback(session), Each(keep, keep)], epochs=2, accumulate_grad_batches=2)
    assert [candidate.verdict for candidate in session.candidates] == ["rolled back"]
    assert not torch.equal(weights[1, 1], weights[0, None])
    # The third batch fails, the fourth updates the weights with gradients of both: only then they are brought back.
    assert torch.equal(weights[1, 2], weights[1, 1])
    assert torch.equal(weights[1, 3], weights[0, None])


def test_strategies_are_told_epoch_and_step_of_each_batch() -> None:
    schedule = lossmith.Schedule("schedules", "curriculum", slices=2)
    miner = lossmith.Miner("miners", "distance-weighted")
    loss = lossmith.Loss("losses", "triplet")
    rows, labels = batches().dataset.tensors
    rows, labels = rows[:12], labels[:12]
    found = []

    def call() -> tuple[list[float], list[Tensor]]:
        miner(rows, labels)  # A miner that counted its calls would be one too far in the next one.
        return schedule(rows, labels), list(miner(rows, labels))

    module = Embedding(loss)
    each = Each(lambda epoch, place: found.append((epoch, place, call())))
    fit(module, [SessionCallback(lossmith.Session(loss)), each], epochs=3, accumulate_grad_batches=2)
    assert len(found) == 3 * BATCHES
    schedule = lossmith.Schedule("schedules", "curriculum", slices=2)
    miner = lossmith.Miner("miners", "distance-weighted")
    for epoch, place, (thresholds, tuples) in found:
        lossmith.progress(epoch=epoch, step=epoch * BATCHES + place, epochs=3, steps_per_epoch=BATCHES)
        expected, drawn = call()
        assert thresholds == expected
        assert all(torch.equal(a, b) for a, b in zip(tuples, drawn, strict=True))
    assert found[0][2][0] != found[-1][2][0], "the schedule depends on the epoch"
    same = [torch.equal(a, b) for a, b in zip(found[0][2][1], found[1][2][1], strict=True)]
    assert not all(same), "the miner draws by step"


def test_a_checkpoint_after_an_exchange_goes_on_to_the_last_bit(tmp_path: Path) -> None:
    def made(**params: Any) -> tuple[Embedding, lossmith.Session]:
        loss = lossmith.Loss("proxies", "proxy-nca", **params).prepare(4, CLASSES)
        # It draws at random, by the step.
        miner = lossmith.Miner("miners", "distance-weighted")
        return Embedding(loss, miner), lossmith.Session(loss, miner)

    whole, session = made()

    def each(epoch: int, place: int) -> None:
        if (epoch, place) == (0, 1):
            session.set("scale", 12.0)
            session.wait()

    keeper = ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)
    fit(whole, [SessionCallback(session), Each(each), keeper], epochs=4, enable_checkpointing=True)
    assert whole.loss.params["scale"] == 12.0
    resumed, again = made(scale=12.0)
    fit(resumed, [SessionCallback(again)], epochs=4, checkpoint=tmp_path / "epoch=1.ckpt")
    assert len(resumed.mined) == 2 * BATCHES
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)
    assert "loss.proxies" in whole.state_dict()
    for mine, theirs in zip(resumed.mined, whole.mined[2 * BATCHES :], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_an_exception_ends_the_session_and_is_in_its_journal(tmp_path: Path) -> None:
    loss = lossmith.Loss("losses", "contrastive")
    session = lossmith.Session(loss, journal=tmp_path / "run")

    def each(epoch: int, place: int) -> None:
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        fit(Embedding(loss), [SessionCallback(session), Each(each)], epochs=1)
    assert loss._session is None
    last = json.loads((tmp_path / "run/journal.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "failed" and "the disk is full" in last["error"]
