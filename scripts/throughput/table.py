"""Images per second of ours and of a loop in PyTorch, with the same network, data, augmentation, batches and loss.

    .python/bin/python scripts/throughput/table.py --command target/debug/lossmith \\
        --bench "cargo bench --quiet -p lossmith --profile dev --bench loading --"

First a training end to end, then loading alone: decode, crop, resize, normalise, make a batch. The two sides take
turns, as processes of their own. Each is given `--warm-up` seconds, then the images of `--seconds` are counted; theirs
is run with one worker and with one for each core, and the better one counts. `cpu ms` is the time of the processor that
an image took, of all processes of a side: other programs that run meanwhile are hardly in it. OMP_NUM_THREADS sets the
threads of both.
"""

import argparse
import json
import os
import pathlib
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time

import psutil
from cases import CASES, LOADED, TRAINED

FOLDER = pathlib.Path(__file__).resolve().parent


def experiment(case, images, place):
    """Our experiment of a case: a file."""
    folder = f'path = "{images}"\nsize = {case.size}\n' if case.data == "folder" else ""
    width = f"width = {case.width}\n" if case.backbone == "convnet" else ""
    # Of runs before, which were ended in the middle.
    shutil.rmtree(place / "runs", ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    file = place / "experiment.toml"
    file.write_text(f"""\
name = "throughput"
epochs = 100000

[data]
kind = "{case.data}"
split = "closed-set"
validation = 0.0
test = 0.0
workers = {os.cpu_count()}
{folder}
[data.augmentation]
enabled = {str(case.augmented).lower()}

[sampler]
classes = {case.classes}
samples = {case.samples}

[model]
backbone = "{case.backbone}"
embedding = {case.embedding}
{width}
[optimizer]
name = "adamw"
learning-rate = 0.001
weight-decay = 0.0001

[[objective]]
loss = {{ plugin = "losses", strategy = "multi-similarity", params = {{ alpha = 2, beta = 50, base = 0.5 }} }}
miner = {{ plugin = "miners", strategy = "multi-similarity", params = {{ epsilon = 0.1 }} }}

[evaluation]
every = 1000000
test = false

[run]
directory = "{place / "runs"}"
""")
    return file


def used(process):
    """Seconds of the processor that a process and its children have taken."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def count(command, arguments):
    """Images per second, and milliseconds of the processor for each, of a process that prints a line for each batch."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as ran:
        process = psutil.Process(ran.pid)
        begun = first = last = None
        images = 0
        for line in ran.stdout:
            found = json.loads(line)
            if found.get("event", "step") != "step":
                continue
            now = time.perf_counter()
            begun = begun or now
            if now - begun < arguments.warm_up:
                continue
            if first is None:
                first, before = now, used(process)
                continue
            images, last = images + found["images"], now
            if now - first >= arguments.seconds:
                break
        after = used(process) if images else None
        os.killpg(ran.pid, signal.SIGKILL)
    if not images:
        sys.exit(f"no images from {shlex.join(map(str, command))}")
    return images / (last - first), (after - before) / images * 1e3


def ours(what, case, arguments):
    if what == "train":
        file = experiment(CASES[case], arguments.images, arguments.images.parent / case)
        return [arguments.command, "train", file, "--json"]
    settings = CASES[case]
    data = [settings.data, settings.path] if settings.data != "folder" else [settings.data, str(arguments.images)]
    numbers = [settings.size, settings.classes, settings.samples, int(settings.augmented), os.cpu_count()]
    return [*shlex.split(arguments.bench), *data, *map(str, numbers)]


def theirs(what, case, workers, arguments):
    script = [sys.executable, FOLDER / "theirs.py", what, case]
    return [*script, "--images", arguments.images, "--workers", str(workers)]


def compare(what, case, arguments):
    """Ours, then the best of theirs: images per second, processor milliseconds; and its number of workers."""
    choices = arguments.workers
    rounds = {who: [] for who in ["ours", *choices]}
    for _ in range(arguments.rounds):
        for who in rounds:
            command = ours(what, case, arguments) if who == "ours" else theirs(what, case, who, arguments)
            rounds[who].append(count(command, arguments))
    found = {who: [statistics.median(column) for column in zip(*times, strict=True)] for who, times in rounds.items()}
    best = max(choices, key=lambda workers: found[workers][0])
    return found["ours"], found[best], best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all unless given")
    parser.add_argument("--command", required=True, help="the lossmith command")
    parser.add_argument("--bench", required=True, help="the command that runs our bench `loading`")
    parser.add_argument("--images", type=pathlib.Path, default=pathlib.Path("target/throughput/images"))
    parser.add_argument("--seconds", type=float, default=12, help="that images are counted for")
    parser.add_argument("--warm-up", type=float, default=5, help="seconds before that, from the first batch on")
    parser.add_argument("--rounds", type=int, default=1, help="in which all take turns; the medians count")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, os.cpu_count()], metavar="N",
                        help="processes of their loader, of which the best number counts")
    arguments = parser.parse_args()
    arguments.images = arguments.images.resolve()
    if unknown := set(arguments.names) - set(CASES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    titles = ["ours /s", "theirs /s", "ours cpu ms", "theirs cpu ms", "workers", "ours/theirs"]
    print(f"{'':<24}", *(f"{title:>13}" for title in titles), "  at least")
    for what, targets in (("train", TRAINED), ("load", LOADED)):
        for case, least in targets.items():
            if arguments.names and case not in arguments.names:
                continue
            (mine, my_cpu), (other, other_cpu), workers = compare(what, case, arguments)
            figures = [f"{mine:>13.1f} {other:>13.1f} {my_cpu:>13.2f} {other_cpu:>13.2f} {workers:>13}"]
            verdict = "met" if mine / other >= least else "MISSED"
            print(f"{f'{what} {case}':<24}", *figures, f"{mine / other:>13.2f}   {least}: {verdict}", flush=True)


if __name__ == "__main__":
    main()
