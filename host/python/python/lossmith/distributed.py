"""One batch of the rows of all ranks: what ``gather=True`` computes on.

Each rank computes the whole value, on the rows of all ranks in the order of the ranks, so that a strategy never sees
ranks, whatever it makes of a batch. What it keeps (a memory, proxies) is then the same on every rank, and so are the
tuples of a miner: positions in the batch of all ranks.

Gradients are exact where they are averaged over the ranks, as DistributedDataParallel and FSDP do:

- Own rows get N times the gradient of the value, with N ranks. Their mean over the ranks is then, in the network, the
  gradient of one process with the whole batch. Who sums gradients instead divides the value by N.
- Parameters of the loss get the gradient of one process on every rank. They stay equal with and without a
  DistributedDataParallel of their own, if they begin equal: by one seed, which is the default, or one checkpoint. In
  one, make them first with ``prepare``.

The value can be differentiated once. Every rank has to make the same calls. One that is given something wrong tells the
others in the same call. One that ended, or makes no call, is what the process group notices: its timeout ends the call
of the others with an exception (``init_process_group(timeout=...)``; 30 minutes, if nobody says otherwise).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from lossmith import given

#: The tensors of references; those of the batch are all others.
_OF_REFERENCES = ("ref_emb", "ref_labels")


def gathered(rows: Mapping[str, Tensor | None], same: Mapping[str, Any]) -> dict[str, Any]:
    """``rows`` of all ranks: tensors by name, of any number of rows on each rank.

    ``same`` is what has to be the same on all ranks. Raises RuntimeError without a process group, and on every rank an
    exception if one was given something else than the others, or something wrong.
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise RuntimeError(
            "gather=True computes on the rows of all ranks, and this process is in no group: call "
            "torch.distributed.init_process_group first, or leave out gather"
        )
    if dist.get_world_size() == 1:
        return dict(rows)
    found: dict[str, Any] = {}
    wrong: Exception | None = None
    try:
        found = {name: _described(tensor, name) for name, tensor in rows.items()} | {
            name: _sum(value) if name == "indices_tuple" else value for name, value in same.items()
        }
        counts = _counts(rows)
    except (TypeError, ValueError, RuntimeError) as error:
        wrong, counts = error, (0, 0)
    lengths = _agreed(found, counts, wrong)
    return {
        name: None if tensor is None else _of_all_ranks(tensor, lengths[name in _OF_REFERENCES])
        for name, tensor in rows.items()
    }


def _described(tensor: Tensor | None, name: str) -> str:
    """What a tensor must have in common with those of other ranks."""
    if tensor is None:
        return "none"
    if name in ("labels", "ref_labels"):
        # Of any dtype: all are made one.
        given.labels(tensor, name)
        dtype = "integers"
    else:
        dtype = str(given.plain(tensor, name).dtype)
    if tensor.dim() == 0:
        raise ValueError(f"{name} has no dimension, and a row for each image is expected")
    return " x ".join([f"{dtype} of N", *map(str, tensor.shape[1:])]) + f" on {tensor.device.type}"


def _counts(rows: Mapping[str, Tensor | None]) -> tuple[int, int]:
    """How many rows the tensors of the batch have, and those of references."""
    counts = [0, 0]
    for first, of_references in (("embeddings", False), ("ref_emb", True)):
        group = {
            name: len(t) for name, t in rows.items() if t is not None and (name in _OF_REFERENCES) is of_references
        }
        if len(set(group.values())) > 1:
            raise ValueError(f"these need one number of rows: {', '.join(f'{name} {n}' for name, n in group.items())}")
        counts[of_references] = group.get(first, 0)
    return counts[0], counts[1]


def _sum(tuples: Sequence[Tensor] | None) -> list[list[int]] | None:
    """Length and a sum of each vector of tuples, which tell other vectors."""
    if tuples is None:
        return None
    vectors = [given.plain(part, "a vector of indices_tuple").flatten() for part in tuples]
    return [[len(v), int((v * torch.arange(1, len(v) + 1, device=v.device)).sum())] for v in vectors]


def _agreed(found: dict[str, Any], counts: tuple[int, int], wrong: Exception | None) -> tuple[list[int], list[int]]:
    """How many rows each rank has, in the batch and in the references; or the exception of a rank, on all of them."""
    text = json.dumps(found, sort_keys=True, default=str) if wrong is None else f"{type(wrong).__name__}: {wrong}"
    digest = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little", signed=True)
    # Of one size whatever was given: other sizes on two ranks would end the process.
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
    own = torch.tensor([digest, int(wrong is not None), *counts], device=device)
    all_ranks = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(all_ranks, own)
    numbers = torch.stack(all_ranks).tolist()
    if any(number[1] for number in numbers) or any(number[0] != numbers[0][0] for number in numbers):
        _tell(text, wrong)
    return [number[2] for number in numbers], [number[3] for number in numbers]


def _tell(text: str, wrong: Exception | None) -> None:
    """Raises the exception for ranks that do not agree."""
    texts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(texts, (text, wrong is not None))
    if wrong is not None:
        raise wrong
    for rank, (other, is_wrong) in enumerate(texts):
        if is_wrong:
            raise RuntimeError(f"rank {rank} was given something wrong, so that no rank can compute: {other}")
    first = json.loads(texts[0][0])
    for rank, (other, _) in enumerate(texts):
        for name, value in json.loads(other).items():
            if first.get(name) != value:
                raise ValueError(
                    f"`{name}` is {first.get(name)} on rank 0 and {value} on rank {rank}: with gather=True it must be "
                    f"the same on all ranks{_HINTS.get(name, '')}"
                )


_HINTS = {
    "indices_tuple": "; they are positions in the batch of all ranks, as a miner with gather=True gives them",
    "step": "; all ranks make the same calls, or go on from one checkpoint",
}


def _of_all_ranks(own: Tensor, lengths: list[int]) -> Tensor:
    """The rows of all ranks, in their order; ``lengths`` is how many each has."""
    if not own.is_floating_point():
        own = own.long()
    rows: Tensor = _Gather.apply(own, lengths)  # type: ignore[no-untyped-call]
    return rows


class _Gather(torch.autograd.Function):
    """The rows of all ranks.

    Each computes the whole value, so that backward asks nobody: own rows have their gradient.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor, lengths: list[int]) -> Tensor:
        rank, longest = dist.get_rank(), max(lengths)
        ctx.begin, ctx.length, ctx.ranks = sum(lengths[:rank]), lengths[rank], len(lengths)
        padded = own.new_zeros(longest, *own.shape[1:])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in lengths]
        dist.all_gather(parts, padded)
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        # Whoever averages over the ranks divides by their number.
        return gradient.narrow(0, ctx.begin, ctx.length) * ctx.ranks, None
