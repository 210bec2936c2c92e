"""mean_P softplus(alpha (m_p - s_ij)) / alpha + mean_N softplus(alpha (s_ij - m_n)) / alpha with cosines s, over the positive pairs P
and the negative pairs N."""

from lossmith import PairWeights, loss, number


@loss("soft-contrastive")
class SoftContrastive:
    """Contrastive loss on cosines with soft hinges."""

    alpha = number(8.0, "How sharp the hinges are.", above=0)
    positive_margin = number(0.8, "Cosine above which a positive pair costs little.", minimum=-1, maximum=1)
    negative_margin = number(0.3, "Cosine below which a negative pair costs little.", minimum=-1, maximum=1)

    def loss(self, batch, progress):
        embeddings = batch.embeddings()
        cosines = embeddings.cosine_matrix(embeddings)
        # What the objective's miner found; without a miner all pairs.
        pairs = PairWeights.of(batch)
        pull = (self.positive_margin - cosines).softplus(self.alpha)
        push = (cosines - self.negative_margin).softplus(self.alpha)
        return PairWeights.mean(pull, pairs.positive) + PairWeights.mean(push, pairs.negative)
