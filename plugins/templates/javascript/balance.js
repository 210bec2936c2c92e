// A balance: the pair losses of a transfer in, a weighted scalar out.
//
// `pairs.values()` is the loss of each ordered pair, B x B; the unbalanced loss is their sum divided by `pairs.divisor()`.
// `pairs.sameClass()` and `pairs.differentClass()` are masks without the diagonal. The result is a float scalar with a gradient.

import { balance, number, report } from "./lossmith.js";

balance("{{name}}", {
    summary: "Pairs of one class weigh alpha, all others 1.",
    // Each parameter has a default, one line for users, and a range that the host checks.
    parameters: {
        alpha: number(1, "Weight of the pairs of one class.", { minimum: 0 }),
    },
    weigh({ alpha }, pairs, batch, progress) {
        const weights = pairs.sameClass().float().mul(alpha - 1).add(1);
        // Metrics are kept in the record of the run.
        report.metric("weight", alpha);
        return pairs.values().mul(weights).sum().div(pairs.divisor());
    },
});
