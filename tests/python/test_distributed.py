"""`gather=True` on several ranks gives what one process gives for the whole batch."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import ranks
import torch
import torch.distributed as dist
from conftest import batch, gradient
from torch import Tensor

from lossmith import Loss


@pytest.fixture(scope="module", params=[2, 3], ids=lambda size: f"{size} ranks")
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What came of each rank."""
    folder = tmp_path_factory.mktemp("ranks")
    patch = pytest.MonkeyPatch()
    patch.setenv("GLOO_SOCKET_IFNAME", "lo")
    patch.setenv("OMP_NUM_THREADS", "1")
    torch.multiprocessing.spawn(ranks.work, (request.param, str(folder)), nprocs=request.param)
    patch.undo()
    return [torch.load(folder / f"{rank}.pt") for rank in range(request.param)]


def close(found: list[Tensor], wanted: list[Tensor]) -> None:
    assert len(found) == len(wanted) > 0
    for here, there in zip(found, wanted, strict=True):
        torch.testing.assert_close(here, there, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", ranks.CASES)
def test_a_training_on_ranks_is_that_of_one_process(found, case):
    wanted = ranks.trained(case, slice(None), gather=False)
    for rank in found:
        for what in ("values", "first", "after"):
            close(rank[case][what], wanted[what])
    assert all(gradient.any() for gradient in wanted["first"][:1])


@pytest.mark.parametrize("case", ranks.CASES)
def test_parameters_and_buffers_are_the_same_on_all_ranks_to_the_last_bit(found, case):
    for rank in found[1:]:
        assert all(map(torch.equal, rank[case]["after"], found[0][case]["after"]))


def test_without_gather_each_rank_computes_its_own_batch(found):
    lengths = ranks.LENGTHS[len(found)]
    gradients = []
    for rank, own in enumerate(found):
        begin = sum(lengths[:rank])
        model = ranks.network()
        images, labels, _ = (tensor[begin : begin + lengths[rank]] for tensor in ranks.step(0))
        value = Loss("losses", "contrastive")(model(images), labels)
        close([own["alone"]["value"]], [value.detach()])
        gradients.append(gradient(value, *model.parameters()))
    mean = [torch.stack(parts).mean(0) for parts in zip(*gradients, strict=True)]
    for own in found:
        close(own["alone"]["gradients"], mean)


def test_a_rank_without_rows_takes_part(found):
    rows = 4 * (len(found) - 1)
    images, labels, _ = ranks.step(0)
    value = Loss("losses", "contrastive")(images[:rows, :4], labels[:rows])
    for rank in found:
        close([rank["empty"]], [value])


@pytest.mark.parametrize(
    ("what", "own", "of_others"),
    [
        (
            "labels",
            "TypeError: labels must be integers",
            "was given something wrong, so that no rank can compute: TypeError",
        ),
        ("dimension", "ValueError: embeddings has no dimension", "was given something wrong"),
        ("rows", "ValueError: these need one number of rows: embeddings", "was given something wrong"),
        ("columns", "`embeddings` is torch.float64 of N x 4", "`embeddings` is torch.float64 of N x 4"),
        ("dtype", "torch.float64 of N x 4 on cpu on rank 0 and torch.float32", "must be the same on all ranks"),
        ("teacher", "`teacher` is none on rank 0", "`teacher` is none on rank 0"),
        ("not a number", "embeddings: inf in row", "embeddings: inf in row"),
        ("parameters", "`parameters` is", "`parameters` is"),
        ("seed", "`seed` is 0 on rank 0 and 1 on rank 1", "`seed` is 0 on rank 0 and 1 on rank 1"),
        ("tuples", "as a miner with gather=True gives them", "as a miner with gather=True gives them"),
        ("step", "`step` is 0 on rank 0 and 1 on rank 1", "all ranks make the same calls"),
        ("more columns of labels", "`labels` is integers of N on cpu on rank 0", "integers of N x 1 on cpu on rank"),
        ("labels of 32 bits", "nothing", "nothing"),
        ("nothing wrong", "nothing", "nothing"),
    ],
)
def test_what_is_wrong_on_one_rank_is_told_on_all(found, what, own, of_others):
    *others, last = (rank["wrong"][what] for rank in found)
    assert own in last
    assert all(of_others in other for other in others), others


def test_a_rank_that_is_left_alone_is_told_after_the_timeout_of_the_group(found):
    said = found[0]["left alone"]
    assert "Error" in said and "imed out" in said


def test_without_a_process_group_gathering_is_refused():
    with pytest.raises(RuntimeError, match="init_process_group first, or leave out gather"):
        Loss("losses", "contrastive", gather=True)(*batch())


def test_one_rank_gathers_its_own_rows(tmp_path):
    embeddings, labels = batch()
    wanted = Loss("losses", "contrastive")(embeddings, labels)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        value = Loss("losses", "contrastive", gather=True)(embeddings, labels)
    finally:
        dist.destroy_process_group()
    assert torch.equal(value, wanted)
    assert torch.equal(*(gradient(made, embeddings)[0] for made in (value, wanted)))


def test_copies_of_a_module_that_gathers_gather():
    loss = Loss("losses", "contrastive", gather=True)
    for again in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert again.gather
