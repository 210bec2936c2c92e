"""What the losses and miners of pytorch-metric-learning give for one batch; `tests/plugins/peers.rs` compares with it.

    scripts/setup.sh python
    .python/bin/python scripts/peers/values.py > tests/data/golden/peers.json

Every loss with every distance, every reducer and every miner that it can compute, in 64 bits on random embeddings of
classes of different sizes. Of a gradient G (B x D) there are two numbers: the sum of G[i, j] cos(i D + j), and its
norm. Miners that draw at random are left out, as are losses and miners that refuse (a line on standard error counts
them).
"""

import collections
import json
import math
import sys
import warnings

import torch
from pytorch_metric_learning import distances, losses, miners, reducers

SIZES = [5, 4, 3, 2]
DIMENSION = 6
WEIGHTS = [0.5, 1.0, 1.5, 2.0]
LOW, HIGH = 0.1, 0.9
CLASSES = len(SIZES)

# Our parameters of each distance, and theirs.
DISTANCES = {
    "euclidean": ({"distance": "euclidean"}, lambda: distances.LpDistance()),
    "squared-euclidean": ({"distance": "squared-euclidean"}, lambda: distances.LpDistance(power=2)),
    "lp-3": (
        {"distance": "lp", "p": 3.0, "normalize": False},
        lambda: distances.LpDistance(p=3, normalize_embeddings=False),
    ),
    # Theirs divides by the 3-norm first, ours by the 2-norm: to hold that this is where the two differ.
    "lp-3-normalized": ({"distance": "lp", "p": 3.0}, lambda: distances.LpDistance(p=3)),
    "cosine": ({"distance": "cosine"}, lambda: distances.CosineSimilarity()),
    "dot": (
        {"distance": "dot", "normalize": False},
        lambda: distances.DotProductSimilarity(normalize_embeddings=False),
    ),
    "snr": ({"distance": "snr"}, lambda: distances.SNRDistance()),
}
SIMILARITIES = ["cosine", "dot"]
REDUCERS = {
    "mean": ({}, lambda: reducers.MeanReducer()),
    "sum": ({}, lambda: reducers.SumReducer()),
    "average-non-zero": ({}, lambda: reducers.AvgNonZeroReducer()),
    "threshold": ({"reducer-low": LOW, "reducer-high": HIGH}, lambda: reducers.ThresholdReducer(low=LOW, high=HIGH)),
    "per-anchor": ({}, lambda: reducers.PerAnchorReducer()),
    "class-weighted": (
        {"class-weights": WEIGHTS},
        lambda: reducers.ClassWeightedReducer(weights=torch.tensor(WEIGHTS, dtype=torch.float64)),
    ),
}


def margins(distance, near, far):
    """A pair is to be nearer than `near` or farther than `far`, in the unit of the distance."""
    return (0.9, 0.1) if distance in SIMILARITIES else (near, far)


def contrastive(kind, **common):
    positive, negative = margins(kind, 0.2, 1.1)
    ours = {"positive-margin": positive, "negative-margin": negative}
    return ours, losses.ContrastiveLoss(pos_margin=positive, neg_margin=negative, **common)


# Package, our parameters and theirs; `distance` is none for a loss that has one distance only.
def with_distance(cls, package="losses", ours=None, **theirs):
    return package, True, lambda kind, **common: (ours or {}, cls(**theirs, **common))


def without(cls, package="losses", ours=None, **theirs):
    return package, False, lambda kind, **common: (ours or {}, cls(**theirs, **common))


def proxied(cls, ours=None, distance=False, **theirs):
    def make(_, **common):
        torch.manual_seed(7)
        return ours or {}, cls(num_classes=CLASSES, embedding_size=DIMENSION, **theirs, **common).double()

    return "proxies", distance, make


LOSSES = {
    "contrastive": ("losses", True, contrastive),
    "triplet": with_distance(losses.TripletMarginLoss, ours={"margin": 0.1}, margin=0.1),
    "triplet/swap": with_distance(
        losses.TripletMarginLoss, ours={"margin": 0.1, "swap": True}, margin=0.1, swap=True
    ),
    "triplet/smooth": with_distance(
        losses.TripletMarginLoss, ours={"margin": 0.1, "smooth": True}, margin=0.1, smooth_loss=True
    ),
    "multi-similarity": with_distance(losses.MultiSimilarityLoss),
    "nt-xent": with_distance(losses.NTXentLoss, ours={"temperature": 0.3}, temperature=0.3),
    "sup-con": with_distance(losses.SupConLoss, ours={"temperature": 0.3}, temperature=0.3),
    "circle": without(losses.CircleLoss),
    "lifted-structure": with_distance(losses.LiftedStructureLoss),
    "generalized-lifted": with_distance(losses.GeneralizedLiftedStructureLoss),
    "n-pairs": with_distance(losses.NPairsLoss),
    "angular": without(losses.AngularLoss),
    "margin": with_distance(losses.MarginLoss),
    "nca": with_distance(losses.NCALoss),
    "tuplet-margin": without(losses.TupletMarginLoss),
    "intra-pair-variance": with_distance(losses.IntraPairVarianceLoss),
    "ranked-list": without(losses.RankedListLoss, margin=0.4, Tn=10),
    "snr-contrastive": without(losses.SignalToNoiseRatioContrastiveLoss),
    "threshold-consistent-margin": without(losses.ThresholdConsistentMarginLoss),
    "fast-ap": without(losses.FastAPLoss, "rankings"),
    "smooth-ap": without(losses.SmoothAPLoss, "rankings"),
    "proxy-nca": proxied(losses.ProxyNCALoss, {"scale": 1.0}, True, softmax_scale=1),
    "proxy-anchor": proxied(losses.ProxyAnchorLoss, None, True),
    "soft-triple": proxied(losses.SoftTripleLoss, {"centers": 2}, centers_per_class=2),
    "normalized-softmax": proxied(losses.NormalizedSoftmaxLoss),
    "arc-face": proxied(losses.ArcFaceLoss),
    "sub-center-arc-face": proxied(losses.SubCenterArcFaceLoss),
    "cos-face": proxied(losses.CosFaceLoss),
    "sphere-face": proxied(losses.SphereFaceLoss),
}
MINERS = {
    "batch-hard": (True, {}, lambda **common: miners.BatchHardMiner(**common)),
    "batch-easy-hard": (True, {}, lambda **common: miners.BatchEasyHardMiner(**common)),
    "triplet": (True, {}, lambda **common: miners.TripletMarginMiner(**common)),
    "triplet/semi-hard": (
        True,
        {"kind": "semi-hard"},
        lambda **common: miners.TripletMarginMiner(type_of_triplets="semihard", **common),
    ),
    "multi-similarity": (False, {}, lambda **common: miners.MultiSimilarityMiner(**common)),
    "pair-margin": (True, {}, lambda **common: miners.PairMarginMiner(**common)),
    "angular": (False, {}, lambda **common: miners.AngularMiner(**common)),
    "hdc": (True, {}, lambda **common: miners.HDCMiner(filter_percentage=0.5, **common)),
}


def rounded(x):
    return float(f"{x:.12g}")


def main():
    warnings.simplefilter("ignore")
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(20)
    labels = torch.cat([torch.full((size,), label) for label, size in enumerate(SIZES)])
    labels = labels[torch.randperm(len(labels))]
    embeddings = torch.randn(len(labels), DIMENSION) + torch.randn(CLASSES, DIMENSION)[labels]
    embeddings = torch.round(embeddings * 1e6) / 1e6
    unit = torch.nn.functional.normalize(embeddings)
    refused = collections.Counter()

    mined, chosen = [], {"none": None}
    for name, (takes_distance, ours, make) in MINERS.items():
        for distance in DISTANCES if takes_distance else [None]:
            params, theirs = ({}, {}) if distance is None else DISTANCES[distance]
            common = {} if distance is None else {"distance": theirs()}
            try:
                indices = make(**common)(unit if name == "angular" else embeddings, labels)
            except Exception as error:
                refused[f"miner {name}: {type(error).__name__}"] += 1
                continue
            lists = [part.tolist() for part in indices]
            mined.append({"miner": name, "distance": distance, "params": {**ours, **params}, "indices": lists})
            if distance in (None, "euclidean"):
                chosen[name] = indices

    cases = []
    angles = torch.cos(torch.arange(embeddings.numel())).reshape(embeddings.shape)
    for name, (package, takes_distance, make) in LOSSES.items():
        for distance in DISTANCES if takes_distance else [None]:
            if distance == "lp-3-normalized" and name != "contrastive":
                continue
            parameters, results, ours = {}, {}, {}
            for reducer, (reducing, their_reducer) in REDUCERS.items():
                for miner, indices in chosen.items():
                    common = {"reducer": their_reducer()}
                    if distance is not None:
                        common["distance"] = DISTANCES[distance][1]()
                    leaf = embeddings.clone().requires_grad_()
                    try:
                        if name == "margin" and reducer == "average-non-zero":
                            # Its own reducer: the sum over the number of hinges above 0.
                            del common["reducer"]
                        if name == "proxy-anchor":
                            del common["reducer"]
                            if reducer != "mean":
                                continue
                        given, loss = make(distance, **common)
                        value = loss(leaf, labels, indices)
                        (gradient,) = torch.autograd.grad(value, leaf, allow_unused=True)
                    except Exception as error:
                        refused[f"{name}: {type(error).__name__} {error}"[:90]] += 1
                        continue
                    gradient = torch.zeros_like(leaf) if gradient is None else gradient
                    numbers = [value.item(), (gradient * angles).sum().item(), gradient.norm().item()]
                    if not all(map(math.isfinite, numbers)):
                        refused[f"{name}: not finite"] += 1
                        continue
                    results.setdefault(reducer, {})[miner] = list(map(rounded, numbers))
                    ours = given
                    for parameter, tensor in loss.named_parameters():
                        if package == "proxies":
                            data = [rounded(x) for x in tensor.detach().double().flatten().tolist()]
                            parameters[parameter] = {"shape": list(tensor.shape), "data": data}
            if results:
                params = {**ours, **(DISTANCES[distance][0] if distance else {})}
                case = {"package": package, "loss": name, "distance": distance, "params": params, "results": results}
                cases.append({**case, "parameters": parameters} if parameters else case)

    print('{"reference": "pytorch-metric-learning 2.9.0, scripts/peers/values.py",')
    reducing = {reducer: {"reducer": reducer, **params} for reducer, (params, _) in REDUCERS.items()}
    for key, value in [("embeddings", embeddings.tolist()), ("unit", unit.tolist()), ("labels", labels.tolist())]:
        print(f'"{key}": {json.dumps(value)},')
    print(f'"reducers": {json.dumps(reducing)},')
    print('"miners": [\n' + ",\n".join(map(json.dumps, mined)) + "\n],")
    print('"losses": [\n' + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]}")
    count = sum(len(by_miner) for case in cases for by_miner in case["results"].values())
    print(f"{count} results of {len(cases)} losses with distances, {len(mined)} of miners", file=sys.stderr)
    for text, times in sorted(refused.items()):
        print(f"  {times} times {text}", file=sys.stderr)


main()
