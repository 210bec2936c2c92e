"""What a loss can be given besides a batch: tuples, references that the batch is compared with, or no labels.

A strategy sees one batch. References are rows below it, and the tuples say that the one is compared with the others,
so that it is exact for losses that look at nothing but tuples. Strategies are known by their names, those of an edited
copy, too; one with a name of its own sees B + R rows and the tuples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lossmith.tuples import Tuples, all_pairs, among_both

if TYPE_CHECKING:
    from lossmith.modules import Loss

#: Losses of the pairs and triplets that tuples name, and of nothing else.
OF_TUPLES = frozenset({
    "contrastive", "intra-pair-variance", "lifted-structure", "margin", "nt-xent", "snr-contrastive",
    "threshold-consistent-margin", "triplet", "tuplet-margin",
})
#: Losses of the same, one for each row: that of a row without tuples, as of each reference, is 0.
OF_ROWS = frozenset({"circle", "generalized-lifted", "multi-similarity", "sup-con"})
#: Losses that compare rows of one batch which no tuple names.
OF_ONE_BATCH = frozenset({
    "angular", "arc-face", "center", "cos-face", "fast-ap", "histogram", "multi-threshold", "n-pairs", "nca",
    "normalized-softmax", "proxy-nca", "proxy-nca-plus-plus", "smooth-ap", "soft-triple", "sphere-face",
    "sub-center-arc-face", "vicreg",
})  # fmt: skip
#: Losses of one batch that do not look at tuples.
WITHOUT_TUPLES = frozenset({
    "attention", "cross-entropy", "dark-rank", "equal-norm", "fit-net", "lp-norm", "proxy-anchor", "ranked-list",
    "rkd-angle", "zero-mean",
})  # fmt: skip


def may_have_tuples(loss: Loss) -> None:
    """Raises ValueError for a loss that would not look at tuples."""
    if loss.strategy in WITHOUT_TUPLES:
        raise ValueError(f"`{loss.strategy}` does not look at tuples: call it without indices_tuple")


def placeholders(loss: Loss, tuples: Tuples | None, rows: Tensor) -> Tensor:
    """Labels of ``rows`` for a call without labels, where tuples alone say what is compared; else a ValueError."""
    params = loss.params
    by_class = params.get("reducer") == "class-weighted" or params.get("learn-beta") == "per-class"
    if loss.strategy not in OF_TUPLES | OF_ROWS or by_class or params.get("memory-size", 0) > 0:
        raise ValueError(f"`{loss.strategy}` needs labels with these parameters: the class of each embedding")
    if tuples is None:
        raise ValueError("a loss needs labels, or indices_tuple, which says what is compared")
    return torch.zeros(len(rows), dtype=torch.int64, device=rows.device)


def with_references(
    loss: Loss,
    embeddings: Tensor,
    labels: Tensor,
    tuples: Tuples | None,
    ref_emb: Tensor | None,
    ref_labels: Tensor | None,
) -> tuple[Tensor, Tensor, Tuples, float]:
    """A batch (B x D) with references (R x D) below it, the tuples that compare the one with the others, and a factor.

    The factor is what the value has to be multiplied by: a mean over rows counts the references, too. Raises ValueError
    if the loss cannot be computed so, or shapes do not go together.
    """
    if ref_emb is None:
        raise ValueError("ref_labels are the classes of ref_emb, which is missing")
    if ref_labels is None:
        raise ValueError("ref_emb needs ref_labels: the class of each of its rows")
    if ref_emb.dim() != 2 or ref_labels.shape != ref_emb.shape[:1]:
        raise ValueError(
            f"ref_emb is {tuple(ref_emb.shape)} and ref_labels {tuple(ref_labels.shape)}: R x D and R are expected"
        )
    if ref_emb.shape[1:] != embeddings.shape[1:] or ref_emb.dtype != embeddings.dtype:
        raise ValueError(
            f"ref_emb is {ref_emb.dtype} of {tuple(ref_emb.shape)}, and embeddings are {embeddings.dtype} of "
            f"{tuple(embeddings.shape)}: they must have one dtype and one number of columns"
        )
    if labels.shape != embeddings.shape[:1]:
        raise ValueError(f"labels are {tuple(labels.shape)}; one for each of {len(embeddings)} embeddings is expected")
    factor = _factor(loss, len(embeddings), len(ref_emb))
    tuples = all_pairs(labels, ref_labels) if tuples is None else tuples
    tuples = among_both(tuples, len(embeddings), len(ref_emb))
    return torch.cat([embeddings, ref_emb]), torch.cat([labels, ref_labels]), tuples, factor


def _factor(loss: Loss, size: int, references: int) -> float:
    """What the value for a batch of ``size`` with ``references`` has to be multiplied by."""
    name, params = loss.strategy, loss.params
    if name in OF_ONE_BATCH | WITHOUT_TUPLES:
        raise ValueError(f"`{name}` looks at all rows of one batch: call it without ref_emb and ref_labels")
    if name not in OF_TUPLES | OF_ROWS:
        return 1.0
    if params.get("memory-size", 0) > 0:
        raise ValueError("a loss with a memory would keep ref_emb in it: leave out memory_size, or ref_emb")
    if params.get("mean-weight", 0.0) > 0.0:
        raise ValueError("mean_weight would pull at ref_emb, too: leave out mean_weight, or ref_emb")
    reducer = params["reducer"]
    if reducer == "per-anchor" and params.get("nu", 0.0) != 0.0:
        raise ValueError('nu with reducer="per-anchor" cannot be computed with ref_emb: leave out one of them')
    over_rows = reducer == "per-anchor" or (name in OF_ROWS and reducer in ("mean", "class-weighted"))
    return (size + references) / size if over_rows else 1.0
