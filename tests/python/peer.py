"""Losses and miners of pytorch-metric-learning 2.9 beside ours, and batches for both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor

from lossmith import Loss
from lossmith.references import OF_ROWS, OF_TUPLES, WITHOUT_TUPLES

DIMENSION = 8
CLASSES = 4
#: Of a value, and of a gradient against the largest number in it.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-4}


@dataclass(frozen=True)
class Case:
    """A loss of both: our plugin and parameters, and what makes theirs."""

    plugin: str
    theirs: Callable[[], torch.nn.Module]
    params: dict[str, object] = field(default_factory=dict)


def proxied(kind: type, **given: object) -> Callable[[], torch.nn.Module]:
    return lambda: kind(num_classes=CLASSES, embedding_size=DIMENSION, **given)


#: By our names. Parameters that are not named are the defaults of both.
CASES = {
    "angular": Case("losses", losses.AngularLoss),
    "circle": Case("losses", losses.CircleLoss),
    "contrastive": Case("losses", losses.ContrastiveLoss),
    "generalized-lifted": Case("losses", losses.GeneralizedLiftedStructureLoss),
    "intra-pair-variance": Case("losses", losses.IntraPairVarianceLoss),
    "lifted-structure": Case("losses", losses.LiftedStructureLoss),
    "margin": Case("losses", losses.MarginLoss),
    "multi-similarity": Case("losses", losses.MultiSimilarityLoss),
    "n-pairs": Case("losses", losses.NPairsLoss),
    "nca": Case("losses", losses.NCALoss),
    "nt-xent": Case("losses", losses.NTXentLoss),
    "ranked-list": Case("losses", lambda: losses.RankedListLoss(margin=0.4, Tn=10)),
    "snr-contrastive": Case("losses", losses.SignalToNoiseRatioContrastiveLoss),
    "sup-con": Case("losses", losses.SupConLoss),
    "threshold-consistent-margin": Case("losses", losses.ThresholdConsistentMarginLoss),
    "triplet": Case("losses", losses.TripletMarginLoss),
    "tuplet-margin": Case("losses", losses.TupletMarginLoss),
    "fast-ap": Case("rankings", losses.FastAPLoss),
    "histogram": Case("rankings", losses.HistogramLoss),
    "smooth-ap": Case("rankings", losses.SmoothAPLoss),
    "arc-face": Case("proxies", proxied(losses.ArcFaceLoss)),
    "cos-face": Case("proxies", proxied(losses.CosFaceLoss)),
    "normalized-softmax": Case("proxies", proxied(losses.NormalizedSoftmaxLoss)),
    "proxy-anchor": Case("proxies", proxied(losses.ProxyAnchorLoss)),
    "proxy-nca": Case("proxies", proxied(losses.ProxyNCALoss), {"scale": 1.0}),
    "soft-triple": Case("proxies", proxied(losses.SoftTripleLoss, centers_per_class=2)),
    "sphere-face": Case("proxies", proxied(losses.SphereFaceLoss)),
    "sub-center-arc-face": Case("proxies", proxied(losses.SubCenterArcFaceLoss)),
}
#: Losses of the catalogue that the library has not, or not for a labelled batch.
OURS_ALONE = {
    "multi-threshold", "vicreg", "center", "cross-entropy", "proxy-nca-plus-plus", "equal-norm", "lp-norm", "zero-mean",
    "attention", "dark-rank", "fit-net", "rkd-angle",
}  # fmt: skip
MINERS = {
    "batch-hard": miners.BatchHardMiner,
    "batch-easy-hard": miners.BatchEasyHardMiner,
    "triplet all": lambda: miners.TripletMarginMiner(type_of_triplets="all"),
    "triplet semi-hard": lambda: miners.TripletMarginMiner(type_of_triplets="semihard"),
    "multi-similarity": miners.MultiSimilarityMiner,
    "pair-margin": miners.PairMarginMiner,
    "distance-weighted": miners.DistanceWeightedMiner,
    "angular": miners.AngularMiner,
    "hdc": miners.HDCMiner,
    "uniform-histogram": miners.UniformHistogramMiner,
}
WITH_TUPLES = [name for name in CASES if name not in WITHOUT_TUPLES]
WITH_REFERENCES = [name for name in CASES if name in OF_TUPLES | OF_ROWS]
#: Sizes of the classes of a batch.
BATCHES = {"several": [5, 4, 3, 2], "one alone": [4, 3, 1], "one class": [6], "equal": [4, 4, 4, 4]}


def batch(sizes: list[int], dtype: torch.dtype = torch.float64, seed: int = 3) -> tuple[Tensor, Tensor]:
    """Embeddings near the others of their class, and labels; in a random order unless the classes have one size."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.full((size,), label) for label, size in enumerate(sizes)])
    # Smooth-AP of the library wants equal classes, one after the other.
    if len(set(sizes)) > 1:
        labels = labels[torch.randperm(len(labels), generator=generator)]
    means = torch.randn(CLASSES, DIMENSION, generator=generator, dtype=torch.float64)
    embeddings = means[labels] + torch.randn(len(labels), DIMENSION, generator=generator, dtype=torch.float64)
    return embeddings.to(dtype), labels


def both(name: str, dtype: torch.dtype = torch.float64, **params: object) -> tuple[Loss, torch.nn.Module]:
    """Our module and theirs, with the same proxies."""
    case = CASES[name]
    ours = Loss(case.plugin, name, **{**case.params, **params})
    torch.manual_seed(5)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    theirs = case.theirs().to(dtype)
    torch.set_default_dtype(before)
    if case.plugin == "proxies":
        ours.prepare(DIMENSION, CLASSES, dtype=dtype)
        ours.load_state_dict(theirs.state_dict(), strict=False)
    return ours, theirs


def computed(loss: torch.nn.Module, embeddings: Tensor, *given: object, **named: object) -> list[Tensor]:
    """The value, the gradient of the embeddings, and those of the loss's own parameters."""
    leaf = embeddings.clone().requires_grad_()
    loss.zero_grad()
    value = loss(leaf, *given, **named)
    value.backward()
    own = [parameter.grad for parameter in loss.parameters()]
    return [value.detach().reshape(()), leaf.grad, *own]


def assert_equal(ours: list[Tensor], theirs: list[Tensor], dtype: torch.dtype) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == dtype
        scale = max(other.abs().max().item(), 1e-3)
        torch.testing.assert_close(mine, other.to(dtype), rtol=0.0, atol=TOLERANCE[dtype] * scale)


def mined(name: str, embeddings: Tensor, labels: Tensor, *references: Tensor) -> tuple[Tensor, ...]:
    torch.manual_seed(11)
    return MINERS[name]()(embeddings, labels, *references)
