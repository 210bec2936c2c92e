"""Small data of which every pixel is known, and runs that the command trains on it."""

import csv
import gzip
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np

EXPERIMENT = """
name = "small"
seed = 1
epochs = 1
device = "cpu"
threads = 1

[data]
{data}
validation = 0.2
workers = 1

[sampler]
classes = 4
samples = 4

[model]
{model}

[optimizer]
learning-rate = 0.003

[run]
log-every = 1

[[objective]]
loss = {{ plugin = "losses", strategy = "contrastive" }}
{more}
"""


def colour_pictures(folder: Path) -> None:
    """Writes 4 classes of 10 PNG files of 20 x 16 pixels, each class with a pattern of its own."""
    random = np.random.default_rng(1)
    for name in ("ant", "bee", "cat", "dog"):
        (folder / name).mkdir(parents=True)
        pattern = random.integers(0, 160, (16, 20, 3))
        for number in range(10):
            write_png(folder / name / f"{number}.png", pattern + random.integers(0, 96, pattern.shape))


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Writes H x W x 3 numbers from 0 to 255."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels.astype(np.uint8))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def read_png(path: Path) -> np.ndarray:
    """The pixels of a file of `write_png`."""
    data, place = path.read_bytes(), 8
    while data[place + 4 : place + 8] != b"IDAT":
        if data[place + 4 : place + 8] == b"IHDR":
            width, height = struct.unpack(">II", data[place + 8 : place + 16])
        place += 12 + struct.unpack(">I", data[place : place + 4])[0]
    length = struct.unpack(">I", data[place : place + 4])[0]
    rows = np.frombuffer(zlib.decompress(data[place + 8 : place + 8 + length]), np.uint8)
    return rows.reshape(height, 1 + 3 * width)[:, 1:].reshape(height, width, 3)


def grey_pictures(folder: Path) -> np.ndarray:
    """Writes the four files of Fashion-MNIST with 120 + 40 images of 28 x 28 pixels, and returns these."""
    random = np.random.default_rng(2)
    labels = np.arange(160) % 10
    patterns = random.integers(0, 160, (10, 28, 28))
    images = (patterns[labels] + random.integers(0, 96, (160, 28, 28))).astype(np.uint8)
    folder.mkdir(parents=True)
    for name, part in (("train", slice(0, 120)), ("t10k", slice(120, 160))):
        header = struct.pack(">IIII", 0x803, len(images[part]), 28, 28)
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images[part].tobytes()))
        header = struct.pack(">II", 0x801, len(labels[part]))
        texts = header + labels[part].astype(np.uint8).tobytes()
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(texts))
    return images


class Lab:
    """A folder with data, in which the command is started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        colour_pictures(folder / "colour")
        self.grey = grey_pictures(folder / "grey")

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "lossmith", *words]

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """The command, and how it ended."""
        command = self.command(*map(str, words))
        return subprocess.run(command, cwd=self.folder, env=environment(), capture_output=True, text=True, check=False)

    def ok(self, *words: str | Path) -> str:
        """What a command printed that went well."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def experiment(self, colour: bool, model: str, more: str = "") -> Path:
        """Writes an experiment, and returns its file."""
        data = 'kind = "folder"\npath = "colour"\nsize = 32' if colour else 'kind = "fashion-mnist"\npath = "grey"'
        file = self.folder / "experiment.toml"
        file.write_text(EXPERIMENT.format(data=data, model=model, more=more))
        return file

    def train(self, colour: bool, model: str, more: str = "", *sets: str) -> Path:
        """Trains with changes (`key=value`) of the experiment, and returns the folder of the run."""
        self.experiment(colour, model, more)
        changes = [word for change in sets for word in ("--set", change)]
        lines = self.ok("--json", "train", "experiment.toml", *changes).splitlines()
        return self.folder / json.loads(lines[0])["run"]

    def embed(self, run: Path) -> tuple[np.ndarray, list[np.ndarray]]:
        """Embeddings of the test part as the command writes them, and the pixels of its images."""
        output = run.with_suffix(".npy")
        self.ok("embed", run, "--output", output)
        with run.with_suffix(".images.csv").open() as rows:
            names = [row["image"] for row in csv.DictReader(rows)]
        images = [self.grey[int(name)] if name.isdigit() else read_png(self.folder / name) for name in names]
        return np.load(output), images


def environment() -> dict[str, str]:
    """Without what would find other data or plugins than those of the test."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LOSSMITH_")}
