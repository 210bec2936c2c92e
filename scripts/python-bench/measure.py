"""Times of steps that take turns, in a process of their own."""

from __future__ import annotations

import json
import os
import resource
import statistics
import time
from collections.abc import Callable, Mapping

Step = Callable[[], object]
#: A round repeats each step until this has passed.
ROUND_SECONDS = 0.01
WARM_UP_STEPS = 10


def in_turns(steps: Mapping[str, Step], seconds: float) -> dict[str, list[float]]:
    """Microseconds of a step in each round, by name. All steps are in each round, so that all meet the same machine."""
    times = {}
    for name, step in steps.items():
        begun = time.perf_counter()
        for _ in range(WARM_UP_STEPS):
            step()
            if time.perf_counter() - begun > 1:
                break
        begun = time.perf_counter()
        step()
        times[name] = max(1, round(ROUND_SECONDS / (time.perf_counter() - begun)))
    found: dict[str, list[float]] = {name: [] for name in steps}
    first = next(iter(found.values()))
    begun = time.perf_counter()
    while len(first) < 3 or time.perf_counter() - begun < seconds:
        for name, step in steps.items():
            before = time.perf_counter()
            for _ in range(times[name]):
                step()
            found[name].append((time.perf_counter() - before) / times[name] * 1e6)
    return found


def ratio(ours: list[float], theirs: list[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def resident_megabytes() -> float:
    """The resident memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def in_child(work: Callable[[], object], gigabytes: float) -> object:
    """What ``work`` returns in a forked process that may take so much memory more; it must be JSON."""
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(source)
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        limit = pages * resource.getpagesize() + int(gigabytes * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            result = {"result": work()}
        except Exception as error:
            result = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        with os.fdopen(sink, "w") as file:
            json.dump(result, file)
        os._exit(0)
    os.close(sink)
    with os.fdopen(source) as file:
        text = file.read()
    os.waitpid(child, 0)
    if not text:
        raise RuntimeError("a measurement ended its process")
    found = json.loads(text)
    if "error" in found:
        raise RuntimeError(found["error"])
    return found["result"]
