"""Times the modules of the Python package, against the command and against pytorch-metric-learning: one table.

    .python/bin/python scripts/python-bench/table.py --command target/debug/lossmith

OMP_NUM_THREADS sets the threads of both. float32 on the CPU, normal random embeddings, four images a class, defaults;
proxies of 100 classes. Steps take turns: a figure is the median of the rounds, a ratio the median of their ratios. Each
case has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))
from measure import Step, in_child, in_turns, ratio, resident_megabytes
from theirs import CLASSES, IMAGES, LOSSES, PROXY_LOSSES

import lossmith

SIZES = [(32, 64), (120, 512), (512, 512), (1024, 128)]
#: Calls against the command: small ones, where what Python adds can be seen. A schedule computes next to nothing.
CALLS = [
    (lossmith.Schedule, "schedules", "constant"),
    (lossmith.Miner, "miners", "batch-hard"),
    (lossmith.Loss, "losses", "contrastive"),
    (lossmith.Loss, "losses", "multi-similarity"),
]
CALL_SIZES = [(32, 64), (120, 64)]
#: Ours with the defaults of theirs.
PARAMETERS = {"proxy-nca": {"scale": 1.0}, "soft-triple": {"centers": 10}}
#: Of vicreg theirs compares two views and ours the images of a class; the memory is a wrapper of theirs.
LEFT_OUT = {"vicreg", "cross-batch-memory"}
COMMON = {
    "contrastive", "triplet", "multi-similarity", "sup-con", "nt-xent", "proxy-anchor", "arc-face", "circle", "margin",
    "proxy-nca", "normalized-softmax", "cos-face", "soft-triple",
}
#: Microseconds of a step of theirs that is not repeated.
LONG = 2e6
#: Most microseconds that a call may take longer than in the command, and milliseconds of the import after torch.
CALL_TARGET, IMPORT_TARGET = 15, 60
#: Largest ratio to theirs: everywhere, and from this batch on for the common losses.
EVERYWHERE, COMMON_TARGET, COMMON_FROM = 1.0, 0.8, 120


def batch(size: int, dimension: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(size, dimension, requires_grad=True), torch.arange(size) // IMAGES


def loss_step(loss: torch.nn.Module, embeddings: torch.Tensor, labels: torch.Tensor) -> Step:
    """A call with its backward pass, to the embeddings and to the loss's parameters."""
    loss(embeddings, labels)
    learning = [embeddings, *loss.parameters()]
    return lambda: torch.autograd.grad(loss(embeddings, labels), learning, allow_unused=True)


def against_theirs(name: str, size: int, dimension: int, seconds: float) -> dict[str, object]:
    """Microseconds of both and the ratio; none of theirs that does not fit into the memory."""
    plugin = next(info.plugin for info in lossmith.strategies(role="loss") if info.name == name)
    embeddings, labels = batch(size, dimension)
    if plugin == "proxies":
        labels %= CLASSES
        theirs = PROXY_LOSSES[name](num_classes=CLASSES, embedding_size=dimension)
    else:
        theirs = LOSSES[name]()
    ours = lossmith.Loss(plugin, name, classes=CLASSES if plugin == "proxies" else None, **PARAMETERS.get(name, {}))
    steps = {"ours": loss_step(ours, embeddings, labels)}
    once = None
    try:
        begun = time.perf_counter()
        step = loss_step(theirs, embeddings, labels)
        step()
        # It has been called twice.
        once = (time.perf_counter() - begun) / 2 * 1e6
    except (MemoryError, RuntimeError) as error:
        if "memory" not in str(error) and "bad_alloc" not in str(error):
            raise
    if once is not None and once < LONG:
        steps["theirs"] = step
    found = in_turns(steps, seconds)
    mine = statistics.median(found["ours"])
    if "theirs" not in steps:
        return {"ours": mine, "theirs": once, "ratio": once and mine / once}
    return {"ours": mine, "theirs": statistics.median(found["theirs"]), "ratio": ratio(found["ours"], found["theirs"])}


def losses(arguments: argparse.Namespace) -> None:
    print(f"{'loss, forward and backward':<30} {'B x D':>9} {'ours us':>10} {'theirs us':>10} {'ratio':>7}  at most")
    for name in [*LOSSES, *PROXY_LOSSES]:
        if name in LEFT_OUT or (arguments.names and name not in arguments.names):
            continue
        for size, dimension in SIZES:
            of = lambda: against_theirs(name, size, dimension, arguments.seconds)  # noqa: E731, B023
            found = in_child(of, arguments.gigabytes)
            target = COMMON_TARGET if name in COMMON and size >= COMMON_FROM else EVERYWHERE
            if found["ratio"] is None:
                theirs, verdict = "memory", f"{'-':>7}  {target}: met"
            else:
                theirs = f"{found['theirs']:.1f}"
                verdict = f"{found['ratio']:>7.3f}  {target}: {'met' if found['ratio'] <= target else 'MISSED'}"
            print(f"{name:<30} {f'{size}x{dimension}':>9} {found['ours']:>10.1f} {theirs:>10} {verdict}", flush=True)


def module_call(module: type, plugin: str, name: str, size: int, dimension: int) -> dict[str, float]:
    """Microseconds of a forward call, and of a step: of a loss with its backward pass."""
    embeddings, labels = batch(size, dimension)
    called = module(plugin, name)
    steps = {"forward": lambda: called(embeddings, labels)}
    if module is lossmith.Loss:
        steps["step"] = loss_step(called, embeddings, labels)
    found = {step: statistics.median(times) for step, times in in_turns(steps, 0.8).items()}
    return {"step": found["forward"], **found}


def host_call(command: str, plugin: str, name: str, size: int, dimension: int) -> float:
    """Microseconds of the same step in the command."""
    sizes = ["--batch", str(size), "--dimension", str(dimension)]
    words = [command, "plugin", "bench", plugin, "--strategy", name, *sizes, "--json"]
    ran = subprocess.run(words, check=True, capture_output=True, text=True)
    return json.loads(ran.stdout)[0]["milliseconds"] * 1e3


def calls(arguments: argparse.Namespace) -> None:
    columns = f"{'forward us':>10} {'step us':>10} {'host us':>10} {'more us':>8}  at most"
    print(f"{'call against the command':<30} {'B x D':>9} {columns}")
    for module, plugin, name in CALLS:
        for size, dimension in CALL_SIZES:
            rounds = []
            for _ in range(arguments.rounds):
                of = lambda: module_call(module, plugin, name, size, dimension)  # noqa: E731, B023
                ours = in_child(of, arguments.gigabytes)
                host = host_call(arguments.command, plugin, name, size, dimension)
                rounds.append((ours["forward"], ours["step"], host))
            forward, step, host = (statistics.median(column) for column in zip(*rounds, strict=True))
            more = statistics.median(step - host for _, step, host in rounds)
            verdict = "met" if more <= CALL_TARGET else "MISSED"
            figures = f"{forward:>10.1f} {step:>10.1f} {host:>10.1f} {more:>8.1f}  {CALL_TARGET}: {verdict}"
            print(f"{f'{module.ROLE} {name}':<30} {f'{size}x{dimension}':>9} {figures}", flush=True)


def importing(arguments: argparse.Namespace) -> None:
    code = "import time, torch; begun = time.perf_counter(); import lossmith; print(time.perf_counter() - begun)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout) * 1e3
        for _ in range(arguments.rounds)
    ]
    found = statistics.median(times)
    print(f"import after torch: {found:.1f} ms; {IMPORT_TARGET}: {'met' if found <= IMPORT_TARGET else 'MISSED'}")


def many_calls(count: int) -> list[float]:
    """Resident megabytes after a thousandth of the calls, half of them, and all of them."""
    embeddings, labels = batch(32, 64)
    loss = lossmith.Loss("losses", "contrastive")
    found = []
    for call in range(1, count + 1):
        loss(embeddings, labels).backward()
        if call in (max(count // 1000, 1), count // 2, count):
            found.append(resident_megabytes())
    return found


def memory(arguments: argparse.Namespace) -> None:
    begun = time.perf_counter()
    figures = in_child(lambda: many_calls(arguments.calls), arguments.gigabytes)
    text = ", ".join(f"{megabytes:.1f}" for megabytes in figures)
    print(f"{arguments.calls} calls with backward: {text} MB at the start, in the middle, at the end", end="")
    print(f" ({time.perf_counter() - begun:.0f} s)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="LOSS", help="losses to time against theirs, all unless given")
    parser.add_argument("--command", required=True, help="the lossmith command")
    parser.add_argument("--seconds", type=float, default=1, help="of rounds for a loss at a size")
    parser.add_argument("--rounds", type=int, default=7, help="of what is measured in processes of its own")
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--gigabytes", type=float, default=8, help="limit for memory above that of the libraries")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - {*LOSSES, *PROXY_LOSSES}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(sorted({*LOSSES, *PROXY_LOSSES}))}")
    warnings.simplefilter("ignore")
    print(f"threads: {torch.get_num_threads()}, torch {torch.__version__}, lossmith {lossmith.__version__}\n")
    calls(arguments)
    print()
    importing(arguments)
    memory(arguments)
    print()
    losses(arguments)


main()
