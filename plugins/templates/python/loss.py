"""A loss: embeddings and labels in, a scalar out.

`batch.embeddings()` is B x D, as the network gives it (not normalised); `batch.labels()` are the B classes. The result is a float
scalar (one number) through which a gradient flows into the embeddings. `wit/context.wit` lists what else a batch tells.
"""

from lossmith import PairWeights, loss, number


@loss("{{name}}")
class Strategy:
    """Contrastive loss, Hadsell, Chopra and LeCun 2006, with hinges that are not squared."""

    # Each parameter has a default, one line for users, and a range that the host checks.
    positive_margin = number(0.0, "Distance below which a positive pair costs nothing.", minimum=0, maximum=2)
    negative_margin = number(1.0, "Distance above which a negative pair costs nothing.", minimum=0, maximum=2)

    def loss(self, batch, progress):
        x = batch.embeddings().normalize()
        distances = x.distance_matrix(x)
        # What the objective's miner found; without a miner all pairs.
        pairs = PairWeights.of(batch)
        pull = (distances - self.positive_margin).relu()
        push = (self.negative_margin - distances).relu()
        return PairWeights.mean(pull, pairs.positive) + PairWeights.mean(push, pairs.negative)
