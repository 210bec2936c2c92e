// A loss: embeddings and labels in, a scalar out.
//
// `batch.embeddings()` is B x D, as the network gives it (not normalised); `batch.labels()` are the B classes. The result is a float
// scalar (one number) through which a gradient flows into the embeddings. `wit/context.wit` lists what else a batch tells.

import { PairWeights, loss, number } from "./lossmith.js";

loss("{{name}}", {
    summary: "Contrastive loss, Hadsell, Chopra and LeCun 2006, with hinges that are not squared.",
    // Each parameter has a default, one line for users, and a range that the host checks.
    parameters: {
        positiveMargin: number(0, "Distance below which a positive pair costs nothing.", { minimum: 0, maximum: 2 }),
        negativeMargin: number(1, "Distance above which a negative pair costs nothing.", { minimum: 0, maximum: 2 }),
    },
    loss({ positiveMargin, negativeMargin }, batch, progress) {
        const x = batch.embeddings().normalize();
        const distances = x.distanceMatrix(x);
        // What the objective's miner found; without a miner all pairs.
        const pairs = PairWeights.of(batch);
        const pull = distances.sub(positiveMargin).relu();
        const push = distances.rsub(negativeMargin).relu();
        return PairWeights.mean(pull, pairs.positive).add(PairWeights.mean(push, pairs.negative));
    },
});
