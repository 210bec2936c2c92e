// A fusion: the slices of an embedding in, one embedding out.
//
// `batch.slices()` are the K slices, each B x D/K. The result is a float matrix with a row for each image, B x D'. It is called where
// embeddings are measured, so a batch has no labels, no teacher and no tuples here.

import { Refused, Tensor, fusion, numbers } from "./lossmith.js";

fusion("{{name}}", {
    summary: "The normalised slices behind each other, each with a weight.",
    // Each parameter has a default, one line for users, and a range that the host checks.
    parameters: {
        weights: numbers([], "A weight for each slice; none: all weigh 1.", { minimum: 0 }),
    },
    fuse({ weights }, batch, progress) {
        const slices = batch.slices();
        const given = weights.length > 0 ? weights : slices.map(() => 1);
        if (given.length !== slices.length) {
            // The text is all that the user sees.
            throw new Refused(`\`weights\` has ${given.length} numbers, and there are ${slices.length} slices`);
        }
        // The root: |x - y|^2 of the result is the weighted sum of those of the slices.
        return Tensor.cat(slices.map((x, k) => x.normalize().mul(Math.sqrt(given[k]))), 1);
    },
});
