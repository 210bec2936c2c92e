"""A balance: the pair losses of a transfer in, a weighted scalar out.

`pairs.values()` is the loss of each ordered pair, B x B; the unbalanced loss is their sum divided by `pairs.divisor()`.
`pairs.same_class()` and `pairs.different_class()` are masks without the diagonal. The result is a float scalar with a gradient.
"""

from lossmith import balance, number, report


@balance("{{name}}")
class Strategy:
    """Pairs of one class weigh alpha, all others 1."""

    # Each parameter has a default, one line for users, and a range that the host checks.
    alpha = number(1.0, "Weight of the pairs of one class.", minimum=0)

    def weigh(self, pairs, batch, progress):
        weights = pairs.same_class().float() * (self.alpha - 1.0) + 1.0
        # Metrics are kept in the record of the run.
        report.metric("weight", self.alpha)
        return (pairs.values() * weights).sum() / pairs.divisor()
