"""A small training of a small network, for the tests of sessions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import lossmith


class Loop:
    """Four classes of points in 8 dimensions, a network to 4, and one batch after the other."""

    def __init__(self, loss: Callable[..., Tensor], miner: lossmith.Miner | None = None) -> None:
        generator = torch.Generator().manual_seed(7)
        self.loss, self.miner, self.session = loss, miner, None
        self.network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
        self.labels = torch.arange(16) % 4
        centres = torch.randn(4, 8, generator=generator)
        self.images = centres[self.labels] + torch.randn(16, 8, generator=generator) * 0.3
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.05, momentum=0.9)

    def step(self) -> float:
        """One step, and the loss before it."""
        self.optimizer.zero_grad()
        embeddings = self.network(self.images)
        given = (self.miner(embeddings, self.labels),) if self.miner is not None else ()
        value = self.loss(embeddings, self.labels, *given)
        value.backward()
        self.optimizer.step()
        if self.session is not None:
            self.session.step()
        return value.item()

    def steps(self, count: int) -> list[float]:
        """So many steps."""
        return [self.step() for _ in range(count)]

    def begin(self, *modules: nn.Module, **settings: object) -> lossmith.Session:
        """A session of the loop's modules, with the network and the optimizer guarded."""
        given = modules or tuple(module for module in (self.loss, self.miner) if module is not None)
        self.session = lossmith.Session(*given, **{"watch": False, **settings})
        self.session.guard(self.network, self.optimizer)
        return self.session

    def weights(self) -> list[Tensor]:
        """Copies of the network's weights and of the optimizer's memory."""
        memory = [state["momentum_buffer"] for state in self.optimizer.state.values()]
        return [tensor.detach().clone() for tensor in (*self.network.parameters(), *memory)]


def same(some: list[Tensor], others: list[Tensor]) -> bool:
    """Whether these are the same numbers, to the last bit."""
    return len(some) == len(others) and all(torch.equal(a, b) for a, b in zip(some, others))


def checked(session: lossmith.Session) -> lossmith.Candidate:
    """The last candidate, when its check is over."""
    assert session.wait(120)
    return session.candidates[-1]
