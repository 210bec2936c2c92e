"""Times our components against the same losses written by hand in PyTorch, as they are and given to `torch.compile`.

    .python/bin/python scripts/peers/compiled.py --bench "cargo bench -q -p lossmith --profile dev --bench peers --"

Forward and backward to the embeddings, float32 on the CPU, normal random embeddings, four images a class, defaults.
Our part is a process that makes steps when it is asked to: it, the written loss and the compiled loss take turns, so
that all meet the same machine. A time is the median of the rounds, a ratio the median of the rounds' ratios. The three
values must be equal to 1e-4 before anything is measured. OMP_NUM_THREADS sets the threads of all.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import time

import torch
from written import LOSSES

SIZES = [(32, 64), (120, 512), (512, 512), (1024, 128)]
IMAGES = 4
#: Largest ratio of the component to the compiled loss, by batch.
TARGETS = {32: 0.7, 120: 0.9, 512: 0.9, 1024: 0.9}
#: A turn: so long unmeasured, until the threads of the others have gone to sleep, and then so long measured.
WARM_UP, MEASURED = 0.05, 0.15
WARM_UP_STEPS = 10


class Ours:
    """The process of our component and of native code on the same batch."""

    def __init__(self, bench, name, size, dimension):
        command = [*shlex.split(bench), "--turns", name, str(size), str(dimension)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"our side ended with {self.process.wait()}")
        return json.loads(line)

    def turn(self, who):
        self.process.stdin.write(f"{who} {WARM_UP} {MEASURED}\n")
        self.process.stdin.flush()
        return self.read()["milliseconds"]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def batch(size, dimension):
    """The batch of our side: the same generator makes it there."""
    torch.manual_seed(0)
    return torch.randn(size, dimension, requires_grad=True), torch.arange(size) // IMAGES


def stepper(loss, embeddings, labels):
    return lambda: torch.autograd.grad(loss(embeddings, labels), embeddings)


def turn(step):
    """Median milliseconds of a step."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < WARM_UP:
        step()
    times, begun = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begun < MEASURED:
        before = time.perf_counter()
        step()
        times.append(time.perf_counter() - before)
    return statistics.median(times) * 1e3


def measure(name, size, dimension, arguments):
    """Milliseconds of each round, by who."""
    embeddings, labels = batch(size, dimension)
    ours = Ours(arguments.bench, name, size, dimension)
    torch._dynamo.reset()
    compiled = torch.compile(LOSSES[name], fullgraph=True, dynamic=False, mode=arguments.mode)
    steps = {who: stepper(loss, embeddings, labels) for who, loss in [("eager", LOSSES[name]), ("compiled", compiled)]}
    for who, loss in [("eager", LOSSES[name]), ("compiled", compiled)]:
        value = loss(embeddings, labels).item()
        if abs(value - ours.ready["value"]) > 1e-4 * abs(value):
            sys.exit(f"{name} at {size}x{dimension}: {value} {who}, {ours.ready['value']} as component")
    for step in steps.values():
        for _ in range(WARM_UP_STEPS):
            step()
    rounds = {who: [] for who in ["component", "native", *steps]}
    begun = time.perf_counter()
    while len(rounds["component"]) < 3 or time.perf_counter() - begun < arguments.seconds:
        for who in ["component", "native"]:
            rounds[who].append(ours.turn(who))
        for who, step in steps.items():
            rounds[who].append(turn(step))
    ours.end()
    return rounds


def ratio(rounds, who, other):
    return statistics.median(a / b for a, b in zip(rounds[who], rounds[other], strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="LOSS", help=f"of {', '.join(LOSSES)}; all unless given")
    parser.add_argument("--bench", required=True, help="the command that runs our bench `peers`")
    parser.add_argument("--seconds", type=float, default=6, help="of rounds for a loss at a size")
    parser.add_argument("--mode", default="default", help="of torch.compile: default, max-autotune and others")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(LOSSES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(LOSSES)}")
    print(f"threads: {torch.get_num_threads()}, torch {torch.__version__}, torch.compile mode {arguments.mode}\n")
    columns = ["component", "native", "eager", "compiled"]
    heads = [*(f"{who} us" for who in columns), "comp./eager", "comp./compiled"]
    print(f"{'loss':<18} {'B x D':>9}", *(f"{head:>14}" for head in heads), "  at most")
    for name in [name for name in LOSSES if not arguments.names or name in arguments.names]:
        for size, dimension in SIZES:
            rounds = measure(name, size, dimension, arguments)
            times = [f"{statistics.median(rounds[who]) * 1e3:>14.1f}" for who in columns]
            of_eager, of_compiled = (ratio(rounds, "component", who) for who in ("eager", "compiled"))
            verdict = f"{TARGETS[size]}: {'met' if of_compiled <= TARGETS[size] else 'MISSED'}"
            shape = f"{size}x{dimension}"
            print(f"{name:<18} {shape:>9}", *times, f"{of_eager:>14.3f} {of_compiled:>14.3f}   {verdict}", flush=True)


if __name__ == "__main__":
    main()
