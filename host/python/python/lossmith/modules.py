"""The six roles as modules of PyTorch."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from lossmith import _lossmith
from lossmith.extra_state import packed, unpacked
from lossmith.training import of_step
from lossmith.tuples import Tuples, all_pairs, among_both

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
#: What the state of a strategy is called in a state dict, beside its tensors.
_EXTRA = "_extra_state"


class StrategyModule(Module):
    """A strategy of a component: what all six roles have in common.

    ``plugin`` is the bare name of a standard plugin (``losses``), the path of a component, or the folder of a plugin, which is
    built. ``strategy`` can be left out if the plugin has only one of this role. Parameters of the strategy are keywords with ``_``
    for ``-``: ``negative_margin=0.8``; ``lossmith.strategies()`` lists them.

    ``classes`` is the number of classes, for strategies that must know it. ``slices`` is into how many equal slices the embedding
    is divided. ``seed`` is that of all that the strategy draws. ``limits`` are those of an experiment, as
    ``{"deadline-ms": 1000}``.
    """

    ROLE = ""
    #: The method of `_lossmith.Strategy` for this role.
    METHOD = ""

    #: What the last call reported, by name: tensors without gradient, or numbers.
    metrics: dict[str, Tensor | float]

    def __init__(
        self,
        plugin: str | os.PathLike[str],
        strategy: str | None = None,
        *,
        classes: int | None = None,
        slices: int = 1,
        seed: int = 0,
        limits: Mapping[str, int] | None = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self.source = os.fspath(plugin)
        self.seed, self.slices, self.classes = seed, slices, classes
        self._limits = json.dumps(dict(limits or {}))
        self._given = {name.replace("_", "-"): value for name, value in params.items()}
        #: The names of parameters and buffers of the strategy, by those of the module.
        self._names: dict[str, str] = {}
        self._multipliers: dict[str, float] = {}
        self.step = 0
        self.metrics = {}
        self._session = None
        component = _lossmith.Component.load(self.source)
        self._bind(component, strategy or _only(component, self.ROLE))

    def _bind(self, component: _lossmith.Component, strategy: str) -> None:
        """Takes a strategy of a component; what the module keeps stays."""
        core = _lossmith.Strategy(component, self.ROLE, strategy, self._given, self.seed, self._limits)
        self._component, self.strategy, self._core = component, strategy, core
        self._log = logging.getLogger(f"lossmith.{component.name}.{strategy}")
        described = json.loads(component.strategies())
        self.description = next(s for s in described if (s["role"], s["name"]) == (self.ROLE, strategy))
        self.__doc__ = documentation(self.description)

    @property
    def plugin(self) -> str:
        """The name of its component."""
        return self._component.name

    @property
    def hash(self) -> str:
        """SHA-256 of its component in hexadecimal."""
        return self._component.hash

    @property
    def params(self) -> dict[str, Any]:
        """The values of the strategy's parameters, with all defaults."""
        return json.loads(self._core.params)

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        given = "".join(f", {name.replace('-', '_')}={value!r}" for name, value in self._given.items())
        return f'"{self.plugin}", "{self.strategy}"{given}'

    # What is kept between calls

    def _kept(self) -> list[tuple[str, Tensor, float | None]]:
        """Parameters and buffers as the strategy names them; parameters have a multiplier of the learning rate."""
        kept = []
        for attribute, name in self._names.items():
            multiplier = self._multipliers.get(attribute)
            tensors = self._buffers if multiplier is None else self._parameters
            kept.append((name, tensors[attribute], multiplier))
        return kept

    def _keep(self, changed: list[tuple[str, Tensor, float | None]]) -> None:
        """Takes what a call made or exchanged."""
        for name, tensor, multiplier in changed:
            attribute = self._attribute(name)
            if multiplier is None:
                self._buffers[attribute] = tensor
                continue
            # The very leaf that the value depends on becomes the parameter; a `Parameter` made of it would be another one.
            tensor.__class__ = Parameter
            if attribute in self._parameters:
                self._log.warning("it exchanged its parameter `%s`: give the new one to the optimizer", attribute)
            self._multipliers[attribute] = multiplier
            self._parameters[attribute] = tensor

    def _attribute(self, name: str) -> str:
        """The module's name for a parameter or buffer of the strategy."""
        for attribute, known in self._names.items():
            if known == name:
                return attribute
        attribute = name.replace(".", "_").replace("-", "_") or "_"
        while hasattr(self, attribute):
            attribute += "_"
        self._names[attribute] = name
        return attribute

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The parameters for an optimizer, each with ``lr`` times the multiplier that the strategy asks for."""
        named = self._multipliers.items()
        return [{"params": [self._parameters[attribute]], "lr": lr * multiplier} for attribute, multiplier in named]

    def get_extra_state(self) -> Tensor:
        """What a state dict has besides tensors."""
        return packed({"step": self.step, "names": self._names, "multipliers": self._multipliers})

    def set_extra_state(self, state: Tensor) -> None:
        """Takes what a state dict has besides tensors."""
        self.step = unpacked(state)["step"]

    def _load_from_state_dict(self, state_dict, prefix, *rest) -> None:
        extra = state_dict.get(prefix + _EXTRA)
        if extra is not None:
            self._make_room(state_dict, prefix, unpacked(extra))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _make_room(self, state_dict, prefix: str, extra: dict[str, Any]) -> None:
        """Makes what the state dict has and this module does not have yet, or has in another shape."""
        for attribute, name in extra["names"].items():
            tensor = state_dict.get(prefix + attribute)
            if tensor is None:
                continue
            multiplier = extra["multipliers"].get(attribute)
            tensors = self._buffers if multiplier is None else self._parameters
            before = tensors.get(attribute)
            if before is not None and (before.shape == tensor.shape or multiplier is not None):
                continue
            self._names[attribute] = name
            if multiplier is None:
                tensors[attribute] = torch.empty_like(tensor)
            else:
                self._multipliers[attribute] = multiplier
                tensors[attribute] = Parameter(torch.empty_like(tensor))

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_core", "_log", "_session"):
            state.pop(name)
        state["_component"] = (self._component.name, self._component.bytes)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._session = None
        self._bind(_lossmith.Component.from_bytes(*self._component), self.strategy)

    def _replicate_for_data_parallel(self):
        raise RuntimeError(
            f"{type(self).__name__} does not run in DataParallel, whose copies would share its parameters and buffers: wrap the "
            "network alone and compute the loss on what it returns, or use DistributedDataParallel"
        )

    def prepare(
        self,
        dimension: int,
        classes: int | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ):
        """Makes the parameters that the first call would make, for embeddings of so many columns, and returns the module.

        An optimizer can have them from the beginning then.
        """
        if classes is not None:
            self.classes = classes
        rows = torch.zeros(4, dimension, device=device, dtype=dtype)
        rows[:, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0])
        labels = torch.tensor([0, 0, 1, 1], device=device) % (self.classes or 2)
        with torch.enable_grad():
            called = self._compute(self._batch(rows.requires_grad_(), labels))
        new = [kept for kept in called.changed[0] if kept[2] is not None and kept[0] not in self._names.values()]
        self._keep(new)
        return self

    # Calls

    def _batch(self, embeddings: Tensor, labels: Tensor | None, **more: Any) -> _lossmith.Batch:
        return _lossmith.Batch(embeddings, labels, self.classes or 0, self.slices, **more)

    def _call(self, batch: _lossmith.Batch, *given: Any) -> Any:
        """One call: its value. What it keeps is the module's then."""
        if self._session is not None:
            return self._session._call(self, batch, given)
        return self._finish(self._compute(batch, *given))

    def _compute(self, batch: _lossmith.Batch, *given: Any) -> _lossmith.Called:
        """What comes of a call. The module stays as it is."""
        return getattr(self._core, self.METHOD)(*given, batch, self._kept(), of_step(self.step))

    def _finish(self, called: _lossmith.Called) -> Any:
        """Takes what came of a call, and returns its value."""
        self.step += 1
        if called.changed[0]:
            self._keep(called.changed[0])
        self.metrics = dict(called.metrics)
        for level, text in called.lines:
            self._log.log(_LEVELS[level], text)
        return called.value


def eager(function):
    """Marks a function that ``torch.compile`` leaves as it is: it calls what a compiler cannot look into.

    It is what ``torch.compiler.disable`` sets, which would import the compiler: 1.5 s.
    """
    function._torchdynamo_disable = True
    return function


def _only(component: _lossmith.Component, role: str) -> str:
    """The name of the only strategy of a role."""
    names = [s["name"] for s in json.loads(component.strategies()) if s["role"] == role]
    if len(names) == 1:
        return names[0]
    if not names:
        has = sorted({s["role"] for s in json.loads(component.strategies())})
        raise ValueError(f"plugin `{component.name}` has no {role}: it has strategies of the role {', '.join(has)}")
    raise ValueError(f"plugin `{component.name}` has several of the role {role}, name one: {', '.join(names)}")


def documentation(description: Mapping[str, Any]) -> str:
    """The documentation of a strategy: its summary and its parameters."""
    lines = [description["summary"], ""]
    for parameter in description["params"]:
        name, default = parameter["name"].replace("-", "_"), parameter["default"]
        lines.append(f"{name}: {parameter['type']}, default {default!r}\n    {parameter['summary']}")
    return "\n".join(lines).rstrip()


def full_precision(tensor: Tensor | None) -> Tensor | None:
    """Floats of 16 bits in 32 bits, with gradient; others as they are."""
    if tensor is not None and tensor.dtype in (torch.float16, torch.bfloat16):
        return tensor.float()
    return tensor


def without_autocast(tensor: Tensor):
    """A context in which operations compute in the dtype of what they are given."""
    kind = tensor.device.type
    if torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return contextlib.nullcontext()


class Loss(StrategyModule):
    """A loss: a scalar of embeddings (B x D) and labels (B, integers from 0)."""

    ROLE = "loss"
    METHOD = "loss"

    @eager
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Tuples | None = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
        *,
        thresholds: list[float] | None = None,
        teacher: Tensor | None = None,
        feature_map: Tensor | None = None,
        teacher_feature_map: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch.

        ``indices_tuple`` is what a miner returns: 3 vectors of positions (anchors, positives, negatives) or 4 (anchors, positives,
        anchors, negatives). With ``ref_emb`` and ``ref_labels`` the batch is compared with these rows instead of with itself, and
        positives and negatives are positions among them.

        Embeddings of 16 bits are computed in 32 bits, also under autocast.
        """
        embeddings = full_precision(embeddings)
        if ref_emb is not None and ref_emb is not embeddings:
            embeddings, labels, indices_tuple = with_references(
                embeddings, labels, indices_tuple, full_precision(ref_emb), ref_labels
            )
        with without_autocast(embeddings):
            batch = self._batch(
                embeddings,
                labels,
                tuples=indices_tuple,
                thresholds=thresholds or [],
                teacher=teacher,
                feature_map=feature_map,
                teacher_feature_map=teacher_feature_map,
            )
            return self._call(batch)


def with_references(
    embeddings: Tensor, labels: Tensor, tuples: Tuples | None, ref_emb: Tensor, ref_labels: Tensor | None
) -> tuple[Tensor, Tensor, Tuples]:
    """A batch with references below it, and the tuples that compare the one with the others."""
    if ref_labels is None:
        raise ValueError("ref_emb needs ref_labels: the class of each of its rows")
    if ref_emb.dim() != 2 or ref_labels.shape != ref_emb.shape[:1]:
        raise ValueError(
            f"ref_emb is {tuple(ref_emb.shape)} and ref_labels {tuple(ref_labels.shape)}: R x D and R are expected"
        )
    if ref_emb.shape[1:] != embeddings.shape[1:] or ref_emb.dtype != embeddings.dtype:
        raise ValueError(
            f"ref_emb is {ref_emb.dtype} of {tuple(ref_emb.shape)}, and embeddings are {embeddings.dtype} of "
            f"{tuple(embeddings.shape)}: they must have one dtype and one number of columns"
        )
    tuples = all_pairs(labels, ref_labels) if tuples is None else tuples
    both = among_both(tuples, len(embeddings))
    return torch.cat([embeddings, ref_emb]), torch.cat([labels, ref_labels]), both


class Miner(StrategyModule):
    """A miner: positions in a batch that are worth a comparison, for ``indices_tuple`` of a loss.

    Triplets are 3 vectors (anchors, positives, negatives), pairs are 4 (anchors, positives, anchors, negatives).
    """

    ROLE = "miner"
    METHOD = "mine"

    @eager
    def forward(
        self, embeddings: Tensor, labels: Tensor, ref_emb: Tensor | None = None, ref_labels: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """The tuples of a batch. The embeddings get no gradient of it."""
        if ref_emb is not None and ref_emb is not embeddings:
            raise NotImplementedError(
                "a miner chooses among the rows of one batch: without ref_emb, or take a miner of pytorch-metric-learning"
            )
        embeddings = full_precision(embeddings.detach())
        with without_autocast(embeddings):
            batch = self._batch(embeddings, labels)
            return self._call(batch)


@dataclass
class PairLosses:
    """Pair losses of a transfer: B x B ``values``, what their sum is divided by, and the matrices they were made of, by name."""

    values: Tensor
    divisor: float
    parts: dict[str, Tensor] = field(default_factory=dict)

    def total(self) -> Tensor:
        """The unbalanced loss: the sum over the divisor."""
        return self.values.sum() / self.divisor


class Balance(StrategyModule):
    """A balance: weighs the pair losses of a transfer into a scalar."""

    ROLE = "balance"
    METHOD = "balance"

    @eager
    def forward(self, pair_losses: PairLosses, embeddings: Tensor, labels: Tensor, teacher: Tensor | None = None) -> Tensor:
        """The weighted sum of ``pair_losses``, which a transfer made of this batch."""
        embeddings = full_precision(embeddings)
        with without_autocast(embeddings):
            batch = self._batch(embeddings, labels, teacher=teacher)
            return self._call(batch, pair_losses.values, pair_losses.divisor, pair_losses.parts)


class Transfer(StrategyModule):
    """A transfer: what a student's embeddings miss of a teacher's, as a scalar.

    ``balance`` weighs its pair losses; without one they are summed and divided by the transfer's divisor.
    """

    ROLE = "transfer"
    METHOD = "transfer"

    def __init__(
        self,
        plugin: str | os.PathLike[str],
        strategy: str | None = None,
        *,
        balance: Balance | None = None,
        classes: int | None = None,
        slices: int = 1,
        seed: int = 0,
        limits: Mapping[str, int] | None = None,
        **params: Any,
    ) -> None:
        super().__init__(plugin, strategy, classes=classes, slices=slices, seed=seed, limits=limits, **params)
        if balance is not None and not isinstance(balance, Balance):
            raise TypeError(f"balance must be a lossmith.Balance, not {type(balance).__name__}")
        self.balance = balance

    @eager
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        teacher: Tensor | None = None,
        *,
        thresholds: list[float] | None = None,
        feature_map: Tensor | None = None,
        teacher_feature_map: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch; ``teacher`` is B x D', the teacher's embeddings of the same images."""
        pairs = self.pair_losses(
            embeddings,
            labels,
            teacher,
            thresholds=thresholds,
            feature_map=feature_map,
            teacher_feature_map=teacher_feature_map,
        )
        return pairs.total() if self.balance is None else self.balance(pairs, embeddings, labels, teacher)

    @eager
    def pair_losses(
        self,
        embeddings: Tensor,
        labels: Tensor,
        teacher: Tensor | None = None,
        *,
        thresholds: list[float] | None = None,
        feature_map: Tensor | None = None,
        teacher_feature_map: Tensor | None = None,
    ) -> PairLosses:
        """What a balance weighs: a loss for each pair of images."""
        embeddings = full_precision(embeddings)
        with without_autocast(embeddings):
            batch = self._batch(
                embeddings,
                labels,
                thresholds=thresholds or [],
                teacher=teacher,
                feature_map=feature_map,
                teacher_feature_map=teacher_feature_map,
            )
            return PairLosses(*self._call(batch))


class Schedule(StrategyModule):
    """A schedule: a threshold for each slice of the embedding, for losses on several thresholds."""

    ROLE = "schedule"
    METHOD = "thresholds"

    @eager
    def forward(self, embeddings: Tensor, labels: Tensor) -> list[float]:
        """The thresholds for a batch. The embeddings get no gradient of it."""
        embeddings = full_precision(embeddings.detach())
        with without_autocast(embeddings):
            batch = self._batch(embeddings, labels)
            return self._call(batch)


class Fusion(StrategyModule):
    """A fusion: one embedding (B x D') of the slices of each (B x D)."""

    ROLE = "fusion"
    METHOD = "fuse"

    @eager
    def forward(self, embeddings: Tensor) -> Tensor:
        """The fused embeddings."""
        embeddings = full_precision(embeddings)
        with without_autocast(embeddings):
            batch = self._batch(embeddings, None)
            return self._call(batch)


