"""A schedule: progress in, a threshold for each slice of the embedding out.

The result is a list of `batch.slice_count()` finite numbers. `progress.epoch()` of `progress.epochs()` says where the training is,
`progress.metric("validation/map-at-r")` is the last value of a metric or `None`.
"""

from lossmith import Refused, number, schedule


@schedule("{{name}}")
class Strategy:
    """Equal steps from the lowest to the highest threshold."""

    # Each parameter has a default, one line for users, and a range that the host checks.
    minimum = number(0.1, "Threshold of the first slice.", above=0)
    maximum = number(1.4, "Threshold of the last slice.", above=0)

    def thresholds(self, batch, progress):
        if self.minimum > self.maximum:
            # The text is all that the user sees.
            raise Refused("`minimum` is above `maximum`")
        count = batch.slice_count()
        if count == 1:
            return [(self.minimum + self.maximum) / 2]
        step = (self.maximum - self.minimum) / (count - 1)
        return [self.minimum + step * slice for slice in range(count)]
