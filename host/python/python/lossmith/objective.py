"""Several strategies as one term: what an ``[[objective]]`` of an experiment is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from torch import Tensor
from torch.nn import Module

from lossmith import _lossmith
from lossmith.distributed import gathered
from lossmith.errors import PluginError
from lossmith.extra_state import packed, unpacked
from lossmith.given import boolean, not_scriptable
from lossmith.modules import Balance, Fusion, Loss, Miner, Schedule, StrategyModule, Transfer
from lossmith.modules.calls import eager, full_precision, without_autocast
from lossmith.modules.strategy import _LEVELS
from lossmith.training import of_step
from lossmith.turns import Turns

if TYPE_CHECKING:
    from lossmith.session import Session


class Objective(Module):
    """A loss, or a transfer with its balance, with the schedule and the miner that choose its thresholds and tuples.

    It computes what the trainer computes for an ``[[objective]]`` of the same strategies, to the last bit. ``on`` is
    what it is computed on: the ``"embedding"``, what the fusion makes of it (``"fused"``), or that without gradient
    into the network (``"fused-only"``). ``weight`` is the factor of its value. With ``gather=True`` it is computed on
    the rows of all ranks: see ``lossmith.distributed``.
    """

    def __init__(
        self,
        loss: Loss | None = None,
        *,
        transfer: Transfer | None = None,
        balance: Balance | None = None,
        miner: Miner | None = None,
        schedule: Schedule | None = None,
        fusion: Fusion | None = None,
        weight: float = 1.0,
        on: str = "embedding",
        gather: bool = False,
    ) -> None:
        super().__init__()
        wanted = {
            "loss": Loss,
            "transfer": Transfer,
            "balance": Balance,
            "miner": Miner,
            "schedule": Schedule,
            "fusion": Fusion,
        }
        if transfer is not None and transfer.balance is not None:
            balance = balance or transfer.balance
        given = {
            "loss": loss,
            "transfer": transfer,
            "balance": balance,
            "miner": miner,
            "schedule": schedule,
            "fusion": fusion,
        }
        for role, module in given.items():
            if module is not None and not isinstance(module, wanted[role]):
                raise TypeError(f"{role} must be a lossmith.{wanted[role].__name__}, not {type(module).__name__}")
            setattr(self, role, module)
        if on != "embedding" and fusion is None:
            raise ValueError(f'on="{on}" needs a fusion')
        if (loss is None) == (transfer is None):
            raise ValueError("an objective needs either a loss or a transfer")
        if balance is not None and transfer is None:
            raise ValueError("a balance weighs the pair losses of a transfer: give one")
        if any(module.gather for module in self.strategies):
            raise ValueError("an objective gathers as a whole: give gather=True to Objective, not to what it has")
        self.weight, self.on, self.gather = weight, on, boolean(gather, "gather")
        self.metrics: dict[str, Tensor | float] = {}
        self.step = 0
        self._turns = Turns()
        self._session: Session | None = None
        self._core: tuple[list[_lossmith.Strategy], _lossmith.Objective] | None = None
        self._bound()

    @property
    def strategies(self) -> list[StrategyModule]:
        """The modules that it has."""
        roles = ("loss", "transfer", "balance", "miner", "schedule", "fusion")
        return [module for module in (getattr(self, role) for role in roles) if module is not None]

    @property
    def session(self) -> Session | None:
        """The session that it belongs to; None if it is free."""
        return self._session

    def _bound(self) -> _lossmith.Objective:
        """The objective of the strategies at work: they can be exchanged at any time."""
        cores = [module._core for module in self.strategies]
        known = [] if self._core is None else self._core[0]
        if self._core is None or len(cores) != len(known) or any(a is not b for a, b in zip(cores, known)):
            self._core = cores, _lossmith.Objective(cores, self.weight, self.on)
        return self._core[1]

    @eager
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        teacher: Tensor | None = None,
        feature_map: Tensor | None = None,
        teacher_feature_map: Tensor | None = None,
    ) -> Tensor:
        """The value of a batch, times the weight."""
        modules = self.strategies
        first = modules[0]
        if self.gather:
            rows = gathered(
                {
                    "embeddings": embeddings,
                    "labels": labels,
                    "teacher": teacher,
                    "feature_map": feature_map,
                    "teacher_feature_map": teacher_feature_map,
                },
                {f"{module.ROLE}: {name}": value for module in modules for name, value in module._same().items()},
            )
            embeddings, labels, teacher, feature_map, teacher_feature_map = rows.values()
        embeddings = full_precision(embeddings)
        with without_autocast(embeddings):
            batch = first._batch(
                embeddings, labels, teacher=teacher, feature_map=feature_map, teacher_feature_map=teacher_feature_map
            )
            return self._call(batch)

    def _call(self, batch: _lossmith.Batch) -> Tensor:
        """One call: its value. What the strategies keep is the modules' then."""
        with self._turns.lock:
            if self._session is None:
                return self._finish(self._compute(batch), batch.embeddings)
            value: Tensor = self._session._call(self, batch)
            for module in self.strategies:
                self._note_dimension(module, batch.embeddings)
            return value

    def _compute(self, batch: _lossmith.Batch) -> _lossmith.Called:
        """What comes of a call. The modules stay as they are."""
        try:
            return self._bound().compute(batch, [module._kept() for module in self.strategies], of_step(self.step))
        except PluginError as error:
            for module in self.strategies:
                if module.ROLE == error.role and self.fusion is None:
                    module._explain(error, batch.embeddings)
            raise

    def _note_dimension(self, module: StrategyModule, embeddings: Tensor) -> None:
        """Lets a module remember for what width its parameters were made: behind a fusion not that of the batch."""
        if self.fusion is None:
            module._note_dimension(embeddings)

    def _finish(self, called: _lossmith.Called, embeddings: Tensor | None = None) -> Tensor:
        """Takes what came of a call of these ``embeddings``, and returns its value."""
        self.step += 1
        for module, changed in zip(self.strategies, called.changed, strict=True):
            module.step = self.step
            if changed:
                module._keep(changed)
                if embeddings is not None:
                    self._note_dimension(module, embeddings)
        self.metrics = dict(called.metrics)
        for level, text in called.lines:
            self.strategies[0]._log.log(_LEVELS[level], text)
        value: Tensor = called.value
        return value

    def __prepare_scriptable__(self) -> NoReturn:
        not_scriptable()

    def get_extra_state(self) -> Tensor:
        """What a state dict has besides tensors."""
        return packed({"step": self.step})

    def set_extra_state(self, state: Tensor) -> None:
        """Takes what a state dict has besides tensors."""
        self.step = unpacked(state)["step"]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_core": None, "_session": None}
