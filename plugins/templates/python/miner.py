"""A miner: embeddings and labels in, tuples of positions in the batch out.

It chooses what the loss of the same objective is computed on: `Tuples.pairs(anchors, positives, negative_anchors, negatives)` or
`Tuples.triplets(anchors, positives, negatives)`, vectors of integers from 0 to B - 1. The embeddings carry no gradient here.
"""

from lossmith import Tuples, different_class, miner, number, same_class


@miner("{{name}}")
class Strategy:
    """All pairs that are nearer than a margin."""

    # Each parameter has a default, one line for users, and a range that the host checks.
    margin = number(0.8, "Pairs nearer than this are kept.", minimum=0, maximum=2)

    def mine(self, batch, progress):
        x = batch.embeddings().normalize()
        near = x.distance_matrix(x) < self.margin
        labels = batch.labels()
        # Positions of the true elements, one row (anchor, other) for each.
        positive = (near & same_class(labels)).nonzero()
        negative = (near & different_class(labels)).nonzero()
        return Tuples.pairs(positive.select(1, 0), positive.select(1, 1), negative.select(1, 0), negative.select(1, 1))
