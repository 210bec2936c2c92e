"""What a rank does in the tests of `gather=True`, and what one process with the whole batch does instead."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lossmith import Balance, Fusion, Loss, Miner, Objective, Schedule, Transfer

#: How many rows each rank has. With labels of `i % 7`, nearly all positives are on other ranks.
LENGTHS = {2: [9, 5], 3: [7, 4, 3]}
ROWS, CLASSES, STEPS = 14, 7, 3
Term = Callable[[Tensor, Tensor, Tensor], Tensor]


def step(number: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images, labels and the teacher's embeddings of the whole batch of a step."""
    generator = torch.Generator().manual_seed(number)
    images = torch.randn(ROWS, 6, dtype=torch.float64, generator=generator)
    teacher = torch.randn(ROWS, 5, dtype=torch.float64, generator=generator)
    return images, torch.arange(ROWS) % CLASSES, teacher


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5, dtype=torch.float64), nn.Tanh(), nn.Linear(5, 4, dtype=torch.float64))


def of_loss(
    plugin: str, strategy: str, wrapped: bool = False, **settings: Any
) -> Callable[[bool], tuple[nn.Module, Term]]:
    def made(gather: bool) -> tuple[nn.Module, Term]:
        loss: nn.Module = Loss(plugin, strategy, classes=CLASSES, gather=gather, **settings).prepare(
            4, dtype=torch.float64
        )
        if wrapped and gather:
            loss = DistributedDataParallel(loss)
        return loss, lambda embeddings, labels, _: loss(embeddings, labels)

    return made


def mined(miner: str, loss: str) -> Callable[[bool], tuple[nn.Module, Term]]:
    def made(gather: bool) -> tuple[nn.Module, Term]:
        both = nn.ModuleList([Miner("miners", miner, gather=gather), Loss("losses", loss, gather=gather)])
        return both, lambda embeddings, labels, _: both[1](embeddings, labels, both[0](embeddings, labels))

    return made


def with_references(gather: bool) -> tuple[nn.Module, Term]:
    loss = Loss("losses", "contrastive", gather=gather)
    return loss, lambda e, labels, _: loss(e, labels, ref_emb=e.flip(1) + 0.1, ref_labels=labels)


def transfer(gather: bool) -> tuple[nn.Module, Term]:
    balance = Balance("balances", "gradient-share")
    module = Transfer("transfers", "relaxed-contrastive", balance=balance, gather=gather)
    return module, module


def objective(gather: bool) -> tuple[nn.Module, Term]:
    module = Objective(
        Loss("losses", "multi-threshold", slices=2),
        schedule=Schedule("schedules", "adaptive", slices=2),
        fusion=Fusion("fusions", "learned-weights", slices=2),
        weight=0.5,
        gather=gather,
    )
    return module, lambda embeddings, labels, _: module(embeddings, labels)


CASES: dict[str, Callable[[bool], tuple[nn.Module, Term]]] = {
    "contrastive": of_loss("losses", "contrastive"),
    "triplet": of_loss("losses", "triplet", margin=0.3),
    "multi-similarity": of_loss("losses", "multi-similarity"),
    "sup-con": of_loss("losses", "sup-con"),
    "smooth-ap": of_loss("rankings", "smooth-ap"),
    "vicreg": of_loss("losses", "vicreg"),
    "proxy-anchor": of_loss("proxies", "proxy-anchor"),
    "proxy-anchor in DistributedDataParallel": of_loss("proxies", "proxy-anchor", wrapped=True),
    "soft-triple": of_loss("proxies", "soft-triple"),
    "a memory": of_loss("losses", "contrastive", memory_size=40),
    "a miner": mined("multi-similarity", "contrastive"),
    "a miner that draws": mined("distance-weighted", "margin"),
    "references": with_references,
    "a transfer with its balance": transfer,
    "an objective": objective,
}


def trained(case: str, rows: slice, gather: bool) -> dict[str, Any]:
    """Values, gradients of the first step, and what the network and the loss are after some steps."""
    model, (kept, term) = network(), CASES[case](gather)
    run = DistributedDataParallel(model) if gather else model
    optimizer = torch.optim.SGD([*model.parameters(), *kept.parameters()], lr=0.05)
    values, first = [], None
    for number in range(STEPS):
        images, labels, teacher = (tensor[rows] for tensor in step(number))
        optimizer.zero_grad()
        value = term(run(images), labels, teacher)
        value.backward()
        if first is None:
            first = [p.grad.clone() for p in [*model.parameters(), *kept.parameters()]]
        optimizer.step()
        values.append(value.detach())
    after = [*model.parameters(), *kept.parameters(), *kept.buffers()]
    return {"values": values, "first": first, "after": [tensor.detach() for tensor in after]}


def alone(rows: slice) -> dict[str, Any]:
    """Without gather: the value of the own batch, and the mean of the gradients of all ranks."""
    model, loss = network(), Loss("losses", "contrastive")
    images, labels, _ = (tensor[rows] for tensor in step(0))
    run = DistributedDataParallel(model)
    value = loss(run(images), labels)
    value.backward()
    return {"value": value.detach(), "gradients": [p.grad for p in model.parameters()]}


def told(call: Callable[[], Any]) -> str:
    """The exception of a call."""
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def wrong(rank: int, rows: slice) -> dict[str, str]:
    """What each rank is told if one of them is given something else, or something wrong."""
    images, labels, _ = (tensor[rows] for tensor in step(0))
    embeddings, loss = images[:, :4], Loss("losses", "contrastive", gather=True)
    last = rank == dist.get_world_size() - 1
    found = {
        "labels": told(lambda: loss(embeddings, labels.double() if last else labels)),
        "columns": told(lambda: loss(images if last else embeddings, labels)),
        "dtype": told(lambda: loss(embeddings.float() if last else embeddings, labels)),
        "dimension": told(lambda: loss(embeddings[0, 0] if last else embeddings, labels)),
        "rows": told(lambda: loss(embeddings, labels[1:] if last else labels)),
        "more columns of labels": told(lambda: loss(embeddings, labels[:, None] if last else labels)),
        "labels of 32 bits": told(lambda: loss(embeddings, labels.int() if last else labels)),
        "teacher": told(lambda: loss(embeddings, labels, teacher=embeddings if last else None)),
        "not a number": told(lambda: loss(embeddings / (0 if last else 1), labels)),
        "parameters": told(
            lambda: Loss("losses", "contrastive", negative_margin=0.1 * rank, gather=True)(embeddings, labels)
        ),
        "seed": told(lambda: Loss("losses", "contrastive", seed=rank, gather=True)(embeddings, labels)),
        "tuples": told(
            lambda: loss(embeddings, labels, (labels.new_tensor([0]), labels.new_tensor([rank]), labels[:1]))
        ),
    }
    found["nothing wrong"] = told(lambda: loss(embeddings, labels))
    counted = Loss("losses", "contrastive", gather=True)
    counted.step = rank
    found["step"] = told(lambda: counted(embeddings, labels))
    return found


def empty(rank: int) -> Tensor:
    """The value where the last rank has no rows."""
    size = dist.get_world_size()
    images, labels, _ = step(0)
    part = slice(0, 0) if rank == size - 1 else slice(rank * 4, rank * 4 + 4)
    return Loss("losses", "contrastive", gather=True)(images[part, :4], labels[part])


def left_alone(rank: int, folder: str) -> str:
    """What the first rank is told if the others make no call."""
    size = dist.get_world_size()
    dist.destroy_process_group()
    join(rank, size, folder, "again", timeout=2)
    store = dist.FileStore(f"{folder}/ends", size)
    said = ""
    if rank == 0:
        images, labels, _ = step(0)
        said = told(lambda: Loss("losses", "contrastive", gather=True)(images, labels))
        store.set("ends", "yes")
    store.get("ends")
    return said


def join(rank: int, size: int, folder: str, name: str, timeout: float = 120) -> None:
    address = f"file://{folder}/{name}"
    limit = datetime.timedelta(seconds=timeout)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=size, timeout=limit)


def work(rank: int, size: int, folder: str) -> None:
    """All that a rank does; what came of it is a file."""
    torch.set_num_threads(1)
    join(rank, size, folder, "rendezvous")
    begin = sum(LENGTHS[size][:rank])
    rows = slice(begin, begin + LENGTHS[size][rank])
    found: dict[str, Any] = {case: trained(case, rows, gather=True) for case in CASES}
    found["alone"] = alone(rows)
    found["wrong"] = wrong(rank, rows)
    found["empty"] = empty(rank)
    found["left alone"] = left_alone(rank, folder)
    torch.save(found, f"{folder}/{rank}.pt")
