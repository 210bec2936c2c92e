"""One call after the other."""

from __future__ import annotations

import os
import threading


class Turns:
    """A lock for the calls of a module: each goes on from what the one before it kept. A copy is a lock of its own.

    A forked process takes none: the thread that had it may not be there, and the extension refuses calls in it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()

    def __enter__(self) -> None:
        if os.getpid() == self._process:
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        if os.getpid() == self._process:
            self._lock.release()

    def __reduce__(self) -> tuple[type[Turns], tuple[()]]:
        return Turns, ()
