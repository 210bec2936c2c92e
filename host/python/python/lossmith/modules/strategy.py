"""What a strategy of a component is as a module of PyTorch, whatever its role."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, cast

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from lossmith import _lossmith, given
from lossmith.errors import PluginError
from lossmith.extra_state import packed, unpacked
from lossmith.given import plain, whole
from lossmith.names import keyword_of, parameters_of
from lossmith.training import of_step, told
from lossmith.tuples import Tuples
from lossmith.turns import Turns

if TYPE_CHECKING:
    from typing_extensions import Self

    from lossmith.session import Session

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
#: What the state of a strategy is called in a state dict, beside its tensors.
_EXTRA = "_extra_state"


class StrategyModule(Module):
    """A strategy of a component: what all six roles have in common.

    ``plugin`` is the bare name of a standard plugin (``losses``), the path of a component, or the folder of a plugin,
    which is built. ``strategy`` can be left out if the plugin has only one of this role. Parameters of the strategy are
    keywords with ``_`` for ``-``, and a ``_`` behind a name that is taken: ``negative_margin=0.8``, ``lambda_=0.5``;
    ``lossmith.strategies()`` lists them.

    ``classes`` is the number of classes, for strategies that must know it. ``slices`` is into how many equal slices the
    embedding is divided. ``seed`` is that of all that the strategy draws. ``limits`` are those of an experiment, as
    ``{"deadline-ms": 1000}``. With ``gather=True`` a loss, a miner or a transfer computes on the rows of all ranks of a
    process group: see ``lossmith.distributed``.
    """

    ROLE = ""

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
        gather: bool = False,
        **params: Any,
    ) -> None:
        super().__init__()
        self.source = os.fspath(plugin)
        self.seed, self.slices = whole(seed, "seed", 0), whole(slices, "slices", 1)
        self.classes = None if classes is None else whole(classes, "classes", 1)
        if limits is not None and not isinstance(limits, Mapping):
            raise TypeError(f'limits are names with numbers, as {{"deadline-ms": 1000}}, not {type(limits).__name__}')
        self._limits = json.dumps(dict(limits or {}))
        if given.boolean(gather, "gather") and self.ROLE not in ("loss", "miner", "transfer"):
            raise TypeError(f"a {self.ROLE} gathers nothing: give gather=True to the Objective or Transfer that has it")
        self.gather = gather
        self._given = parameters_of(params)
        #: The names of parameters and buffers of the strategy, by those of the module.
        self._names: dict[str, str] = {}
        self._multipliers: dict[str, float] = {}
        #: Columns of the embeddings for which the parameters were made, as far as it is known.
        self._dimension: int | None = None
        self.step = 0
        self.metrics = {}
        self._session: Session | None = None
        self._turns = Turns()
        self._warned_of_one = False
        component = _lossmith.Component.load(self.source)
        self._bind(component, strategy or _only(component, self.ROLE))

    def _bind(self, component: _lossmith.Component, strategy: str) -> None:
        """Takes a strategy of a component; what the module keeps stays."""
        try:
            core = _lossmith.Strategy(component, self.ROLE, strategy, self._given, self.seed, self._limits)
        except TypeError as error:
            values = ", ".join(f"{keyword_of(name)}={value!r}" for name, value in self._given.items())
            raise TypeError(f"a parameter is a number, a boolean, a text, or a list of numbers: {values}") from error
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
        values: dict[str, Any] = json.loads(self._core.params)
        return values

    @property
    def session(self) -> Session | None:
        """The session that it belongs to; None if it is free."""
        return self._session

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        given = "".join(f", {keyword_of(name)}={value!r}" for name, value in self._given.items())
        return f'"{self.plugin}", "{self.strategy}"{given}'

    # What is kept between calls

    def _kept(self) -> list[tuple[str, Tensor, float | None]]:
        """Parameters and buffers as the strategy names them; parameters have a multiplier of the learning rate."""
        kept = []
        for attribute, name in self._names.items():
            multiplier = self._multipliers.get(attribute)
            # Not `_parameters[attribute]`: a parametrization computes the attribute of other parameters.
            tensor = getattr(self, attribute, None)
            if tensor is None:
                raise RuntimeError(f"`{attribute}` is missing, which an earlier call made: leave it in the module")
            kept.append((name, plain(tensor, f"`{attribute}`"), multiplier))
        return kept

    def _keep(self, changed: list[tuple[str, Tensor, float | None]]) -> None:
        """Takes what a call made or exchanged."""
        for name, tensor, multiplier in changed:
            attribute = self._attribute(name)
            if tensor.is_inference():
                # It was made in inference mode, and no graph can have such a tensor.
                with torch.inference_mode(False), torch.no_grad():
                    tensor = tensor.clone().requires_grad_(multiplier is not None)
            if multiplier is None:
                self._buffers[attribute] = tensor
                continue
            # The very leaf that the value depends on becomes the parameter; a `Parameter` made of it would be another.
            tensor.__class__ = Parameter
            if attribute in self._parameters:
                self._log.warning("it exchanged its parameter `%s`: give the new one to the optimizer", attribute)
            self._multipliers[attribute] = multiplier
            self._dimension = None
            self._parameters[attribute] = cast(Parameter, tensor)

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
        return packed({
            "strategy": self.strategy,
            "step": self.step,
            "names": self._names,
            "multipliers": self._multipliers,
            "dimension": self._dimension,
        })

    def set_extra_state(self, state: Tensor) -> None:
        """Takes what a state dict has besides tensors."""
        self.step = unpacked(state)["step"]

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        extra = state_dict.get(prefix + _EXTRA)
        if extra is not None:
            extra = unpacked(extra)
            if extra["strategy"] != self.strategy:
                error_msgs.append(f"the state is of `{extra['strategy']}`, and the module is `{self.strategy}`")
                return
            self._make_room(state_dict, prefix, extra)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def _make_room(self, state_dict: dict[str, Any], prefix: str, extra: dict[str, Any]) -> None:
        """Makes what the state dict has and this module does not have yet, or has in another shape."""
        for attribute, name in extra["names"].items():
            tensor = state_dict.get(prefix + attribute)
            if tensor is None:
                continue
            multiplier = extra["multipliers"].get(attribute)
            before = self._buffers.get(attribute) if multiplier is None else self._parameters.get(attribute)
            if before is not None and (before.shape == tensor.shape or multiplier is not None):
                continue
            self._names[attribute] = name
            if multiplier is None:
                self._buffers[attribute] = torch.empty_like(tensor)
            else:
                self._multipliers[attribute] = multiplier
                self._dimension = extra.get("dimension")
                self._parameters[attribute] = Parameter(torch.empty_like(tensor))

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_core", "_log", "_session"):
            state.pop(name)
        state["_component"] = (self._component.name, self._component.bytes)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        component = state.pop("_component")
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._session = None
        self._bind(_lossmith.Component.from_bytes(*component), self.strategy)

    def _replicate_for_data_parallel(self) -> NoReturn:
        raise RuntimeError(
            f"{type(self).__name__} does not run in DataParallel, whose copies would share its parameters and buffers: "
            "wrap the network alone and compute the loss on what it returns, or use DistributedDataParallel"
        )

    def __prepare_scriptable__(self) -> NoReturn:
        given.not_scriptable()

    def prepare(
        self,
        dimension: int,
        classes: int | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """Makes the parameters that the first call would make, for embeddings of so many columns; returns the module.

        An optimizer can have them from the beginning then. A ValueError if they are there for another dimension.
        """
        whole(dimension, "dimension", 1)
        if self._multipliers and self._dimension not in (None, dimension):
            raise ValueError(
                f"the parameters were made for {self._dimension} columns, and dimension is {dimension}: make another "
                "module for it"
            )
        if dtype not in (torch.float32, torch.float64):
            raise TypeError(f"parameters are float32, also for embeddings of 16 bits, or float64, not {dtype}")
        if classes is not None:
            self.classes = whole(classes, "classes", 1)
        rows = plain(torch.zeros(4, dimension, device=device, dtype=dtype), "device")
        rows[:, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0])
        labels = torch.tensor([0, 0, 1, 1], device=device) % (self.classes or 2)
        with torch.enable_grad():
            called = self._compute(self._batch(rows.requires_grad_(), labels))
        new = [kept for kept in called.changed[0] if kept[2] is not None and kept[0] not in self._names.values()]
        self._keep(new)
        self._note_dimension(rows)
        return self

    # Calls

    def _batch(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        tuples: Tuples | None = None,
        thresholds: Sequence[float] | None = None,
        teacher: Tensor | None = None,
        feature_map: Tensor | None = None,
        teacher_feature_map: Tensor | None = None,
    ) -> _lossmith.Batch:
        if self.ROLE != "fusion":
            given.labels(labels, "labels")
        named = {"teacher": teacher, "feature_map": feature_map, "teacher_feature_map": teacher_feature_map}
        for name, tensor in named.items():
            if tensor is not None and not plain(tensor, name).is_floating_point():
                raise TypeError(f"{name} must be floats, not {tensor.dtype}: take {name}.float()")
        if not torch.is_grad_enabled():
            # A value without gradient is right then, also of embeddings that could have one.
            embeddings = embeddings.detach()
        classes, thresholds = self.classes or 0, given.thresholds(thresholds, self.slices)
        # By position: names cost a microsecond.
        return _lossmith.Batch(
            embeddings, labels, classes, self.slices, tuples, thresholds, teacher, feature_map, teacher_feature_map
        )

    def _usual(self, embeddings: Tensor, labels: Tensor | None) -> Any:
        """The value of a call with nothing but embeddings and labels that are what most are; else None.

        The extension sees at once what is looked at one by one otherwise. It is half of what a small call costs in
        Python.
        """
        if self._session is not None or self.gather:
            return None
        with self._turns.lock:
            classes, kept, progress = self.classes or 0, self._kept(), of_step(self.step)
            try:
                called = self._core.usual(embeddings, labels, classes, self.slices, kept, progress)
            except PluginError as error:
                self._explain(error, embeddings)
                raise
            return None if called is None else self._finish(called, embeddings)

    def _call(self, batch: _lossmith.Batch, *given: Any) -> Any:
        """One call: its value. What it keeps is the module's then."""
        with self._turns.lock:
            if self._session is None:
                return self._finish(self._compute(batch, *given), batch.embeddings)
            value = self._session._call(self, batch, given)
            self._note_dimension(batch.embeddings)
            return value

    def _compute(self, batch: _lossmith.Batch, *given: Any) -> _lossmith.Called:
        """What comes of a call. The module stays as it is."""
        try:
            called = self._core.call(batch, self._kept(), of_step(self.step), given or None)
        except PluginError as error:
            self._explain(error, batch.embeddings)
            raise
        return called

    def _finish(self, called: _lossmith.Called, embeddings: Tensor | None = None) -> Any:
        """Takes what came of a call of these ``embeddings``, and returns its value."""
        if called.changed[0]:
            self._keep(called.changed[0])
            if embeddings is not None:
                self._note_dimension(embeddings)
        # Not by `setattr`: that of a module looks for parameters and submodules first, which takes a microsecond each.
        fields = self.__dict__
        fields["step"] += 1
        fields["metrics"] = dict(called.metrics)
        for level, text in called.lines:
            self._log.log(_LEVELS[level], text)
        return called.value

    def _note_dimension(self, embeddings: Tensor) -> None:
        """Remembers for what width the parameters were made, in the call that made them."""
        if self._multipliers and self._dimension is None:
            self._dimension = embeddings.shape[1]

    def _explain(self, error: PluginError, embeddings: Tensor) -> None:
        """Says that an operation failed on embeddings of another width than the parameters were made for."""
        width = embeddings.shape[1]
        if error.cause == "operation" and self._multipliers and self._dimension not in (None, width):
            error._advise(
                f"its parameters were made for {self._dimension} columns, and the batch has {width}: give embeddings "
                f"of {self._dimension}, or make another module for {width}"
            )

    def _same(self) -> dict[str, Any]:
        """What must be the same on all ranks that compute one value."""
        return {
            "strategy": self.strategy,
            "component": self.hash,
            "parameters": self._core.params,
            "classes": self.classes,
            "slices": self.slices,
            "seed": self.seed,
            "step": self.step,
            "progress": told(),
        }

    def _warn_of_one(self, nothing: bool) -> None:
        """Says once that a batch of one embedding came, and ``nothing`` of it."""
        if nothing and not self._names and not self._warned_of_one:
            self._warned_of_one = True
            self._log.warning(
                "a batch of one embedding has no pairs, and nothing is learned of it; drop_last=True of the DataLoader "
                "leaves out a last batch of one"
            )


def _only(component: _lossmith.Component, role: str) -> str:
    """The name of the only strategy of a role."""
    names = [s["name"] for s in json.loads(component.strategies()) if s["role"] == role]
    if len(names) == 1:
        return str(names[0])
    if not names:
        has = sorted({s["role"] for s in json.loads(component.strategies())})
        raise ValueError(f"plugin `{component.name}` has no {role}: it has strategies of the role {', '.join(has)}")
    raise ValueError(f"plugin `{component.name}` has several of the role {role}, name one: {', '.join(names)}")


def documentation(description: Mapping[str, Any]) -> str:
    """The documentation of a strategy: its summary and its parameters."""
    lines = [description["summary"], ""]
    for parameter in description["params"]:
        name, default = keyword_of(parameter["name"]), parameter["default"]
        lines.append(f"{name}: {parameter['type']}, default {default!r}\n    {parameter['summary']}")
    return "\n".join(lines).rstrip()
