"""The tools of pytorch-metric-learning around our modules: its memory, wrappers, trainers and testers.

Where a tool works with a loss of the library, too, both train in the same way and must come to the same numbers.
"""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from peer import BATCHES, CASES, DIMENSION, assert_equal, batch, both, computed
from peer_ranks import ContrastiveLoss, GatheredContrastiveLoss, gathered, steps
from pytorch_metric_learning import losses, miners, testers, trainers
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.utils import accuracy_calculator, common_functions, distributed, inference
from torch import Tensor
from torch.nn import Linear, Module

from lossmith import Fusion, Loss, Miner

#: Where theirs takes positions among the references for positions in the batch.
LIFTED = "lifted-structure"


def named(theirs: Module, ours: Loss) -> Loss:
    """Our module in a class of the name of theirs."""
    ours.__class__ = type(type(theirs).__name__, (Loss,), {})
    return ours


def supported(wrapper: type) -> list[str]:
    """Our names of the losses that a wrapper of theirs takes, and that ours can compute with references."""
    names = wrapper.supported_losses()
    made = {name: type(case.theirs()).__name__ for name, case in CASES.items() if case.plugin != "proxies"}
    return [name for name, theirs in made.items() if theirs in names and name not in (LIFTED, "angular", "nca")]


@pytest.mark.parametrize("name", supported(losses.CrossBatchMemory))
def test_a_cross_batch_memory_takes_our_losses(name):
    ours, theirs = both(name)
    memories = [losses.CrossBatchMemory(loss, DIMENSION, memory_size=40) for loss in (named(theirs, ours), theirs)]
    # It is full, and overwritten, from the third batch on.
    for embeddings, labels in steps(5):
        assert_equal(*[computed(memory, embeddings, labels) for memory in memories], torch.float64)
    assert torch.equal(memories[0].embedding_memory, memories[1].embedding_memory)


@pytest.mark.parametrize("miner", [miners.MultiSimilarityMiner, miners.BatchHardMiner, miners.PairMarginMiner])
def test_a_cross_batch_memory_takes_our_losses_with_its_miners_and_tuples_of_ours(miner):
    ours, theirs = ContrastiveLoss("losses", "contrastive"), losses.ContrastiveLoss()
    memories = [losses.CrossBatchMemory(loss, DIMENSION, memory_size=40, miner=miner()) for loss in (ours, theirs)]
    of_batch = Miner("miners", "batch-hard")
    for embeddings, labels in steps(5):
        tuples = of_batch(embeddings, labels)
        assert_equal(*[computed(memory, embeddings, labels, tuples) for memory in memories], torch.float64)


def test_a_cross_batch_memory_refuses_our_miners_by_their_sentence():
    memory = losses.CrossBatchMemory(ContrastiveLoss("losses", "contrastive"), 8, miner=Miner("miners", "batch-hard"))
    with pytest.raises(NotImplementedError, match="a miner chooses among the rows of one batch"):
        memory(*steps(1)[0])


@pytest.mark.parametrize("losses_of", [list, lambda pair: dict(zip(("first", "second"), pair, strict=True))])
def test_multiple_losses_take_our_losses_and_miners(losses_of):
    names = ("contrastive", "multi-similarity")
    pairs = [both(name) for name in names]
    miner = {"first": Miner("miners", "batch-hard")}
    weights = losses_of([0.25, 2.0])
    given = {"miners": miner if isinstance(weights, dict) else [miner["first"], None], "weights": weights}
    ours, theirs = (losses.MultipleLosses(losses_of([pair[side] for pair in pairs]), **given) for side in (0, 1))
    assert_equal(*[computed(loss, *batch(BATCHES["several"])) for loss in (ours, theirs)], torch.float64)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("name", supported(losses.SelfSupervisedLoss))
def test_two_views_without_labels_are_compared_by_our_losses(name, symmetric):
    ours, theirs = both(name)
    pair = [losses.SelfSupervisedLoss(loss, symmetric=symmetric) for loss in (named(theirs, ours), theirs)]
    first, _ = batch(BATCHES["equal"])
    second, _ = batch(BATCHES["equal"], seed=4)
    assert_equal(*[computed(loss, first, second) for loss in pair], torch.float64)


class Images(torch.utils.data.Dataset):
    """48 vectors of four classes."""

    def __init__(self, views: int = 1) -> None:
        self.views = views
        self.vectors, self.labels = batch([12, 12, 12, 12], torch.float32, seed=9)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        vector, label = self.vectors[index], int(self.labels[index])
        return (vector, label) if self.views == 1 else (vector, vector.flip(0), label)


def trained(
    trainer: type,
    loss_funcs: dict[str, Module],
    views: int = 1,
    more: dict[str, Module] | None = None,
    **given: object,
) -> dict[str, Tensor]:
    """What six iterations of a trainer make of a network, and of losses with parameters."""
    torch.manual_seed(1)
    models = {"trunk": Linear(DIMENSION, DIMENSION), **(more or {})}
    learning = {**models, **{name: loss for name, loss in loss_funcs.items() if list(loss.parameters())}}
    made = trainer(
        models=models,
        optimizers={f"{name}_optimizer": torch.optim.Adam(m.parameters(), lr=0.01) for name, m in learning.items()},
        batch_size=16,
        loss_funcs=loss_funcs,
        dataset=Images(views),
        data_device=torch.device("cpu"),
        dataloader_num_workers=0,
        **given,
    )
    torch.manual_seed(2)
    made.train(num_epochs=2)
    found = {f"{name}.{key}": value for name, m in learning.items() for key, value in m.state_dict().items()}
    return {key: value for key, value in found.items() if not key.endswith("_extra_state")}


def assert_trained_alike(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    torch.manual_seed(1)
    untrained = Linear(DIMENSION, DIMENSION).weight
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(ours["trunk.weight"], untrained, atol=1e-2)


@pytest.mark.parametrize("name", ["contrastive", "triplet", "multi-similarity", "sup-con", "arc-face", "soft-triple"])
def test_metric_loss_only_trains_with_our_losses(name):
    mining = {"tuple_miner": miners.MultiSimilarityMiner()}
    pair = [{"metric_loss": loss} for loss in both(name, torch.float32)]
    assert_trained_alike(*[trained(trainers.MetricLossOnly, loss, mining_funcs=mining) for loss in pair])


def test_metric_loss_only_trains_with_our_miner():
    pair = [Miner("miners", "multi-similarity"), miners.MultiSimilarityMiner()]
    loss = {"metric_loss": losses.ContrastiveLoss()}
    found = [trained(trainers.MetricLossOnly, loss, mining_funcs={"tuple_miner": miner}) for miner in pair]
    assert_trained_alike(*found)


def test_a_trainer_freezes_our_proxies():
    loss, _ = both("arc-face", torch.float32)
    before = copy.deepcopy(loss.state_dict())
    trained(trainers.MetricLossOnly, {"metric_loss": loss}, freeze_these=["metric_loss"])
    assert torch.equal(loss.W, before["W"]) and not loss.W.requires_grad and not loss.training


def test_train_with_classifier_trains_with_our_losses():
    def run(loss: Module) -> dict[str, Tensor]:
        torch.manual_seed(6)
        classifier = {"classifier": Linear(DIMENSION, 4)}
        both_losses = {"metric_loss": loss, "classifier_loss": torch.nn.CrossEntropyLoss()}
        return trained(trainers.TrainWithClassifier, both_losses, more=classifier)

    assert_trained_alike(*[run(loss) for loss in both("multi-similarity", torch.float32)])


def test_cascaded_embeddings_train_with_our_losses_and_miner():
    def run(side: int) -> dict[str, Tensor]:
        both_losses = {f"metric_loss_{i}": both(name)[side] for i, name in enumerate(["contrastive", "triplet"])}
        miner = Miner("miners", "batch-hard") if side == 0 else miners.BatchHardMiner()
        given = {"mining_funcs": {"tuple_miner_0": miner}, "embedding_sizes": [3, 5]}
        return trained(trainers.CascadedEmbeddings, both_losses, **given)

    assert_trained_alike(run(0), run(1))


def test_two_stream_training_takes_our_losses():
    pair = both("triplet", torch.float32)
    assert_trained_alike(*[trained(trainers.TwoStreamMetricLoss, {"metric_loss": loss}, views=2) for loss in pair])


def test_deep_adversarial_training_takes_our_loss_as_its_metric_loss():
    def run(loss: Module) -> dict[str, Tensor]:
        torch.manual_seed(6)
        generator = {"generator": Linear(3 * DIMENSION, DIMENSION), "embedder": Linear(DIMENSION, DIMENSION)}
        three = {
            "metric_loss": loss,
            "synth_loss": losses.TripletMarginLoss(),
            "g_adv_loss": losses.TripletMarginLoss(),
        }
        weights = dict.fromkeys([*three, "g_hard_loss", "g_reg_loss"], 0.1)
        return trained(
            trainers.DeepAdversarialMetricLearning, three, more=generator, loss_weights=weights, g_triplets_per_anchor=2
        )

    assert_trained_alike(*[run(loss) for loss in both("contrastive", torch.float32)])


def test_its_files_of_models_keep_our_proxies_and_memory(tmp_path: Path):
    proxies = Loss("proxies", "arc-face", classes=4)
    memory = Loss("losses", "contrastive", memory_size=40)
    for embeddings, labels in steps(2, torch.float32):
        proxies(embeddings, labels), memory(embeddings, labels)
    common_functions.save_dict_of_models({"proxies": proxies, "memory": memory}, 1, str(tmp_path))
    fresh = {"proxies": Loss("proxies", "arc-face", classes=4), "memory": Loss("losses", "contrastive", memory_size=40)}
    common_functions.load_dict_of_models(fresh, 1, str(tmp_path), torch.device("cpu"))
    embeddings, labels = steps(3, torch.float32)[2]
    for loss, loaded in ((proxies, fresh["proxies"]), (memory, fresh["memory"])):
        assert torch.equal(loss(embeddings, labels), loaded(embeddings, labels))


def test_its_tester_measures_embeddings_that_our_fusion_makes():
    images = Images()
    calculator = accuracy_calculator.AccuracyCalculator(
        include=("precision_at_1",), knn_func=inference.CustomKNN(LpDistance()), device=torch.device("cpu")
    )
    tester = testers.GlobalEmbeddingSpaceTester(
        accuracy_calculator=calculator, data_device=torch.device("cpu"), dataloader_num_workers=0
    )

    def precision(embedder: Module) -> float:
        found = tester.test({"train": images}, epoch=1, trunk_model=torch.nn.Identity(), embedder_model=embedder)
        return found["train"]["precision_at_1_level0"]

    class Slices(Module):
        def forward(self, rows: Tensor) -> Tensor:
            return torch.cat([torch.nn.functional.normalize(half) for half in rows.chunk(2, 1)], 1)

    assert precision(Fusion("fusions", "concatenation", slices=2)) == precision(Slices()) > 0.5


def test_one_process_needs_no_gathering():
    ours, theirs = GatheredContrastiveLoss("losses", "contrastive"), losses.ContrastiveLoss()
    with pytest.warns(UserWarning, match="non-distributed"):
        found = [computed(distributed.DistributedLossWrapper(loss), *steps(1)[0]) for loss in (ours, theirs)]
    assert_equal(*found, torch.float64)


def test_two_ranks_gather_for_our_losses(tmp_path: Path):
    torch.multiprocessing.spawn(gathered, args=(str(tmp_path),), nprocs=2)
    assert len(list(tmp_path.glob("rank * is done"))) == 2
