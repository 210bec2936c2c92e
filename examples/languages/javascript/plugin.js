// mean_P softplus(alpha (m_p - s_ij)) / alpha + mean_N softplus(alpha (s_ij - m_n)) / alpha with cosines s, over the positive pairs P
// and the negative pairs N.

import { PairWeights, loss, number } from "./lossmith.js";

loss("soft-contrastive", {
    summary: "Contrastive loss on cosines with soft hinges.",
    parameters: {
        alpha: number(8, "How sharp the hinges are.", { above: 0 }),
        positiveMargin: number(0.8, "Cosine above which a positive pair costs little.", { minimum: -1, maximum: 1 }),
        negativeMargin: number(0.3, "Cosine below which a negative pair costs little.", { minimum: -1, maximum: 1 }),
    },
    loss({ alpha, positiveMargin, negativeMargin }, batch, progress) {
        const embeddings = batch.embeddings();
        const cosines = embeddings.cosineMatrix(embeddings);
        // What the objective's miner found; without a miner all pairs.
        const pairs = PairWeights.of(batch);
        const pull = cosines.rsub(positiveMargin).softplus(alpha);
        const push = cosines.sub(negativeMargin).softplus(alpha);
        return PairWeights.mean(pull, pairs.positive).add(PairWeights.mean(push, pairs.negative));
    },
});
