"""What Jupyter, `help` and a type checker show."""

from __future__ import annotations

import ast
import inspect
import pydoc
from pathlib import Path

import pytest

import lossmith
from lossmith import Loss, Transfer, _lossmith
from lossmith.names import keyword_of, parameter_of

PACKAGE = Path(lossmith.__file__).parent
ALL = lossmith.strategies()


@pytest.mark.parametrize("info", ALL, ids=lambda info: f"{info.role}-{info.name}")
def test_a_strategy_shows_its_parameters_with_types_and_defaults(info):
    signature = inspect.signature(info)
    assert signature.return_annotation is getattr(lossmith, info.role.capitalize())
    for described in info.parameters:
        name = keyword_of(described["name"])
        parameter = signature.parameters[name]
        assert parameter.default == described["default"]
        assert type(described["default"]) in (parameter.annotation, int)
        assert f"{name}: {described['type']}, default {described['default']!r}" in info.__doc__
        assert described["summary"] in info.__doc__
    assert info.__doc__.startswith(info.summary)
    assert len(signature.parameters) == len(info.parameters)


def test_a_strategy_makes_its_module():
    (info,) = [info for info in lossmith.strategies("losses") if info.name == "contrastive"]
    loss = info(negative_margin=0.8)
    assert isinstance(loss, Loss)
    assert loss.params["negative-margin"] == 0.8
    assert repr(loss) == 'Loss("losses", "contrastive", negative_margin=0.8)'
    assert loss.__doc__ == info.__doc__


def test_a_parameter_whose_name_is_taken_has_an_underscore_behind_it():
    balance = lossmith.Balance("balances", "mean", lambda_=0.3)
    assert balance.params["lambda"] == 0.3
    assert repr(balance) == 'Balance("balances", "mean", lambda_=0.3)'
    assert keyword_of("seed") == "seed_" and parameter_of("seed_") == "seed"


def test_strategies_can_be_listed_by_plugin_and_role(guest):
    assert {info.role for info in ALL} == {"loss", "miner", "transfer", "balance", "schedule", "fusion"}
    assert {info.plugin for info in lossmith.strategies(role="miner")} == {"miners"}
    assert {info.name for info in lossmith.strategies("rankings")} == {"fast-ap", "smooth-ap", "histogram"}
    assert "noise" in {info.name for info in lossmith.strategies(guest("roles"), role="loss")}
    with pytest.raises(ValueError, match="the roles are loss, miner"):
        lossmith.strategies(role="losses")


def test_classes_and_their_calls_are_documented():
    public = [getattr(lossmith, name) for name in lossmith.__all__]
    for thing in public:
        assert thing.__doc__, thing
        shown = pydoc.plain(pydoc.render_doc(thing))
        assert thing.__doc__.splitlines()[0] in shown
    for module in (
        Loss,
        Transfer,
        lossmith.Miner,
        lossmith.Balance,
        lossmith.Schedule,
        lossmith.Fusion,
        lossmith.Objective,
    ):
        assert module.forward.__doc__
        assert all(
            p.annotation is not p.empty
            for p in inspect.signature(module.__init__).parameters.values()
            if p.name != "self"
        )


def test_a_call_has_the_signature_of_pytorch_metric_learning():
    names = list(inspect.signature(Loss.forward).parameters)
    assert names[:6] == ["self", "embeddings", "labels", "indices_tuple", "ref_emb", "ref_labels"]


def test_the_stubs_have_what_the_extension_has():
    stubs = {
        node.name: node for node in ast.parse((PACKAGE / "_lossmith.pyi").read_text()).body if hasattr(node, "name")
    }
    there = {name: value for name, value in vars(_lossmith).items() if not name.startswith("_")}
    assert set(stubs) == set(there)
    for name, stub in stubs.items():
        if isinstance(stub, ast.ClassDef):
            written = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
            of_python = {member for member in written if member.startswith("_")}
            assert of_python <= vars(there[name]).keys(), name
            assert written - of_python == {member for member in vars(there[name]) if not member.startswith("_")}, name


def test_the_package_tells_type_checkers_that_it_is_typed():
    assert (PACKAGE / "py.typed").exists()
