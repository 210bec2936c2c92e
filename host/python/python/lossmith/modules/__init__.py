"""The six roles as modules of PyTorch.

==========================================  ========================
``strategy``                                what all six roles have in common
``loss``, ``miner``, ``transfer``,          one role each
``balance``, ``schedule``, ``fusion``
``calls``                                   what every call does before its strategy computes
==========================================  ========================
"""

from lossmith.modules.balance import Balance, PairLosses
from lossmith.modules.calls import eager, full_precision, without_autocast
from lossmith.modules.fusion import Fusion
from lossmith.modules.loss import Loss
from lossmith.modules.miner import Miner
from lossmith.modules.schedule import Schedule
from lossmith.modules.strategy import StrategyModule, documentation
from lossmith.modules.transfer import Transfer

__all__ = [
    "Balance",
    "Fusion",
    "Loss",
    "Miner",
    "PairLosses",
    "Schedule",
    "StrategyModule",
    "Transfer",
    "documentation",
    "eager",
    "full_precision",
    "without_autocast",
]
