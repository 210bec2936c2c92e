"""A session in a training of the real `transformers.Trainer`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossmith

pytest.importorskip("transformers")
from transformers import Trainer, TrainerCallback, TrainingArguments  # noqa: E402

from lossmith.huggingface import SessionCallback  # noqa: E402

CLASSES, BATCHES = 3, 4


class Embedding(nn.Module):
    """A network of one layer with a loss and a miner."""

    def __init__(self, loss: lossmith.Loss, miner: lossmith.Miner | None = None) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.network, self.loss, self.miner = nn.Linear(8, 4), loss, miner
        #: What the miner found in each batch.
        self.mined: list[list[Tensor]] = []

    def forward(self, rows: Tensor, labels: Tensor) -> dict[str, Tensor]:
        embeddings = self.network(rows)
        if self.miner is None:
            return {"loss": self.loss(embeddings, labels)}
        tuples = self.miner(embeddings, labels)
        self.mined.append(list(tuples))
        return {"loss": self.loss(embeddings, labels, tuples)}


class Each(TrainerCallback):
    """Calls a function after each update, with how many there were."""

    def __init__(self, function: Callable[[int], Any]) -> None:
        self.function = function

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.function(state.global_step)


def trainer(module: Embedding, folder: Path, callbacks: list[TrainerCallback], epochs: int = 2, **more: Any) -> Trainer:
    """A trainer on four batches of 12 rows, the same in each epoch."""
    rows = torch.randn(12 * BATCHES, 8, generator=torch.Generator().manual_seed(2))
    # Long rows in the third, which only losses on lengths notice.
    rows[24:36] *= 100
    data = [{"rows": row, "labels": torch.tensor(place % CLASSES)} for place, row in enumerate(rows)]
    more.setdefault("save_strategy", "no")
    arguments = TrainingArguments(
        str(folder), num_train_epochs=epochs, per_device_train_batch_size=12, train_sampling_strategy="sequential",
        learning_rate=0.01, use_cpu=True, report_to="none", disable_tqdm=True, logging_strategy="no",
        dataloader_pin_memory=False, **more,
    )
    return Trainer(module, arguments, train_dataset=data, callbacks=callbacks)


def test_a_component_is_exchanged_between_two_epochs(tmp_path: Path) -> None:
    loss = lossmith.Loss("losses", "contrastive")
    session = lossmith.Session(loss)
    seen = []

    def each(updates: int) -> None:
        seen.append(loss.strategy)
        if updates == 2:
            session.replace(loss, "losses", "multi-similarity")
            session.wait()

    trainer(Embedding(loss), tmp_path, [SessionCallback(session), Each(each)]).train()
    assert seen == ["contrastive"] * BATCHES + ["multi-similarity"] * BATCHES
    assert loss._session is None, "the session is closed when the training ends"


def test_a_boundary_can_be_after_some_updates(tmp_path: Path) -> None:
    loss = lossmith.Loss("losses", "contrastive")
    session = lossmith.Session(loss)
    seen = []

    def each(updates: int) -> None:
        seen.append(loss.strategy)
        if updates == 1:
            session.replace(loss, "losses", "multi-similarity")
            session.wait()

    callbacks = [SessionCallback(session, boundary_steps=3), Each(each)]
    trainer(Embedding(loss), tmp_path, callbacks, epochs=1).train()
    # A callback of the user sees the boundary after the third update.
    assert seen == ["contrastive", "contrastive", "multi-similarity", "multi-similarity"]
    with pytest.raises(ValueError, match="1 or more"):
        SessionCallback(session, boundary_steps=0)


def test_a_candidate_that_is_refused_costs_nothing(tmp_path: Path) -> None:
    loss = lossmith.Loss("losses", "contrastive")
    session = lossmith.Session(loss)

    def each(updates: int) -> None:
        if updates == 2:
            # Infinite in 32 bits.
            session.set("negative-margin", 1e39)
            session.wait()

    module, plain = Embedding(loss), Embedding(lossmith.Loss("losses", "contrastive"))
    trainer(module, tmp_path, [SessionCallback(session), Each(each)]).train()
    assert [candidate.verdict for candidate in session.candidates] == ["refused"]
    assert "finite" in session.candidates[0].reason
    trainer(plain, tmp_path, []).train()
    assert torch.equal(module.network.weight, plain.network.weight)


def test_a_candidate_that_diverges_rolls_back_and_the_weights_are_restored(tmp_path: Path) -> None:
    loss, rollbacks = lossmith.Loss("losses", "contrastive"), []
    session = lossmith.Session(loss, on_rollback=rollbacks.append)
    module = Embedding(loss)
    states: dict[int, Any] = {}

    def keep(updates: int) -> None:
        states[updates] = copy.deepcopy((module.network.state_dict(), running.optimizer.state_dict()["state"]))
        if updates == 2:
            # The lengths of embeddings: good on this batch, and a hundred times as large on the next one.
            session.replace(loss, "regularizers", "lp-norm")
            session.wait()

    running = trainer(module, tmp_path, [SessionCallback(session), Each(keep)])
    running.train()
    assert [candidate.verdict for candidate in session.candidates] == ["rolled back"]
    assert [rollback.to for rollback in rollbacks] == [0]
    swap = states[BATCHES]
    assert not torch.equal(states[BATCHES + 2][0]["weight"], swap[0]["weight"]), "it trained"
    torch.testing.assert_close(states[BATCHES + 3], swap, rtol=0, atol=0)
    assert not torch.equal(states[BATCHES + 4][0]["weight"], swap[0]["weight"]), "the training goes on"


def test_strategies_are_told_epoch_and_step_of_each_batch(tmp_path: Path) -> None:
    loss, miner = lossmith.Loss("losses", "triplet"), lossmith.Miner("miners", "distance-weighted")
    schedule = lossmith.Schedule("schedules", "curriculum", slices=2)
    rows, labels = torch.randn(12, 8, generator=torch.Generator().manual_seed(3)), torch.arange(12) % CLASSES
    found = []

    def call() -> tuple[list[float], list[Tensor]]:
        miner(rows, labels)  # A miner that counted its calls would be one too far in the next one.
        return schedule(rows, labels), list(miner(rows, labels))

    module = Embedding(loss)
    module.register_forward_hook(lambda *_: found.append(call()))
    callback = SessionCallback(lossmith.Session(loss))
    trainer(module, tmp_path, [callback], epochs=3, gradient_accumulation_steps=2).train()
    assert len(found) == 3 * BATCHES
    schedule = lossmith.Schedule("schedules", "curriculum", slices=2)
    miner = lossmith.Miner("miners", "distance-weighted")
    for step, (thresholds, tuples) in enumerate(found):
        lossmith.progress(epoch=step // BATCHES, step=step, epochs=3, steps_per_epoch=BATCHES)
        expected, drawn = call()
        assert thresholds == expected
        assert all(torch.equal(a, b) for a, b in zip(tuples, drawn, strict=True))
    assert found[0][0] != found[-1][0], "the schedule depends on the epoch"


def test_a_checkpoint_after_an_exchange_goes_on_to_the_last_bit(tmp_path: Path) -> None:
    def made(**params: Any) -> tuple[Embedding, lossmith.Session]:
        loss = lossmith.Loss("proxies", "proxy-nca", **params).prepare(4, CLASSES)
        # It draws at random, by the step.
        miner = lossmith.Miner("miners", "distance-weighted")
        return Embedding(loss, miner), lossmith.Session(loss, miner)

    whole, session = made()

    def each(updates: int) -> None:
        if updates == 2:
            session.set("scale", 12.0)
            session.wait()

    trainer(whole, tmp_path, [SessionCallback(session), Each(each)], epochs=4, save_strategy="epoch").train()
    assert whole.loss.params["scale"] == 12.0
    resumed, again = made(scale=12.0)
    running = trainer(resumed, tmp_path, [SessionCallback(again)], epochs=4)
    running.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{2 * BATCHES}"))
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)
    assert "loss.proxies" in whole.state_dict()
    for mine, theirs in zip(resumed.mined, whole.mined[2 * BATCHES :], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_a_session_around_the_training_is_closed_by_an_exception(tmp_path: Path) -> None:
    loss = lossmith.Loss("losses", "contrastive")

    def each(updates: int) -> None:
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"), lossmith.Session(loss) as session:
        trainer(Embedding(loss), tmp_path, [SessionCallback(session), Each(each)]).train()
    assert loss._session is None
