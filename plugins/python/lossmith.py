"""What a Lossmith plugin in Python is written with.

A plugin is a folder with `plugin.toml` and `plugin.py`. `plugin.py` declares strategies: classes with a decorator for their
role, which are described by their docstring and their parameters. `lossmith plugin build` makes a component of the folder.

    from lossmith import PairWeights, loss, number

    @loss("contrastive")
    class Contrastive:
        "Contrastive loss, Hadsell, Chopra and LeCun 2006, eq. 4, with hinges that are not squared."

        margin = number(0.5, "Distance above which a negative pair costs nothing.", minimum=0, maximum=2)

        def loss(self, batch, progress):
            x = batch.embeddings().normalize()
            distances = x.distance_matrix(x)
            pairs = PairWeights.of(batch)
            return pairs.mean(distances, pairs.positive) + pairs.mean((self.margin - distances).relu(), pairs.negative)

Nothing should be kept in the plugin between two calls: what must last is in `state`, random numbers come from `random`.
Tensors are handles of the host's, freed when Python frees the object.
"""

from componentize_py_types import Err as _Err
from wit_world.exports import describe as _describe
from wit_world.imports import context as _context
from wit_world.imports import random as _random
from wit_world.imports import report as _report
from wit_world.imports import state as _state
from wit_world.imports import tensor as _tensor

__all__ = [
    "Batch", "Dtype", "PairLosses", "PairWeights", "Progress", "Refused", "Tensor", "Tuples",
    "balance", "boolean", "different_class", "fusion", "integer", "loss", "miner", "number", "numbers",
    "random", "report", "same_class", "schedule", "state", "text", "transfer",
]  # fmt: skip

Dtype = _tensor.Dtype


class Refused(Exception):
    """Raised by a strategy that cannot work as it is configured. Its text is all that the user sees."""


# ---- Tensors ----


def _host(value):
    """What the host's functions take: handles instead of wrappers."""
    if isinstance(value, _Wrapper):
        return value._handle
    if isinstance(value, (list, tuple)):
        return [_host(element) for element in value]
    return value


def _wrapped(value):
    """What a strategy gets: wrappers instead of handles."""
    wrapper = _WRAPPERS.get(type(value))
    if wrapper is not None:
        return wrapper(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_wrapped(element) for element in value)
    return value


def _forward(name, function):
    def call(*arguments):
        return _wrapped(function(*map(_host, arguments)))

    call.__name__ = name
    call.__doc__ = function.__doc__
    return call


def _forwards(resource):
    """Gives a wrapper the functions of a resource of the contract that it has no own version of."""

    def decorate(wrapper):
        for name in vars(resource):
            if name.startswith("_") or name in vars(wrapper):
                continue
            function = getattr(resource, name)
            is_static = hasattr(function, "__self__")
            forward = _forward(name, function)
            setattr(wrapper, name, staticmethod(forward) if is_static else forward)
        _WRAPPERS[resource] = wrapper
        return wrapper

    return decorate


_WRAPPERS = {}


class _Wrapper:
    """A handle of the host's."""

    __slots__ = ("_handle",)

    def __init__(self, handle):
        self._handle = handle


def _operator(tensors, numbers, reverse_numbers=None):
    """An operator on a tensor and a tensor or number, and the one with the number on the left."""
    with_tensor, with_number = getattr(_tensor.Tensor, tensors), getattr(_tensor.Tensor, numbers)

    def call(self, other):
        if isinstance(other, Tensor):
            return Tensor(with_tensor(self._handle, other._handle))
        if isinstance(other, (int, float)):
            return Tensor(with_number(self._handle, float(other)))
        return NotImplemented

    if reverse_numbers is None:
        return call
    with_number_left = getattr(_tensor.Tensor, reverse_numbers)

    def reverse(self, number):
        if isinstance(number, (int, float)):
            return Tensor(with_number_left(self._handle, float(number)))
        return NotImplemented

    return call, reverse


def _named(operator):
    """The method for an operator, for instance `a.add(b)` for `a + b`."""

    def call(self, other):
        result = operator(self, other)
        if result is NotImplemented:
            raise TypeError(f"a tensor or a number is expected, not {type(other).__name__}")
        return result

    return call


def _reduction(name):
    function = getattr(_tensor.Tensor, name)

    def call(self, dims=(), keep_dim=False):
        return Tensor(function(self._handle, _dims(dims), keep_dim))

    call.__name__ = name
    call.__doc__ = function.__doc__
    return call


def _dims(dims):
    """One dimension or some; none for all."""
    return [dims] if isinstance(dims, int) else list(dims)


@_forwards(_tensor.Tensor)
class Tensor(_Wrapper):
    """A handle of an n-dimensional array on the training device.

    All functions of `wit/tensor.wit` are methods, with `_` for `-`: `a.distance_matrix(b)`, `Tensor.zeros([2, 3], Dtype.FLOAT)`.
    Operators take tensors and numbers, and `&`, `|`, `^`, `~` combine masks. Comparisons give masks, so `a == b` is no answer for
    an `if`. Reductions are over all dimensions, or over `dims` (one or a list).
    """

    __slots__ = ()
    __hash__ = None

    __add__, __radd__ = _operator("add", "add_scalar", "add_scalar")
    __sub__, __rsub__ = _operator("sub", "sub_scalar", "rsub_scalar")
    __mul__, __rmul__ = _operator("mul", "mul_scalar", "mul_scalar")
    __truediv__, __rtruediv__ = _operator("div", "div_scalar", "rdiv_scalar")
    __pow__ = _operator("pow", "pow_scalar")
    __eq__ = _operator("eq", "eq_scalar")
    __ne__ = _operator("ne", "ne_scalar")
    __lt__ = _operator("lt", "lt_scalar")
    __le__ = _operator("le", "le_scalar")
    __gt__ = _operator("gt", "gt_scalar")
    __ge__ = _operator("ge", "ge_scalar")

    add, sub, mul, div, pow = map(_named, (__add__, __sub__, __mul__, __truediv__, __pow__))
    eq, ne, lt, le, gt, ge = map(_named, (__eq__, __ne__, __lt__, __le__, __gt__, __ge__))

    sum, mean, amax, amin, any, all, logsumexp = map(
        _reduction, ("sum", "mean", "amax", "amin", "any", "all", "logsumexp")
    )

    def __neg__(self):
        return self.neg()

    def __matmul__(self, other):
        return self.matmul(other)

    def __and__(self, mask):
        return self.logical_and(mask)

    def __or__(self, mask):
        return self.logical_or(mask)

    def __xor__(self, mask):
        return self.logical_xor(mask)

    def __invert__(self):
        return self.logical_not()

    def __bool__(self):
        raise TypeError("a tensor is neither true nor false: take `any().item()` or `all().item()` of a mask")

    def __repr__(self):
        return f"Tensor({self._handle.dtype().name.lower()}, {self._handle.shape()})"

    def size(self, dim):
        """Size of dimension `dim`."""
        return self._handle.shape()[dim]

    def float(self):
        """As floats; a mask becomes 0 and 1."""
        return self.to_dtype(Dtype.FLOAT)

    def variance(self, dims=(), correction=1, keep_dim=False):
        """Variance with divisor `n - correction`."""
        return Tensor(self._handle.variance(_dims(dims), correction, keep_dim))

    def norm(self, p=2.0, dims=(), keep_dim=False):
        """p-norm along `dims`; the gradient of the 2-norm at 0 is 0."""
        return Tensor(self._handle.norm(float(p), _dims(dims), keep_dim))

    def normalize(self, p=2.0, dim=-1):
        """Divides by the p-norm along `dim`, floored at 1e-12."""
        return Tensor(self._handle.normalize(float(p), dim))

    def max(self, dim, keep_dim=False):
        """Largest value along `dim` and its index (not differentiable). Over all: `amax`."""
        return _wrapped(self._handle.max(dim, keep_dim))

    def min(self, dim, keep_dim=False):
        """Smallest value along `dim` and its index (not differentiable). Over all: `amin`."""
        return _wrapped(self._handle.min(dim, keep_dim))

    def argmax(self, dim, keep_dim=False):
        """Index of the largest value along `dim` (not differentiable)."""
        return Tensor(self._handle.argmax(dim, keep_dim))

    def argmin(self, dim, keep_dim=False):
        """Index of the smallest value along `dim` (not differentiable)."""
        return Tensor(self._handle.argmin(dim, keep_dim))

    def softplus(self, beta=1.0):
        """`log(1 + exp(beta * self)) / beta`, for `beta` above 0."""
        return Tensor(self._handle.softplus(float(beta)))

    def clamp(self, minimum=None, maximum=None):
        """Limits the values; outside the bounds the gradient is 0."""
        return Tensor(self._handle.clamp(minimum, maximum))

    def sort(self, dim=-1, descending=False):
        """Sorted values along `dim` and where they were (not differentiable). Equal values keep their order."""
        return _wrapped(self._handle.sort(dim, descending))

    def topk(self, k, dim=-1, largest=True):
        """The `k` largest (or smallest) values along `dim` and where they were (not differentiable)."""
        return _wrapped(self._handle.topk(k, dim, largest))

    def transpose(self, dim0=-2, dim1=-1):
        """Swaps two dimensions."""
        return Tensor(self._handle.transpose(dim0, dim1))

    def t(self):
        """The last two dimensions swapped: the transpose of a matrix."""
        return self.transpose()


# ---- What a strategy is told ----


@_forwards(_context.Batch)
class Batch(_Wrapper):
    """One batch of B images: `embeddings()`, `labels()`, `size()`, `dimension()`, `class_count()`, `largest_class()`, `slice_count()`,
    `slices()`, `thresholds()`, `teacher()`, `feature_map()`, `teacher_feature_map()`, `tuples()`. See `wit/context.wit`."""

    __slots__ = ()


@_forwards(_context.Progress)
class Progress(_Wrapper):
    """Where the training is: `epoch()`, `epochs()`, `step()`, `steps_per_epoch()`, `is_last_step_of_epoch()`, `metric(name)`.
    See `wit/context.wit`."""

    __slots__ = ()


@_forwards(_context.Tuples)
class Tuples(_Wrapper):
    """Tuples of positions in the batch, vectors of integers: made by `Tuples.triplets(anchors, positives, negatives)` or
    `Tuples.pairs(anchors, positives, negative_anchors, negatives)`."""

    __slots__ = ()

    def are_triplets(self):
        """Whether these are triplets; else positive and negative pairs."""
        return self._handle.kind() == _context.TupleKind.TRIPLETS


@_forwards(_context.PairLosses)
class PairLosses(_Wrapper):
    """Pair losses of an embedding transfer: made by a transfer, weighed by a balance. See `wit/context.wit`."""

    __slots__ = ()

    @staticmethod
    def of(values, divisor):
        """The loss of each ordered pair, `values`, B x B. The unbalanced loss is the sum of `values` divided by `divisor`."""
        return PairLosses(_context.PairLosses(values._handle, float(divisor)))

    def with_part(self, name, value):
        """Adds a matrix, B x B, that the values were made of, for balances that need to know it."""
        self.add_part(name, value)
        return self


# ---- Pairs of a batch ----


def same_class(labels):
    """B x B mask of the pairs of one class, without the diagonal."""
    positions = Tensor.arange(0, labels.size(0))
    return (labels.unsqueeze(1) == labels.unsqueeze(0)) & (positions.unsqueeze(1) != positions.unsqueeze(0))


def different_class(labels):
    """B x B mask of the pairs of two classes."""
    return labels.unsqueeze(1) != labels.unsqueeze(0)


class PairWeights:
    """How often each ordered pair of images counts: two float matrices, B x B, anchors in rows."""

    def __init__(self, positive, negative):
        self.positive = positive
        """Pairs of one class."""
        self.negative = negative
        """Pairs of two classes."""

    @staticmethod
    def of(batch):
        """The pairs that the objective's miner found, each as often as it found it; without a miner all pairs, once.

        A triplet counts as a positive pair and a negative pair."""
        tuples = batch.tuples()
        if tuples is None:
            labels = batch.labels()
            return PairWeights(same_class(labels).float(), different_class(labels).float())
        size = batch.size()
        row_length = Tensor.from_integers([size], [1])

        def count(rows, columns):
            return (rows * row_length + columns).bincount(size * size).float().reshape([size, size])

        return PairWeights(
            count(tuples.anchors(), tuples.positives()), count(tuples.negative_anchors(), tuples.negatives())
        )

    @staticmethod
    def mean(values, weights):
        """Mean of `values` with `weights`; 0 where nothing counts."""
        return (values * weights).sum() / weights.sum().clamp(minimum=1.0)


# ---- What the host keeps, draws and prints ----


class state:
    """Trainable parameters and buffers. The host owns them: they are in checkpoints and survive the exchange of a plugin."""

    @staticmethod
    def parameter(name, initial, learning_rate_multiplier=1.0):
        """The trainable parameter `name`; made from what the function `initial` returns when there is none yet."""
        handle = _state.parameter(name)
        if handle is None:
            handle = _state.add_parameter(name, initial()._handle, float(learning_rate_multiplier))
        return Tensor(handle)

    replace_parameter = staticmethod(_forward("replace_parameter", _state.replace_parameter))
    buffer = staticmethod(_forward("buffer", _state.buffer))
    set_buffer = staticmethod(_forward("set_buffer", _state.set_buffer))
    replace_buffer = staticmethod(_forward("replace_buffer", _state.replace_buffer))


class random:
    """Random tensors that depend on the run's seed, the epoch, the step and the slot only. Python's own `random` does not."""

    uniform = staticmethod(_forward("uniform", _random.uniform))
    normal = staticmethod(_forward("normal", _random.normal))
    integers = staticmethod(_forward("integers", _random.integers))
    permutation = staticmethod(_forward("permutation", _random.permutation))


def _sendable(value):
    """The text of a value, without halves of characters, which no text of the contract may have."""
    return str(value).encode("utf-8", "replace").decode()


class report:
    """What a strategy says about its work: lines for the run's log, and named metrics."""

    @staticmethod
    def debug(message):
        """A line for the plugin's author."""
        _report.log(_report.Level.DEBUG, _sendable(message))

    @staticmethod
    def info(message):
        """A line for the user."""
        _report.log(_report.Level.INFO, _sendable(message))

    @staticmethod
    def warn(message):
        """Something is probably wrong."""
        _report.log(_report.Level.WARN, _sendable(message))

    @staticmethod
    def metric(name, value):
        """A named metric of this step: a number, or a tensor with one element, which the host reads later."""
        if isinstance(value, Tensor):
            _report.metric(name, value._handle)
        else:
            _report.metric_value(name, float(value))


# ---- Parameters ----


class _Parameter:
    """A declared parameter: how it is described, and how its value is read."""

    def __init__(self, kind, summary, read):
        self.kind = kind
        self.summary = " ".join(summary.split())
        self.read = read


def _bound(included, excluded):
    if included is not None:
        return _describe.Bound(float(included), True)
    return None if excluded is None else _describe.Bound(float(excluded), False)


def number(default, summary, *, minimum=None, maximum=None, above=None, below=None):
    """A number. `minimum` and `maximum` are allowed themselves, `above` and `below` are not."""
    kind = _describe.NumberType(float(default), _bound(minimum, above), _bound(maximum, below))
    return _Parameter(_describe.ParameterType_Number(kind), summary, lambda params, name: params.number(name))


def integer(default, summary, *, minimum=None, maximum=None):
    """An integer."""
    kind = _describe.IntegerType(default, minimum, maximum)
    return _Parameter(_describe.ParameterType_Integer(kind), summary, lambda params, name: params.integer(name))


def boolean(default, summary):
    """True or false."""
    return _Parameter(_describe.ParameterType_Boolean(default), summary, lambda params, name: params.boolean(name))


def text(default, summary, *, choices=()):
    """A text, one of `choices` if there are any."""
    kind = _describe.TextType(default, list(choices))
    return _Parameter(_describe.ParameterType_Text(kind), summary, lambda params, name: params.text(name))


def numbers(default, summary, *, minimum=None, maximum=None, above=None, below=None):
    """A list of numbers, each in the range."""
    kind = _describe.NumbersType([float(x) for x in default], _bound(minimum, above), _bound(maximum, below))
    return _Parameter(_describe.ParameterType_Numbers(kind), summary, lambda params, name: list(params.numbers(name)))


# ---- Strategies ----


class _Strategy:
    """A class with a name in its role."""

    def __init__(self, role, name, cls):
        self.role, self.name, self.cls = role, name, cls
        fields = {field: value for field, value in vars(cls).items() if isinstance(value, _Parameter)}
        self.parameters = {field.replace("_", "-"): (field, value) for field, value in fields.items()}

    def describe(self):
        # The first paragraph, on one line.
        summary = " ".join((self.cls.__doc__ or "").strip().partition("\n\n")[0].split())
        parameters = [
            _describe.Parameter(name, parameter.summary, parameter.kind)
            for name, (_, parameter) in self.parameters.items()
        ]
        return _describe.Strategy(self.role, self.name, summary, parameters)

    def configured(self, params):
        """An instance whose parameters have their values."""
        instance = self.cls()
        for name, (field, parameter) in self.parameters.items():
            setattr(instance, field, parameter.read(params, name))
        return instance


_STRATEGIES = {}


def _role(role, method):
    """The decorator of a role, whose strategies have the method `method`."""

    def named(name):
        if not isinstance(name, str):
            raise TypeError(f'@{role.name.lower()} needs a name: @{role.name.lower()}("my-strategy")')

        def decorate(cls):
            if not callable(getattr(cls, method, None)):
                raise TypeError(f"the class {cls.__name__} has no method `{method}`, which a {role.name.lower()} needs")
            _STRATEGIES[role, name] = _Strategy(role, name, cls)
            return cls

        return decorate

    named.__doc__ = f"Declares a {role.name.lower()}: a class with the method `{method}`."
    return named


loss = _role(_describe.Role.LOSS, "loss")
miner = _role(_describe.Role.MINER, "mine")
transfer = _role(_describe.Role.TRANSFER, "pair_losses")
balance = _role(_describe.Role.BALANCE, "weigh")
schedule = _role(_describe.Role.SCHEDULE, "thresholds")
fusion = _role(_describe.Role.FUSION, "fuse")


def _tell(error, method):
    """Tells the host of an exception that is about to end the call of a method: its text and the author's line."""
    trace, file, line = error.__traceback__, "plugin.py", getattr(getattr(method, "__code__", None), "co_firstlineno", 0)
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] not in _OWN:
            file, line = name.rpartition("/")[2], trace.tb_lineno
        trace = trace.tb_next
    try:
        text = _sendable(error)
    except BaseException as second:
        text = f"its text cannot be made: {type(second).__name__}"
    _report.panic(f"{_sendable(type(error).__name__)}: {text}", _sendable(file), line)


_OWN = {__name__, "wit_world", "componentize_py_types"}


def _run(role, result, strategy, params, *arguments):
    """Runs the strategy `strategy` and returns a handle, or a text for the user by `Err`."""
    method = None
    try:
        known = _STRATEGIES[role, strategy].configured(params)
        method = getattr(known, _METHODS[role])
        returned = method(*map(_wrapped, arguments))
        if result is not None and not isinstance(returned, result):
            raise TypeError(f"`{_METHODS[role]}` returned {type(returned).__name__} instead of {result.__name__}")
        return [float(x) for x in returned] if result is None else returned._handle
    except Refused as refused:
        message = _sendable(refused)
    except BaseException as error:
        # `sys.exit` and an interrupt are no `Exception`.
        _tell(error, method)
        raise
    # Out of the `except`, so that the exception and the tensors in its frames are gone.
    raise _Err(message)


_METHODS = {
    _describe.Role.LOSS: "loss",
    _describe.Role.MINER: "mine",
    _describe.Role.TRANSFER: "pair_losses",
    _describe.Role.BALANCE: "weigh",
    _describe.Role.SCHEDULE: "thresholds",
    _describe.Role.FUSION: "fuse",
}


# ---- What the component exports ----


class Describe:
    def strategies(self):
        return [strategy.describe() for strategy in _STRATEGIES.values()]


class Loss:
    def compute(self, strategy, params, batch, progress):
        return _run(_describe.Role.LOSS, Tensor, strategy, params, batch, progress)


class Miner:
    def mine(self, strategy, params, batch, progress):
        return _run(_describe.Role.MINER, Tuples, strategy, params, batch, progress)


class Transfer:
    def compute(self, strategy, params, batch, progress):
        return _run(_describe.Role.TRANSFER, PairLosses, strategy, params, batch, progress)


class Balance:
    def weigh(self, strategy, params, pairs, batch, progress):
        return _run(_describe.Role.BALANCE, Tensor, strategy, params, pairs, batch, progress)


class Schedule:
    def thresholds(self, strategy, params, batch, progress):
        return _run(_describe.Role.SCHEDULE, None, strategy, params, batch, progress)


class Fusion:
    def fuse(self, strategy, params, batch, progress):
        return _run(_describe.Role.FUSION, Tensor, strategy, params, batch, progress)


def exports(plugin, roles):
    """What a component with `roles` exports: the classes that `plugin.py` has itself, else those above. For the build."""
    declared = {role.name.lower(): name for role, name in _STRATEGIES}
    for role, name in declared.items():
        if role not in roles:
            raise TypeError(f"plugin.py declares the {role} `{name}`, but `roles` in plugin.toml does not name \"{role}\"")
    for role in roles:
        if role not in declared and not hasattr(plugin, role.capitalize()):
            raise TypeError(
                f"`roles` in plugin.toml names \"{role}\", but plugin.py declares none: "
                f"decorate a class with @{role}(\"my-{role}\"), or define `{role.capitalize()}`"
            )
    names = ["Describe", *map(str.capitalize, roles)]
    return {name: getattr(plugin, name, globals()[name]) for name in names}
