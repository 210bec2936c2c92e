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

    def add(self, guarded: Any) -> None:
        """Guards an object from the next boundary on."""
        if isinstance(guarded, StrategyModule) and guarded in self._modules:
            raise ValueError("a module of the session goes back by itself: guard the network and the optimizer")
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

    def restore(self, kept: list[tuple[Any, Any]]) -> list[str]:
        """Gives the objects their states back. Returns the types of those that have no copy, which stay as they are."""
        for guarded, state in kept:
            state = copy.deepcopy(state)
            if isinstance(guarded, torch.optim.Optimizer):
                _take_back_groups(guarded, len(state["param_groups"]))
            elif isinstance(guarded, Module):
                whole = guarded.state_dict()
                whole.update(state)
                state = whole
            try:
                guarded.load_state_dict(state)
            except Exception as error:
                raise SessionError(
                    f"the {type(guarded).__name__} that is guarded does not take its state back: {error}",
                    "give it the shapes and groups that it had at the last boundary; restore it from a checkpoint",
                ) from error
        return [type(guarded).__name__ for guarded in self._objects if not any(guarded is one for one, _ in kept)]

    def _state(self, guarded: Any) -> Any:
        """The state of an object, without what belongs to modules of the session inside of it."""
        state = guarded.state_dict()
        if not isinstance(guarded, Module):
            return state
        inside = [f"{name}." for name, module in guarded.named_modules() if module in self._modules]
        return {name: value for name, value in state.items() if not name.startswith(tuple(inside))}


def _take_back_groups(optimizer: torch.optim.Optimizer, count: int) -> None:
    """Takes groups out of an optimizer that were added later, for parameters that are not at work any more."""
    for group in optimizer.param_groups[count:]:
        for parameter in group["params"]:
            optimizer.state.pop(parameter, None)
    del optimizer.param_groups[count:]
