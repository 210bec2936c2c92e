"""Names of parameters as keywords of Python."""

from __future__ import annotations

import keyword

#: Keywords of the modules themselves.
_TAKEN = frozenset({"self", "plugin", "strategy", "balance", "classes", "slices", "seed", "limits", "gather"})


def keyword_of(parameter: str) -> str:
    """``negative_margin`` for ``negative-margin``; ``lambda_`` and ``seed_`` where the name is taken."""
    name = parameter.replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) or name in _TAKEN else name


def parameter_of(name: str) -> str:
    """The parameter that a keyword is."""
    return name.removesuffix("_").replace("_", "-")
