"""Names of parameters as keywords of Python."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from typing import Any

#: Keywords of the modules themselves.
_TAKEN = frozenset({"self", "plugin", "strategy", "balance", "classes", "slices", "seed", "limits", "gather"})


def keyword_of(parameter: str) -> str:
    """``negative_margin`` for ``negative-margin``; ``lambda_`` and ``seed_`` where the name is taken."""
    name = parameter.replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) or name in _TAKEN else name


def parameter_of(name: str) -> str:
    """The parameter that a keyword is."""
    return name.removesuffix("_").replace("_", "-")


def parameters_of(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that keywords are. A TypeError if two are the same one."""
    given: dict[str, Any] = {}
    for name, value in keywords.items():
        parameter = parameter_of(name)
        if parameter in given:
            raise TypeError(f"the parameter `{parameter}` is given twice: leave out all but {keyword_of(parameter)}=")
        given[parameter] = value
    return given
