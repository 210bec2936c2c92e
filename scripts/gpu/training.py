#!/usr/bin/env python3
"""Trains for two epochs on a device, in 32 bits and in bfloat16, and prints what they came to.

    training.py LOSSMITH DEVICE FOLDER [--short]

It needs nothing but Python. Without Fashion-MNIST it draws patterns in that form.
"""
import gzip
import json
import os
import random
import struct
import subprocess
import sys
from pathlib import Path

EXPERIMENT = """
name = "gpu"
seed = 1
epochs = 2
[data]
kind = "fashion-mnist"
[sampler]
classes = 10
samples = 12
[model]
width = 32
embedding = 64
[optimizer]
name = "adamw"
learning-rate = 0.001
[run]
log-every = 20
[[objective]]
loss = { plugin = "losses", strategy = "contrastive" }
[[objective]]
loss = { plugin = "proxies", strategy = "proxy-anchor" }
"""


def draw(folder, name, count, chance):
    """Images of ten classes, each a pattern of its own under noise."""
    patterns = [random.Random(label).randbytes(784) for label in range(10)]
    pixels, labels = bytearray(), bytearray()
    for _ in range(count):
        label = chance.randrange(10)
        noise = chance.randbytes(784)
        pixels += bytes((3 * a + b) // 4 for a, b in zip(patterns[label], noise))
        labels.append(label)
    for kind, magic, sizes, data in (
        ("images-idx3", 2051, (count, 28, 28), pixels),
        ("labels-idx1", 2049, (count,), labels),
    ):
        head = struct.pack(f">{1 + len(sizes)}I", magic, *sizes)
        with gzip.open(folder / f"{name}-{kind}-ubyte.gz", "wb", compresslevel=1) as file:
            file.write(head + bytes(data))


def data(folder):
    """The folder with the images, and what they are."""
    repository = Path(__file__).resolve().parent.parent.parent
    own = os.environ.get("LOSSMITH_DATA")
    for place in [*([own] if own else []), repository / ".data", "/usr/share/datasets"]:
        found = Path(place) / "fashion-mnist"
        if list(found.glob("train-images-idx3-ubyte*")) and list(found.glob("t10k-labels-idx1-ubyte*")):
            return found, "Fashion-MNIST"
    folder = folder / "fashion-mnist"
    folder.mkdir()
    chance = random.Random(0)
    draw(folder, "train", 6000, chance)
    draw(folder, "t10k", 1000, chance)
    return folder, "patterns"


def train(command, device, folder, sets):
    """The events of a training."""
    sets = [f"device={json.dumps(device)}", f"run.directory={json.dumps(str(folder / 'runs'))}", *sets]
    arguments = [part for one in sets for part in ("--set", one)]
    line = [command, "--json", "train", str(folder / "experiment.toml"), *arguments]
    output = subprocess.run(line, check=False, stdout=subprocess.PIPE, text=True)
    return output.returncode, [json.loads(text) for text in output.stdout.splitlines() if text.startswith("{")]


def main():
    command, device, folder = sys.argv[1:4]
    folder = Path(folder)
    images, what = data(folder)
    (folder / "experiment.toml").write_text(EXPERIMENT)
    sets = [f"data.path={json.dumps(str(images))}"]
    if "--short" in sys.argv:
        sets += ["data.limit=600", "model.width=4"]
    print(what)
    print(f"{'precision':<11}{'device':<8}{'steps':>6}  {'losses of the epochs':<22}{'seconds':<14}validation map-at-r")
    failed = False
    for precision in ("f32", "bf16"):
        code, events = train(command, device, folder, [*sets, f"precision={json.dumps(precision)}"])
        ready = next((event for event in events if event["event"] == "ready"), None)
        epochs = [event for event in events if event["event"] == "epoch"]
        if code != 0 or ready is None or len(epochs) != 2:
            print(f"{precision}: the training failed with {code}")
            failed = True
            continue
        losses = " ".join(f"{epoch['loss']:.4f}" for epoch in epochs)
        seconds = " ".join(f"{epoch['seconds']:.1f}" for epoch in epochs)
        values = " ".join(f"{epoch['values'].get('validation/map-at-r', float('nan')):.3f}" for epoch in epochs)
        print(f"{precision:<11}{ready['device']:<8}{ready['steps']:>6}  {losses:<22}{seconds:<14}{values}")
        if not epochs[1]["loss"] < epochs[0]["loss"]:
            print(f"{precision}: the loss did not fall")
            failed = True
    sys.exit(failed)


main()
