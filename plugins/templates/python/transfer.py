"""A transfer: teacher and student in, the loss of each pair of images out.

`batch.embeddings()` are the student's, B x D, through which a gradient flows; `batch.teacher()` are the teacher's, B x D', or `None`
without a teacher. The result is `PairLosses.of(values, divisor)`: `values` is B x B, and the loss is their sum divided by `divisor`,
unless the objective has a balance that weighs them.
"""

from lossmith import PairLosses, Refused, number, transfer


@transfer("{{name}}")
class Strategy:
    """Squared differences of the cosines of teacher and student."""

    # Each parameter has a default, one line for users, and a range that the host checks.
    scale = number(1.0, "What the losses are multiplied by.", above=0)

    def pair_losses(self, batch, progress):
        teacher = batch.teacher()
        if teacher is None:
            raise Refused("there is no teacher to learn from: add a table `[teacher]` to the experiment")
        student = batch.embeddings()
        difference = student.cosine_matrix(student) - teacher.cosine_matrix(teacher)
        return PairLosses.of(difference.square() * self.scale, batch.size() ** 2)
