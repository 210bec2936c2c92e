// A miner: embeddings and labels in, tuples of positions in the batch out.
//
// It chooses what the loss of the same objective is computed on: `Tuples.pairs(anchors, positives, negativeAnchors, negatives)` or
// `Tuples.triplets(anchors, positives, negatives)`, vectors of integers from 0 to B - 1. The embeddings carry no gradient here.

import { Tuples, differentClass, miner, number, sameClass } from "./lossmith.js";

miner("{{name}}", {
    summary: "All pairs that are nearer than a margin.",
    // Each parameter has a default, one line for users, and a range that the host checks.
    parameters: {
        margin: number(0.8, "Pairs nearer than this are kept.", { minimum: 0, maximum: 2 }),
    },
    mine({ margin }, batch, progress) {
        const x = batch.embeddings().normalize();
        const near = x.distanceMatrix(x).lt(margin);
        const labels = batch.labels();
        // Positions of the true elements, one row (anchor, other) for each.
        const positive = near.logicalAnd(sameClass(labels)).nonzero();
        const negative = near.logicalAnd(differentClass(labels)).nonzero();
        return Tuples.pairs(positive.select(1, 0), positive.select(1, 1), negative.select(1, 0), negative.select(1, 1));
    },
});
