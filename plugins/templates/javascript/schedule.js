// A schedule: progress in, a threshold for each slice of the embedding out.
//
// The result is a list of `batch.sliceCount()` finite numbers. `progress.epoch()` of `progress.epochs()` says where the training is,
// `progress.metric("validation/map-at-r")` is the last value of a metric or `null`.

import { Refused, number, schedule } from "./lossmith.js";

schedule("{{name}}", {
    summary: "Equal steps from the lowest to the highest threshold.",
    // Each parameter has a default, one line for users, and a range that the host checks.
    parameters: {
        minimum: number(0.1, "Threshold of the first slice.", { above: 0 }),
        maximum: number(1.4, "Threshold of the last slice.", { above: 0 }),
    },
    thresholds({ minimum, maximum }, batch, progress) {
        if (minimum > maximum) {
            // The text is all that the user sees.
            throw new Refused("`minimum` is above `maximum`");
        }
        const count = batch.sliceCount();
        if (count === 1) {
            return [(minimum + maximum) / 2];
        }
        const step = (maximum - minimum) / (count - 1);
        return Array.from({ length: count }, (_, slice) => minimum + step * slice);
    },
});
