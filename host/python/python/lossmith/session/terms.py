"""On which batches candidates are tried out, and together with which other strategies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lossmith import _lossmith
from lossmith.modules import Loss, Miner, StrategyModule, Transfer
from lossmith.objective import Objective

#: What a loop calls.
Caller = StrategyModule | Objective


@dataclass(frozen=True)
class Term:
    """Strategies that make one value, on the batches that ``caller`` is called with."""

    caller: Caller
    members: tuple[StrategyModule, ...]
    weight: float = 1.0
    on: str = "embedding"
    #: Whether a call of the caller calls all members; if not, the last one is called by itself.
    with_caller: bool = True

    def objective(self, cores: Sequence[_lossmith.Strategy]) -> _lossmith.Objective:
        """The term with these strategies in place of its members'."""
        return _lossmith.Objective(list(cores), self.weight, self.on)


def members(given: Caller) -> tuple[StrategyModule, ...]:
    """The strategies that come with something that a session is given."""
    if isinstance(given, Objective):
        return tuple(given.strategies)
    if isinstance(given, Transfer) and given.balance is not None:
        return given, given.balance
    return (given,)


def terms(given: Sequence[Caller]) -> list[Term]:
    """The terms of a session's modules. A miner by itself is tried with the loss, where there is one."""
    found = []
    for module in given:
        if isinstance(module, Objective):
            found.append(Term(module, members(module), module.weight, module.on))
        elif isinstance(module, (Loss, Transfer)):
            found.append(Term(module, members(module)))
    losses = [module for module in given if isinstance(module, Loss)]
    if len(losses) == 1:
        miners = [module for module in given if isinstance(module, Miner)]
        found += [Term(losses[0], (losses[0], miner), with_caller=False) for miner in miners]
    return found


def slots(given: Sequence[Caller]) -> dict[StrategyModule, str]:
    """The names of the strategies in the journal, as an experiment has them: ``objective.0.loss``, ``fusion``."""
    numbers: list[set[str]] = []
    found: dict[StrategyModule, str] = {}
    first_of_term = [isinstance(module, (Objective, Loss, Transfer)) for module in given]
    for module, begins in sorted(zip(given, first_of_term), key=lambda pair: not pair[1]):
        roles = {member.ROLE for member in members(module)}
        free = (number for number, there in enumerate(numbers) if not roles & there)
        number = len(numbers) if begins else next(free, len(numbers))
        if number == len(numbers):
            numbers.append(set())
        numbers[number] |= roles
        for member in members(module):
            fusions = sum(name.startswith("fusion") for name in found.values())
            fusion = "fusion" if fusions == 0 else f"fusion.{fusions}"
            found[member] = fusion if member.ROLE == "fusion" else f"objective.{number}.{member.ROLE}"
    return found
