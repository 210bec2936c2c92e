"""A fusion: the slices of an embedding in, one embedding out.

`batch.slices()` are the K slices, each B x D/K. The result is a float matrix with a row for each image, B x D'. It is called where
embeddings are measured, so a batch has no labels, no teacher and no tuples here.
"""

from lossmith import Refused, Tensor, fusion, numbers


@fusion("{{name}}")
class Strategy:
    """The normalised slices behind each other, each with a weight."""

    # Each parameter has a default, one line for users, and a range that the host checks.
    weights = numbers([], "A weight for each slice; none: all weigh 1.", minimum=0)

    def fuse(self, batch, progress):
        slices = batch.slices()
        weights = self.weights or [1.0] * len(slices)
        if len(weights) != len(slices):
            # The text is all that the user sees.
            raise Refused(f"`weights` has {len(weights)} numbers, and there are {len(slices)} slices")
        # The root: |x - y|^2 of the result is the weighted sum of those of the slices.
        return Tensor.cat([x.normalize() * weight**0.5 for x, weight in zip(slices, weights)], 1)
