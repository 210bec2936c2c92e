// A transfer: teacher and student in, the loss of each pair of images out.
//
// `batch.embeddings()` are the student's, B x D, through which a gradient flows; `batch.teacher()` are the teacher's, B x D', or
// `null` without a teacher. The result is `PairLosses.of(values, divisor)`: `values` is B x B, and the loss is their sum divided by
// `divisor`, unless the objective has a balance that weighs them.

import { PairLosses, Refused, number, transfer } from "./lossmith.js";

transfer("{{name}}", {
    summary: "Squared differences of the cosines of teacher and student.",
    // Each parameter has a default, one line for users, and a range that the host checks.
    parameters: {
        scale: number(1, "What the losses are multiplied by.", { above: 0 }),
    },
    pairLosses({ scale }, batch, progress) {
        const teacher = batch.teacher();
        if (teacher === null) {
            throw new Refused("there is no teacher to learn from: add a table `[teacher]` to the experiment");
        }
        const student = batch.embeddings();
        const difference = student.cosineMatrix(student).sub(teacher.cosineMatrix(teacher));
        return PairLosses.of(difference.square().mul(scale), batch.size() ** 2);
    },
});
