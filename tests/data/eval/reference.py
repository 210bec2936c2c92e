"""Writes reference.json: retrieval metrics and NMI by scikit-learn.

    python3 -m venv venv
    venv/bin/pip install numpy scikit-learn
    venv/bin/python reference.py > reference.json

Nothing here is needed to build or test the project. The inputs are made again by the test: 200 points of 8 dimensions in 8
classes of very different sizes from one linear congruential generator.
"""

import json

import numpy as np
import sklearn
from sklearn.metrics import average_precision_score, normalized_mutual_info_score, precision_score
from sklearn.neighbors import NearestNeighbors

SIZES = [90, 50, 30, 15, 9, 4, 1, 1]
RECALL_AT = [1, 2, 4, 8, 100]


class Generator:
    def __init__(self, state):
        self.state = state

    def draw(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 11) / 2**53 * 2 - 1


def inputs():
    generator = Generator(1)
    centres = [[generator.draw() for _ in range(8)] for _ in SIZES]
    rows, labels = [], []
    for label, size in enumerate(SIZES):
        for _ in range(size):
            rows.append([0.5 * centre + generator.draw() for centre in centres[label]])
            labels.append(label)
    # A second labelling, correlated with the first one, for NMI.
    clusters = [label if generator.draw() > 0 else int((generator.draw() + 1) * 3) for label in labels]
    return np.array(rows), np.array(labels), np.array(clusters)


def scores(hits, relevant):
    ranks = -np.arange(len(hits))
    within = hits[:relevant]
    # scikit-learn divides by the relevant ones in the list that it is given; MAP@R divides by all relevant ones.
    average = average_precision_score(within, ranks[:relevant]) * within.sum() / relevant if within.any() else 0.0
    return {
        "precision-at-1": float(precision_score(hits[:1], [1], zero_division=0)),
        "recall-at": {str(k): float(hits[:k].any()) for k in RECALL_AT},
        "r-precision": float(precision_score(within, np.ones(relevant), zero_division=0)),
        "map-at-r": float(average),
    }


def mean(rows):
    return {
        "precision-at-1": float(np.mean([row["precision-at-1"] for row in rows])),
        "recall-at": {str(k): float(np.mean([row["recall-at"][str(k)] for row in rows])) for k in RECALL_AT},
        "r-precision": float(np.mean([row["r-precision"] for row in rows])),
        "map-at-r": float(np.mean([row["map-at-r"] for row in rows])),
    }


def retrieval(queries, labels, references, reference_labels, distance, same):
    search = NearestNeighbors(n_neighbors=len(references), metric=distance, algorithm="brute").fit(references)
    orders = search.kneighbors(queries, return_distance=False)
    by_class, excluded = {}, 0
    for i, label in enumerate(labels):
        order = np.array([j for j in orders[i] if not (same and i == j)])
        hits = (reference_labels[order] == label).astype(int)
        if hits.sum() == 0:
            excluded += 1
        else:
            by_class.setdefault(int(label), []).append(scores(hits, int(hits.sum())))
    per_class = {str(label): mean(rows) for label, rows in sorted(by_class.items())}
    return {
        "overall": mean([row for rows in by_class.values() for row in rows]),
        "macro-average": mean(list(per_class.values())),
        "per-class": per_class,
        "excluded": excluded,
    }


points, labels, clusters = inputs()
# Every second point is a query and the others are references, for the form with two sets.
queries, references = np.arange(0, 200, 2), np.arange(1, 200, 2)
cases = {}
for distance in ["cosine", "euclidean"]:
    one = retrieval(points, labels, points, labels, distance, same=True)
    two = retrieval(points[queries], labels[queries], points[references], labels[references], distance, same=False)
    cases[distance] = {"one-set": one, "two-sets": two}
print(
    json.dumps(
        {
            "made-with": {"numpy": np.__version__, "scikit-learn": sklearn.__version__},
            "cases": cases,
            "clusters": clusters.tolist(),
            "nmi": float(normalized_mutual_info_score(labels, clusters)),
        },
        indent=1,
    )
)
