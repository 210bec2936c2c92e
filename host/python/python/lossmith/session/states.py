"""Copies of what modules and guarded objects keep, and the way back to them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from lossmith.errors import SessionError
from lossmith.modules import StrategyModule
from lossmith.session.records import LOG
from lossmith.session.requests import Binding
from lossmith.session.terms import Caller


class ModuleState:
    """A module as it is: its strategy, and copies of what it keeps."""

    def __init__(self, module: StrategyModule) -> None:
        self.binding, self.classes = Binding.of(module), module.classes
        self.names, self.multipliers = dict(module._names), dict(module._multipliers)
        #: The very parameters, which an optimizer has, with copies of their numbers.
        self.parameters: dict[str, tuple[Parameter, Tensor]] = {}
        self.buffers: dict[str, Tensor] = {}
        for attribute in self.names:
            if attribute in self.multipliers:
                parameter = module.get_parameter(attribute)
                self.parameters[attribute] = parameter, parameter.detach().clone()
            else:
                self.buffers[attribute] = module.get_buffer(attribute).clone()

    def put_back(self, module: StrategyModule, last: ModuleState) -> None:
        """Makes the module what it was. ``last`` is a later copy, whose numbers are taken where they belong to the
        same."""
        for attribute in module._names:
            module._parameters.pop(attribute, None)
            module._buffers.pop(attribute, None)
        module._names, module._multipliers = dict(self.names), dict(self.multipliers)
        module.classes = self.classes
        for attribute, (parameter, numbers) in self.parameters.items():
            later = last.parameters.get(attribute)
            if later is not None and later[0] is parameter:
                numbers = later[1]
            # Of `data`: the graph of another call of this step may have the parameter in it.
            parameter.data.copy_(numbers)
            module._parameters[attribute] = parameter
        for attribute, numbers in self.buffers.items():
            of_last = last.buffers.get(attribute)
            if of_last is not None and (of_last.shape, of_last.dtype) == (numbers.shape, numbers.dtype):
                numbers = of_last
            module._buffers[attribute] = numbers.clone()
        self.binding.take(module)


class Copies:
    """The modules of a session, how many calls they had, and what is guarded, as they were at a boundary."""

    def __init__(
        self, modules: Iterable[StrategyModule], callers: Iterable[Caller], guards: Guards, epochs: int
    ) -> None:
        self._modules = {module: ModuleState(module) for module in modules}
        self._steps = {caller: caller.step for caller in callers}
        self.guarded, self.epochs = guards.copy(), epochs

    def has(self, parameter: Parameter) -> bool:
        """Whether this very parameter was there."""
        return any(parameter is known for state in self._modules.values() for known, _ in state.parameters.values())

    def put_back(self, last: Copies) -> None:
        """Makes the modules what they were, with the numbers of later copies where they belong to the same."""
        for module, state in self._modules.items():
            state.put_back(module, last._modules[module])
        for caller, steps in last._steps.items():
            caller.step = steps


def copies(kept: Iterable[tuple[str, Tensor, float | None]]) -> list[tuple[str, Tensor, float | None]]:
    """Copies of parameters and buffers, for a check in the background."""
    return [(name, tensor.detach().clone(), multiplier) for name, tensor, multiplier in kept]


def forget(module: StrategyModule, names: Iterable[str]) -> None:
    """Drops parameters and buffers of a strategy: they begin anew."""
    for attribute in [attribute for attribute, name in module._names.items() if name in names]:
        module._names.pop(attribute)
        module._multipliers.pop(attribute, None)
        module._parameters.pop(attribute, None)
        module._buffers.pop(attribute, None)


def parameters_of(module: StrategyModule) -> dict[str, Parameter]:
    """The parameters of a module's strategy, by the strategy's names."""
    return {module._names[attribute]: module.get_parameter(attribute) for attribute in module._multipliers}


class Guards:
    """Objects of the loop that are restored after a rollback: networks, optimizers, schedulers."""

    def __init__(self, modules: Iterable[StrategyModule]) -> None:
        self._modules = set(modules)
        self._objects: list[Any] = []
        #: Those that did not take their state back, with it, and what was gone then.
        self._due: list[tuple[Any, Any]] = []
        self._gone: set[Parameter] = set()

    def add(self, guarded: Any) -> None:
        """Guards an object from the next boundary on."""
        if isinstance(guarded, StrategyModule) and guarded in self._modules:
            raise ValueError("a module of the session goes back by itself: guard the network and the optimizer")
        if isinstance(guarded, type):
            raise TypeError(f"{guarded.__name__} is a class and cannot be guarded: guard an object of it")
        if not all(callable(getattr(guarded, name, None)) for name in ("state_dict", "load_state_dict")):
            raise TypeError(
                f"{type(guarded).__name__} cannot be guarded: it has no state_dict and load_state_dict, as networks, "
                "optimizers and schedulers have"
            )
        if not any(guarded is known for known in self._objects):
            self._objects.append(guarded)

    def copy(self) -> list[tuple[Any, Any]]:
        """The objects, each with a copy of its state."""
        return [(guarded, copy.deepcopy(self._state(guarded))) for guarded in self._objects]

    def promise(self, kept: list[tuple[Any, Any]]) -> str:
        """What becomes of the objects of a loop after a rollback, in words."""
        if not kept:
            return "nothing is guarded: networks and optimizers stay as they are"
        types = ", ".join(type(guarded).__name__ for guarded, _ in kept)
        return f"{types} will be as at the last boundary at the next step() or boundary()"

    def restore(self, kept: list[tuple[Any, Any]], gone: set[Parameter]) -> list[str]:
        """Gives the objects their states back; ``gone`` are parameters that are not at work any more.

        Returns the types of those that have no copy, which stay as they are. A `SessionError` names those that do not
        take their state back; the others have theirs, and `restore_due` tries these again.
        """
        self._due, self._gone = kept, gone
        failed = self._restore()
        if failed:
            raise SessionError(
                "; ".join(f"the {name} that is guarded does not take its state back: {why}" for name, why in failed),
                "give it the shapes and groups that it had at the last boundary, and it is tried once more at the next "
                "one; or restore it from a checkpoint",
            ) from failed[0][1]
        return [type(guarded).__name__ for guarded in self._objects if not any(guarded is one for one, _ in kept)]

    def restore_due(self) -> bool:
        """Tries once more those that did not take their state back. Returns whether one does."""
        due = len(self._due)
        failed = self._restore()
        for name, error in failed:
            LOG.warning("the %s that is guarded stays as it is, and is not tried again: %s", name, error)
        self._due = []
        return len(failed) < due

    def _restore(self) -> list[tuple[str, Exception]]:
        """Gives the objects that are due their states back, one after the other. Returns what the others say."""
        due, self._due = self._due, []
        failed: list[tuple[str, Exception]] = []
        for guarded, state in due:
            try:
                _give_back(guarded, copy.deepcopy(state), self._gone)
            except Exception as error:
                failed.append((type(guarded).__name__, error))
                self._due.append((guarded, state))
        return failed

    def _state(self, guarded: Any) -> Any:
        """The state of an object, without what belongs to modules of the session inside of it."""
        state = guarded.state_dict()
        if not isinstance(guarded, Module):
            return state
        inside = [f"{name}." for name, module in guarded.named_modules() if module in self._modules]
        return {name: value for name, value in state.items() if not name.startswith(tuple(inside))}


def _give_back(guarded: Any, state: Any, gone: set[Parameter]) -> None:
    """Gives an object its state back."""
    if isinstance(guarded, torch.optim.Optimizer):
        _give_back_optimizer(guarded, state, gone)
        return
    if isinstance(guarded, Module):
        state = {**guarded.state_dict(), **state}
    guarded.load_state_dict(state)


def _give_back_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any], gone: set[Parameter]) -> None:
    """Gives an optimizer its state back. Groups that were added later stay as they are, without what is gone."""
    count, name = len(state["param_groups"]), type(optimizer).__name__
    added = optimizer.param_groups[count:]
    kept = [parameter for group in added for parameter in group["params"] if parameter not in gone]
    memory = {parameter: optimizer.state[parameter] for parameter in kept if parameter in optimizer.state}
    del optimizer.param_groups[count:]
    try:
        optimizer.load_state_dict(state)
    except Exception:
        optimizer.param_groups.extend(added)
        raise
    optimizer.state.update(memory)
    out = 0
    for group in added:
        places = [place for place, parameter in enumerate(group["params"]) if parameter not in gone]
        out += len(group["params"]) - len(places)
        for key in ("params", "param_names"):
            if key in group:
                group[key] = [group[key][place] for place in places]
        if group["params"]:
            optimizer.param_groups.append(group)
    if out:
        LOG.warning("%d parameters of the strategies that failed were taken out of the %s", out, name)
    if kept:
        LOG.warning(
            "the %s keeps %d parameters in groups that were added after the last boundary: they and their state are as "
            "they were, and not as at the boundary", name, len(kept),
        )
