// What a Lossmith plugin in JavaScript is written with.
//
// A plugin is a folder with `plugin.toml` and `plugin.js`. `plugin.js` declares strategies by the function of their role, with a
// summary, parameters and a method. `lossmith plugin build` makes a component of the folder.
//
//     import { PairWeights, loss, number } from "./lossmith.js";
//
//     loss("contrastive", {
//         summary: "Contrastive loss, Hadsell, Chopra and LeCun 2006, eq. 4, with hinges that are not squared.",
//         parameters: { margin: number(0.5, "Distance above which a negative pair costs nothing.", { minimum: 0, maximum: 2 }) },
//         loss({ margin }, batch, progress) {
//             const x = batch.embeddings().normalize();
//             const distances = x.distanceMatrix(x);
//             const pairs = PairWeights.of(batch);
//             const push = distances.rsub(margin).relu();
//             return PairWeights.mean(distances, pairs.positive).add(PairWeights.mean(push, pairs.negative));
//         },
//     });
//
// Nothing should be kept in the plugin between two calls: what must last is in `state`, random numbers come from `random`.
// Tensors are handles of the host's, freed at the end of the call, or at the end of a `scope`.

import * as context from "lossmith:plugin/context@0.1.5";
import * as hostRandom from "lossmith:plugin/random@0.1.5";
import * as hostReport from "lossmith:plugin/report@0.1.5";
import * as hostState from "lossmith:plugin/state@0.1.5";
import { Tensor as Host } from "lossmith:plugin/tensor@0.1.5";

const dispose = Symbol.dispose ?? Symbol.for("dispose");

/** Thrown by a strategy that cannot work as it is configured. Its text is all that the user sees. */
export class Refused extends Error {}

// ---- Handles ----

/** What was made since the innermost `scope`, or the call, began. */
let made = [];

/** What is freed when the call or the scope ends. */
class Wrapper {
    constructor(handle) {
        this.handle = handle;
        made.push(this);
    }

    /** Frees the handle now. */
    free() {
        this.handle?.[dispose]();
        this.handle = null;
    }
}

/** Runs `run` and frees every tensor that was made in it, except what it returns (a tensor or a list of tensors). For loops. */
export function scope(run) {
    const outer = made;
    made = [];
    try {
        const result = run();
        outer.push(...release([result].flat()));
        return result;
    } finally {
        made = outer;
    }
}

/** Frees what was made and returns what is kept. */
function release(kept) {
    const left = [];
    for (const wrapper of made) {
        if (kept.includes(wrapper)) {
            left.push(wrapper);
        } else {
            wrapper.free();
        }
    }
    made = [];
    return left;
}

/** What the host's functions take: handles instead of wrappers, and 64-bit integers in lists. */
function hosted(value) {
    if (value instanceof Wrapper) {
        if (value.handle === null) {
            throw new TypeError("this tensor was freed, by `free` or by the end of its `scope`");
        }
        return value.handle;
    }
    if (!Array.isArray(value)) {
        return value;
    }
    return value[0] instanceof Wrapper ? value.map(hosted) : BigInt64Array.from(value, BigInt);
}

/** What a strategy gets: wrappers instead of handles, and plain numbers. */
function wrapped(value) {
    if (value instanceof Host) {
        return new Tensor(value);
    }
    if (value instanceof context.Tuples) {
        return new Tuples(value);
    }
    if (typeof value === "bigint") {
        // Negative ones come as large positive ones.
        return Number(BigInt.asIntN(64, value));
    }
    return Array.isArray(value) || ArrayBuffer.isView(value) ? Array.from(value, wrapped) : (value ?? null);
}

function tensorOf(value) {
    if (value instanceof Tensor) {
        return hosted(value);
    }
    throw new TypeError(`a tensor or a number is expected, not ${value === null ? "null" : typeof value}`);
}

/** One dimension or some; none for all. */
const listed = (dims) => hosted([dims].flat());

/** `dim` of a tensor of `rank` dimensions, counted from 0. */
function counted(dim, rank) {
    // A negative integer outside of a list ends the call: componentize-js 0.19.3 cannot pass it.
    if (!Number.isInteger(dim) || dim < -rank || dim >= rank) {
        throw new RangeError(`there is no dimension ${dim}: it must be an integer from ${-rank} to ${rank - 1}`);
    }
    return dim < 0 ? dim + rank : dim;
}

/** An integer that is not a dimension. */
function whole(value) {
    if (!Number.isInteger(value) || value < 0) {
        throw new RangeError(`${value} is not an integer from 0 on; negative ones cannot be passed from JavaScript`);
    }
    return value;
}

// ---- Tensors ----

/**
 * A handle of an n-dimensional array on the training device.
 *
 * All functions of `wit/tensor.wit` are methods, in camel case: `a.distanceMatrix(b)`, `Tensor.zeros([2, 3], "float")`. The
 * arithmetic and the comparisons take a tensor or a number. Reductions are over all dimensions, or over `dims` (one or a list).
 */
export class Tensor extends Wrapper {
    /** Size of dimension `dim`. */
    size(dim) {
        return this.shape().at(dim);
    }

    /** `dim`, counted from 0. */
    dim(dim) {
        return counted(dim, hosted(this).shape().length);
    }

    /** `value - self`. */
    rsub(value) {
        return this.rsubScalar(value);
    }

    /** `value / self`. */
    rdiv(value) {
        return this.rdivScalar(value);
    }

    /** As floats; a mask becomes 0 and 1. */
    float() {
        return this.toDtype("float");
    }

    /** Integers `start`, `start + 1`, ..., `end - 1`; both from 0 on. */
    static arange(start, end) {
        return new Tensor(Host.arange(whole(start), whole(end)));
    }

    /** Floats from 32-bit data in row-major order. */
    static fromFloats(data, shape) {
        return new Tensor(Host.fromFloats(Float32Array.from(data), hosted(shape)));
    }

    /** Floats from 64-bit data in row-major order. */
    static fromDoubles(data, shape) {
        return new Tensor(Host.fromDoubles(Float64Array.from(data), hosted(shape)));
    }

    /** Variance with divisor `n - correction`. */
    variance(dims = [], correction = 1, keepDim = false) {
        return new Tensor(hosted(this).variance(listed(dims), whole(correction), keepDim));
    }

    /** p-norm along `dims`; the gradient of the 2-norm at 0 is 0. */
    norm(p = 2, dims = [], keepDim = false) {
        return new Tensor(hosted(this).norm(p, listed(dims), keepDim));
    }

    /** Divides by the p-norm along `dim`, floored at 1e-12. */
    normalize(p = 2, dim = -1) {
        return new Tensor(hosted(this).normalize(p, this.dim(dim)));
    }

    /** `log(1 + exp(beta * self)) / beta`, for `beta` above 0. */
    softplus(beta = 1) {
        return new Tensor(hosted(this).softplus(beta));
    }

    /** Limits the values; `null` is no limit. Outside the bounds the gradient is 0. */
    clamp(minimum = null, maximum = null) {
        return new Tensor(hosted(this).clamp(minimum, maximum));
    }

    /** Swaps two dimensions. */
    transpose(dim0 = -2, dim1 = -1) {
        return new Tensor(hosted(this).transpose(this.dim(dim0), this.dim(dim1)));
    }

    /** The last two dimensions swapped: the transpose of a matrix. */
    t() {
        return this.transpose();
    }

    /** Products of tensors with each dimension named by a letter, summed over those that are not in the result: `"bi,ij,bj->b"`. */
    static einsum(equation, tensors) {
        return new Tensor(Host.einsum(equation, tensors.map(tensorOf)));
    }

    /** Inserts a dimension of size 1 before `dim`. */
    unsqueeze(dim) {
        return new Tensor(hosted(this).unsqueeze(counted(dim, hosted(this).shape().length + 1)));
    }

    /** Entry `index` along `dim`; the dimension goes away. */
    select(dim, index) {
        return new Tensor(hosted(this).select(this.dim(dim), index < 0 ? index + this.size(dim) : index));
    }

    /** `length` entries from `start` along `dim`. */
    narrow(dim, start, length) {
        return new Tensor(hosted(this).narrow(this.dim(dim), whole(start), whole(length)));
    }

    /** `count` equal parts along `dim`. */
    slices(count, dim) {
        return wrapped(hosted(this).slices(whole(count), this.dim(dim)));
    }

    /** Joins along an existing dimension. */
    static cat(tensors, dim) {
        return new Tensor(Host.cat(tensors.map(hosted), tensors.length > 0 ? tensors[0].dim(dim) : 0));
    }

    /** Joins along a new dimension. */
    static stack(tensors, dim) {
        const rank = tensors.length > 0 ? tensors[0].shape().length + 1 : 1;
        return new Tensor(Host.stack(tensors.map(hosted), counted(dim, rank)));
    }

    /** Sorted values along `dim` and where they were (not differentiable). Equal values keep their order. */
    sort(dim = -1, descending = false) {
        return wrapped(hosted(this).sort(this.dim(dim), descending));
    }

    /** The `k` largest (or smallest) values along `dim` and where they were (not differentiable). */
    topk(k, dim = -1, largest = true) {
        return wrapped(hosted(this).topk(whole(k), this.dim(dim), largest));
    }
}

for (const name of ["add", "sub", "mul", "div", "pow", "eq", "ne", "lt", "le", "gt", "ge"]) {
    Tensor.prototype[name] = function (other) {
        const handle = hosted(this);
        return new Tensor(typeof other === "number" ? handle[`${name}Scalar`](other) : handle[name](tensorOf(other)));
    };
}

for (const name of ["sum", "mean", "amax", "amin", "any", "all", "logsumexp"]) {
    Tensor.prototype[name] = function (dims = [], keepDim = false) {
        return new Tensor(hosted(this)[name](listed(dims), keepDim));
    };
}

const alongDim = ["softmax", "logSoftmax", "cumsum", "squeeze", "gather", "indexSelect", "scatterAdd", "indexAdd", "indexCopy"];
for (const name of alongDim) {
    Tensor.prototype[name] = function (dim, ...values) {
        return new Tensor(hosted(this)[name](this.dim(dim), ...values.map(hosted)));
    };
}

for (const name of ["bincount", "oneHot", "tril", "triu"]) {
    Tensor.prototype[name] = function (value) {
        return new Tensor(hosted(this)[name](whole(value)));
    };
}

for (const name of ["max", "min", "argmax", "argmin"]) {
    Tensor.prototype[name] = function (dim, keepDim = false) {
        return wrapped(hosted(this)[name](this.dim(dim), keepDim));
    };
}

/** Gives a wrapper the functions of a resource of the contract that it has no own version of. */
function forward(wrapper, resource) {
    for (const name of Object.getOwnPropertyNames(resource.prototype)) {
        if (name === "constructor" || Object.hasOwn(wrapper.prototype, name)) {
            continue;
        }
        wrapper.prototype[name] = function (...values) {
            return wrapped(hosted(this)[name](...values.map(hosted)));
        };
    }
    for (const name of Object.getOwnPropertyNames(resource)) {
        if (typeof resource[name] === "function" && !Object.hasOwn(wrapper, name)) {
            wrapper[name] = (...values) => wrapped(resource[name](...values.map(hosted)));
        }
    }
}

forward(Tensor, Host);

// ---- What a strategy is told ----

/** Lent by the host for the call. */
class Lent {
    constructor(handle) {
        this.handle = handle;
    }

    /** Gives the handle back. */
    free() {
        this.handle[dispose]();
    }
}

/** Gives a wrapper of a lent handle the functions of its resource. */
function forwardLent(wrapper, resource) {
    for (const name of Object.getOwnPropertyNames(resource.prototype)) {
        if (name !== "constructor") {
            wrapper.prototype[name] = function (...values) {
                return wrapped(this.handle[name](...values.map(hosted)));
            };
        }
    }
}

/**
 * One batch of B images: `embeddings()`, `labels()`, `size()`, `dimension()`, `classCount()`, `largestClass()`, `sliceCount()`,
 * `slices()`, `thresholds()`, `teacher()`, `featureMap()`, `teacherFeatureMap()`, `tuples()`. What is not there is `null`. See
 * `wit/context.wit`.
 */
export class Batch extends Lent {}
forwardLent(Batch, context.Batch);

/** Where the training is: `epoch()`, `epochs()`, `step()`, `stepsPerEpoch()`, `isLastStepOfEpoch()`, `metric(name)`. See
 * `wit/context.wit`. */
export class Progress extends Lent {}
forwardLent(Progress, context.Progress);

/**
 * Tuples of positions in the batch, vectors of integers: made by `Tuples.triplets(anchors, positives, negatives)` or
 * `Tuples.pairs(anchors, positives, negativeAnchors, negatives)`.
 */
export class Tuples extends Wrapper {
    /** Whether these are triplets; else positive and negative pairs. */
    areTriplets() {
        return hosted(this).kind() === "triplets";
    }
}
forward(Tuples, context.Tuples);

/** Pair losses of an embedding transfer: made by a transfer, weighed by a balance. See `wit/context.wit`. */
export class PairLosses extends Wrapper {
    /** The loss of each ordered pair, `values`, B x B. The unbalanced loss is the sum of `values` divided by `divisor`. */
    static of(values, divisor) {
        return new PairLosses(new context.PairLosses(hosted(values), divisor));
    }

    /** Adds a matrix, B x B, that the values were made of, for balances that need to know it. */
    withPart(name, value) {
        this.addPart(name, value);
        return this;
    }
}
forward(PairLosses, context.PairLosses);

/** Pair losses that are lent to a balance. */
class LentPairLosses extends Lent {}
forwardLent(LentPairLosses, context.PairLosses);

// ---- Pairs of a batch ----

/** B x B mask of the pairs of one class, without the diagonal. */
export function sameClass(labels) {
    const positions = Tensor.arange(0, labels.size(0));
    const equal = labels.unsqueeze(1).eq(labels.unsqueeze(0));
    return equal.logicalAnd(positions.unsqueeze(1).ne(positions.unsqueeze(0)));
}

/** B x B mask of the pairs of two classes. */
export function differentClass(labels) {
    return labels.unsqueeze(1).ne(labels.unsqueeze(0));
}

/** How often each ordered pair of images counts: two float matrices `positive` and `negative`, B x B, anchors in rows. */
export class PairWeights {
    constructor(positive, negative) {
        this.positive = positive;
        this.negative = negative;
    }

    /**
     * The pairs that the objective's miner found, each as often as it found it; without a miner all pairs, once. A triplet
     * counts as a positive pair and a negative pair.
     */
    static of(batch) {
        const tuples = batch.tuples();
        if (tuples === null) {
            const labels = batch.labels();
            return new PairWeights(sameClass(labels).float(), differentClass(labels).float());
        }
        const size = batch.size();
        const rowLength = Tensor.fromIntegers([size], [1]);
        const count = (rows, columns) =>
            rows
                .mul(rowLength)
                .add(columns)
                .bincount(size * size)
                .float()
                .reshape([size, size]);
        return new PairWeights(
            count(tuples.anchors(), tuples.positives()),
            count(tuples.negativeAnchors(), tuples.negatives()),
        );
    }

    /** Mean of `values` with `weights`; 0 where nothing counts. */
    static mean(values, weights) {
        return values.mul(weights).sum().div(weights.sum().clamp(1));
    }
}

// ---- What the host keeps, draws and prints ----

/** Trainable parameters and buffers. The host owns them: they are in checkpoints and survive the exchange of a plugin. */
export const state = {
    /** The trainable parameter `name`; made from what the function `initial` returns when there is none yet. */
    parameter(name, initial, learningRateMultiplier = 1) {
        const kept = hostState.parameter(name);
        return wrapped(kept ?? hostState.addParameter(name, hosted(initial()), learningRateMultiplier));
    },
    replaceParameter: (name, value) => wrapped(hostState.replaceParameter(name, hosted(value))),
    /** The buffer `name`, or `null`. */
    buffer: (name) => wrapped(hostState.buffer(name)),
    setBuffer: (name, value) => hostState.setBuffer(name, hosted(value)),
    replaceBuffer: (name, value) => hostState.replaceBuffer(name, hosted(value)),
};

/** Random tensors that depend on the run's seed, the epoch, the step and the slot only. `Math.random` does not. */
export const random = {
    uniform: (shape) => wrapped(hostRandom.uniform(hosted(shape))),
    normal: (shape) => wrapped(hostRandom.normal(hosted(shape))),
    integers: (shape, low, high) => wrapped(hostRandom.integers(hosted(shape), whole(low), whole(high))),
    permutation: (count) => wrapped(hostRandom.permutation(count)),
};

/** What a strategy says about its work: lines for the run's log, and named metrics. */
export const report = {
    /** A line for the plugin's author. */
    debug: (message) => hostReport.log("debug", String(message)),
    /** A line for the user. */
    info: (message) => hostReport.log("info", String(message)),
    /** Something is probably wrong. */
    warn: (message) => hostReport.log("warn", String(message)),
    /** A named metric of this step: a number, or a tensor with one element, which the host reads later. */
    metric(name, value) {
        if (typeof value === "number") {
            hostReport.metricValue(name, value);
        } else {
            hostReport.metric(name, tensorOf(value));
        }
    },
};

// ---- Parameters ----

function bound(included, excluded) {
    if (included !== undefined) {
        return { value: included, inclusive: true };
    }
    return excluded === undefined ? null : { value: excluded, inclusive: false };
}

function ranged(value, { minimum, maximum, above, below }) {
    return { default: value, minimum: bound(minimum, above), maximum: bound(maximum, below) };
}

/** A number. `minimum` and `maximum` are allowed themselves, `above` and `below` are not. */
export function number(value, summary, range = {}) {
    return { summary, type: { tag: "number", val: ranged(value, range) } };
}

/** An integer. */
export function integer(value, summary, { minimum = null, maximum = null } = {}) {
    return { summary, type: { tag: "integer", val: { default: value, minimum, maximum } } };
}

/** True or false. */
export function boolean(value, summary) {
    return { summary, type: { tag: "boolean", val: value } };
}

/** A text, one of `choices` if there are any. */
export function text(value, summary, { choices = [] } = {}) {
    return { summary, type: { tag: "text", val: { default: value, choices } } };
}

/** A list of numbers, each in the range. */
export function numbers(value, summary, range = {}) {
    return { summary, type: { tag: "numbers", val: ranged(value, range) } };
}

// ---- Strategies ----

/** All strategies, by role and name. */
const strategies = new Map();

/** `positiveMargin` is the parameter `positive-margin`. */
const hyphenated = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** The function that declares strategies of a role, whose method is `method`. */
function declares(role, method) {
    return (name, strategy) => {
        if (typeof name !== "string" || typeof strategy?.[method] !== "function") {
            throw new TypeError(`${role}("name", { summary, parameters, ${method}(..) {} }) is expected; \`${method}\` is missing`);
        }
        if (typeof strategy.summary !== "string") {
            throw new TypeError(`the ${role} \`${name}\` has no \`summary\`: one line that says what it is`);
        }
        strategies.set(`${role} ${name}`, { role, name, method, parameters: {}, ...strategy });
    };
}

/** Declares a loss: `loss(parameters, batch, progress)` returns a float scalar through which a gradient flows. */
export const loss = declares("loss", "loss");
/** Declares a miner: `mine(parameters, batch, progress)` returns `Tuples`. */
export const miner = declares("miner", "mine");
/** Declares a transfer: `pairLosses(parameters, batch, progress)` returns `PairLosses`. */
export const transfer = declares("transfer", "pairLosses");
/** Declares a balance: `weigh(parameters, pairs, batch, progress)` returns a float scalar. */
export const balance = declares("balance", "weigh");
/** Declares a schedule: `thresholds(parameters, batch, progress)` returns a list of numbers. */
export const schedule = declares("schedule", "thresholds");
/** Declares a fusion: `fuse(parameters, batch, progress)` returns a matrix, B x D'. */
export const fusion = declares("fusion", "fuse");

function described({ role, name, summary, parameters }) {
    const list = Object.entries(parameters).map(([field, { summary, type }]) => ({ name: hyphenated(field), summary, type }));
    return { role, name, summary, parameters: list };
}

/** The values of the parameters. */
function values(parameters, params) {
    const read = ([field, { type }]) => [field, wrapped(params[type.tag](hyphenated(field)))];
    return Object.fromEntries(Object.entries(parameters).map(read));
}

/** Files whose lines tell the author nothing. */
const notOwn = ["lossmith.js", "lossmith_entry.js", "initializer.js"];

/** Tells the host of an error that is about to end the call: its text and the author's line. */
function tell(error) {
    const lines = String(error?.stack ?? "").split("\n");
    const own = lines.map((line) => /([^\s/(@]+\.m?js):(\d+)/.exec(line)).find((place) => place && !notOwn.includes(place[1]));
    hostReport.panic(String(error), own?.[1] ?? "plugin.js", Number(own?.[2] ?? 0));
}

/** Runs a strategy, frees all that it made but the result, and returns that. */
function run(role, name, expected, params, ...lent) {
    const strategy = strategies.get(`${role} ${name}`);
    made = [];
    try {
        const result = strategy[strategy.method](values(strategy.parameters, params), ...lent);
        if (!(result instanceof expected)) {
            throw new TypeError(`\`${strategy.method}\` of \`${name}\` did not return ${expected.name}`);
        }
        release([result]);
        return result instanceof Wrapper ? hosted(result) : Float64Array.from(result);
    } catch (error) {
        if (!(error instanceof Refused)) {
            tell(error);
            // Not a text for the user: the host sees no handle here and ends the call, and shows what it was told.
            return null;
        }
        release([]);
        throw error.message;
    } finally {
        new Lent(params).free();
        lent.forEach((one) => one.free());
    }
}

// ---- What the component exports ----

/** What the component exports of each interface. */
const interfaces = {
    describe: { strategies: () => [...strategies.values()].map(described) },
    loss: {
        compute: (name, params, batch, progress) =>
            run("loss", name, Tensor, params, new Batch(batch), new Progress(progress)),
    },
    miner: {
        mine: (name, params, batch, progress) =>
            run("miner", name, Tuples, params, new Batch(batch), new Progress(progress)),
    },
    transfer: {
        compute: (name, params, batch, progress) =>
            run("transfer", name, PairLosses, params, new Batch(batch), new Progress(progress)),
    },
    balance: {
        weigh: (name, params, pairs, batch, progress) =>
            run("balance", name, Tensor, params, new LentPairLosses(pairs), new Batch(batch), new Progress(progress)),
    },
    schedule: {
        thresholds: (name, params, batch, progress) =>
            run("schedule", name, Array, params, new Batch(batch), new Progress(progress)),
    },
    fusion: {
        fuse: (name, params, batch, progress) =>
            run("fusion", name, Tensor, params, new Batch(batch), new Progress(progress)),
    },
};

/** What a component with `roles` exports: what `plugin.js` exports itself, else what serves its strategies. For the build. */
export function exported(plugin, roles) {
    for (const { role, name } of strategies.values()) {
        if (!roles.includes(role)) {
            throw new Error(`plugin.js declares the ${role} \`${name}\`, but \`roles\` in plugin.toml does not name "${role}"`);
        }
    }
    const declared = new Set([...strategies.values()].map(({ role }) => role));
    for (const role of roles) {
        if (plugin[role] === undefined && !declared.has(role)) {
            throw new Error(
                `\`roles\` in plugin.toml names "${role}", but plugin.js declares none: ` +
                    `call ${role}("my-${role}", { .. }) of lossmith.js, or export \`${role}\``,
            );
        }
    }
    return Object.fromEntries(["describe", ...roles].map((name) => [name, plugin[name] ?? interfaces[name]]));
}
