"""What is asked for in a session, and what a module is bound to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lossmith import _lossmith
from lossmith.modules.strategy import StrategyModule, _only
from lossmith.session.report import Candidate


@dataclass(frozen=True)
class Binding:
    """A strategy of a component with its parameters, for a module."""

    source: str
    component: _lossmith.Component
    strategy: str
    given: Mapping[str, Any]
    core: _lossmith.Strategy

    @classmethod
    def of(cls, module: StrategyModule) -> Binding:
        """What a module is bound to."""
        return cls(module.source, module._component, module.strategy, module._given, module._core)

    @classmethod
    def new(
        cls,
        module: StrategyModule,
        source: str,
        component: _lossmith.Component,
        strategy: str,
        given: Mapping[str, Any],
    ) -> Binding:
        """Another strategy for a module. A `PluginError` if the component has none of that name, or a parameter is
        wrong."""
        core = _lossmith.Strategy(component, module.ROLE, strategy, given, module.seed, module._limits)
        return cls(source, component, strategy, given, core)

    def with_parameter(self, module: StrategyModule, name: str, value: Any) -> Binding:
        """The same strategy with another value of a parameter."""
        return Binding.new(module, self.source, self.component, self.strategy, {**self.given, name: value})

    @property
    def parameters(self) -> list[str]:
        """The names of the strategy's parameters."""
        return list(json.loads(self.core.params))

    def take(self, module: StrategyModule) -> None:
        """Binds a module to it. What the module keeps stays."""
        module.source, module._given = self.source, dict(self.given)
        module._bind(self.component, self.strategy)

    @property
    def identity(self) -> tuple[str, str, str]:
        """What tells it from another one: component, strategy and values."""
        return self.component.hash, self.strategy, self.core.params


#: What the modules of a session are bound to.
Bindings = dict[StrategyModule, Binding]


@dataclass
class Wish:
    """What a module is to be bound to: it is loaded, and built, again whenever its source changes.

    The source is a bare name or an absolute path: a loop may change its folder.
    """

    source: str
    #: None: the only strategy of the role, or the one that has the name of the module's now.
    strategy: str | None
    given: Mapping[str, Any]

    def load(self, module: StrategyModule, name: str, under_way: _lossmith.UnderWay) -> Binding:
        """Loads it. ``name`` is the module's strategy now."""
        component = _lossmith.Component.load(self.source, under_way)
        strategy = self.strategy
        if strategy is None:
            described = json.loads(component.strategies())
            same = any((s["role"], s["name"]) == (module.ROLE, name) for s in described)
            strategy = name if same else _only(component, module.ROLE)
        return Binding.new(module, self.source, component, strategy, self.given)


@dataclass
class Request:
    """Something that was asked for: a value of a parameter, a component, or a shadow in its loss's place."""

    candidate: Candidate
    #: Values by parameter of a module, which keeps its component.
    values: dict[StrategyModule, dict[str, Any]] = field(default_factory=dict)
    #: Components to load.
    wishes: dict[StrategyModule, Wish] = field(default_factory=dict)
    #: The name of the shadow.
    promoted: str | None = None
    #: Names of tensors that may begin anew, by module.
    reset: Mapping[StrategyModule, Sequence[str]] = field(default_factory=dict)
    #: Modules that it is about.
    modules: tuple[StrategyModule, ...] = ()

    def bindings(self, base: Bindings, under_way: _lossmith.UnderWay) -> Bindings:
        """What all modules would be bound to, when ``base`` is what they are bound to otherwise."""
        wanted = dict(base)
        for module, wish in self.wishes.items():
            wanted[module] = wish.load(module, base[module].strategy, under_way)
        for module, values in self.values.items():
            for name, value in values.items():
                wanted[module] = wanted[module].with_parameter(module, name, value)
        return wanted


def located(source: str) -> str:
    """A source wherever the loop goes: the absolute path of a file or folder; a bare name stays."""
    path = Path(source)
    is_folder = any((path / file).is_file() for file in ("Cargo.toml", "plugin.toml"))
    is_bare = path.name == source and not path.suffix and not is_folder
    return source if is_bare else os.path.abspath(path)
