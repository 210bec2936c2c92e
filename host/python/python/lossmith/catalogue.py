"""What strategies there are."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, field
from typing import Any

from lossmith import _lossmith, modules
from lossmith.names import keyword_of

_MODULES = {
    module.ROLE: module
    for module in (modules.Loss, modules.Miner, modules.Transfer, modules.Balance, modules.Schedule, modules.Fusion)
}
_TYPES = {"number": float, "integer": int, "boolean": bool, "text": str, "numbers": list}


@dataclass(frozen=True)
class StrategyInfo:
    """A strategy of a plugin. Calling it with parameters makes the module."""

    plugin: str
    role: str
    name: str
    summary: str
    #: Each has ``name``, ``summary``, ``type``, ``default``, and bounds or choices.
    parameters: list[dict[str, Any]] = field(repr=False)

    def __call__(self, **params: Any) -> modules.StrategyModule:
        return _MODULES[self.role](self.plugin, self.name, **params)

    @property
    def __doc__(self) -> str:  # type: ignore[override]  # that of the strategy, not of this class
        return modules.documentation({"summary": self.summary, "params": self.parameters})

    @property
    def __signature__(self) -> inspect.Signature:
        def parameter(described: dict[str, Any]) -> inspect.Parameter:
            name = keyword_of(described["name"])
            kind = inspect.Parameter.KEYWORD_ONLY
            return inspect.Parameter(name, kind, default=described["default"], annotation=_TYPES[described["type"]])

        return inspect.Signature([parameter(p) for p in self.parameters], return_annotation=_MODULES[self.role])


def strategies(plugin: str | None = None, role: str | None = None) -> list[StrategyInfo]:
    """All strategies of the standard plugins, or of one ``plugin`` (a bare name, a component, a folder).

    With ``role`` those of one role.
    """
    found = []
    for name in [plugin] if plugin is not None else _lossmith.standard_names():
        for s in json.loads(_lossmith.Component.load(name).strategies()):
            found.append(StrategyInfo(str(name), s["role"], s["name"], s["summary"], s["params"]))
    if role is not None and role not in _MODULES:
        raise ValueError(f'there is no role "{role}": the roles are {", ".join(_MODULES)}')
    return [info for info in found if role in (None, info.role)]
