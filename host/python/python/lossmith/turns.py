"""One call after the other."""

from __future__ import annotations

import os
import threading


class Turns:
    """A lock for the calls of a module: each goes on from what the one before it kept. A copy is a lock of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()

    @property
    def lock(self) -> threading.Lock:
        """What a call holds. An interrupt cannot come between taking it and the body of ``with``.

        In a forked process it is free: the thread that held it is not there, and the extension refuses the call.
        """
        return self._lock if os.getpid() == self._process else threading.Lock()

    def __reduce__(self) -> tuple[type[Turns], tuple[()]]:
        return Turns, ()
