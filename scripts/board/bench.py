#!/usr/bin/env python3
"""Times the board on folders that it writes: a list of 1,000 runs of 10,000 rows, a run of 1,000,000 rows, how soon a
new row is told, and what a board that follows a training costs that.

    scripts/board/bench.py LOSSMITH [FOLDER]

Needs 1.5 GB in FOLDER, by default the system's folder for temporary files; what it wrote is removed.
"""

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from statistics import median

RUNS, ROWS, LONG = 1000, 10_000, 1_000_000
EVERY = 100
TURNS = 5

EXPERIMENT = """\
name = "bench"
seed = 1
epochs = {epochs}
threads = 1
data = {{ kind = "fashion-mnist", limit = 2000, validation = 0.2 }}
sampler = {{ classes = 10, samples = 8 }}
model = {{ width = 8, embedding = 32 }}
evaluation = {{ nmi = false, test = false }}
run = {{ log-every = 1, checkpoint-every = 100 }}
objective = [{{ loss = {{ plugin = "losses", strategy = "contrastive" }} }}]
"""


def write_run(folder: Path, seed: int, rows: int) -> None:
    """A run with a row for each step and an evaluation after each hundred."""
    folder.mkdir(parents=True)
    (folder / "experiment.toml").write_text(f'name = "many"\nseed = {seed}\nmargin = {seed % 7}\n')
    event = {"time": f"2026-01-31T14:{seed % 60:02}:02Z", "event": "finished", "epoch": rows // EVERY, "step": rows}
    (folder / "journal.jsonl").write_text(json.dumps(event) + "\n")
    with (folder / "metrics.jsonl").open("w") as file:
        for step in range(1, rows + 1):
            loss = 1 / (1 + step * 0.001 + seed)
            file.write(
                f'{{"kind":"step","epoch":{step // EVERY},"step":{step},"values":'
                f'{{"gradient-norm":{loss * 3:.17},"learning-rate":0.002,"loss":{loss:.17}}}}}\n'
            )
            if step % EVERY == 0:
                values = {f"validation/{name}": 1 - loss for name in ["map-at-r", "precision-at-1", "r-precision"]}
                row = {"kind": "evaluation", "epoch": step // EVERY, "step": step, "values": values}
                file.write(json.dumps(row, separators=(",", ":")) + "\n")


class Board:
    """A board of the command."""

    def __init__(self, lossmith: str, folder: Path):
        self.process = subprocess.Popen([lossmith, "board", "--json", folder], stdout=subprocess.PIPE, text=True)
        address = json.loads("".join(self.process.stdout.readline() for _ in range(3)))["address"]
        self.origin = address.partition("/?")[0]
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        # The way in, without looking at a run.
        self.opener.open(address.replace("/?", "/assets/icon.svg?")).read()

    def time(self, path: str) -> tuple[float, bytes]:
        """Seconds until a page is there, and the page."""
        start = time.perf_counter()
        page = self.opener.open(self.origin + path).read()
        return time.perf_counter() - start, page

    def memory(self) -> int:
        """The most that it has taken, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024

    def seconds(self) -> float:
        """Seconds of a core that it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def of_a_list(lossmith: str, folder: Path) -> None:
    for seed in range(RUNS):
        write_run(folder / "many" / f"run-{seed:04}", seed, ROWS)
    board = Board(lossmith, folder / "many")
    cold, page = board.time("/")
    warm = median(board.time("/")[0] for _ in range(TURNS))
    assert f"{RUNS} of {RUNS} runs".encode() in page
    print(f"list of {RUNS:,} runs of {ROWS:,} rows: first {cold:.2f} s, then {warm:.3f} s, {board.memory()} MB")
    board.end()


def of_a_run(lossmith: str, folder: Path) -> None:
    write_run(folder / "long" / "run", 1, LONG)
    board = Board(lossmith, folder / "long")
    opened = board.time("/run?name=run")[0]
    curves, drawing = board.time("/curves?name=run")
    zoomed, _ = board.time("/curves?name=run&chart=0-loss&from=500000&to=501000")
    print(
        f"run of {LONG:,} rows: page {opened:.2f} s, its curves {curves:.3f} s ({len(drawing) // 1000} kB), "
        f"a part exactly {zoomed:.3f} s, {board.memory()} MB"
    )
    board.end()


def of_news(lossmith: str, folder: Path) -> None:
    run = folder / "living" / "run"
    write_run(run, 1, ROWS)
    (run / "journal.jsonl").write_text('{"time":"2026-01-31T14:00:02Z","event":"started","process":null}\n')
    board = Board(lossmith, folder / "living")
    board.time("/")
    stream = board.opener.open(board.origin + "/events")
    # The first look may find the run itself new.
    waits = []
    for step in range(ROWS + 1, ROWS + 21):
        with (run / "metrics.jsonl").open("a") as file:
            file.write(f'{{"kind":"step","epoch":9,"step":{step},"values":{{"loss":0.5}}}}\n')
        start = time.perf_counter()
        while stream.readline() != b'data: ["run"]\n':
            pass
        board.time("/curves?name=run")
        waits.append(time.perf_counter() - start)
    print(f"a new row of a living run is drawn after {median(waits):.2f} s (at most {max(waits):.2f} s)")
    board.end()


def look(board: Board) -> None:
    """As a page that is open: on news of a run it is fetched again, with its curves, four times a second at most."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        stream = board.opener.open(board.origin + "/events")
        for line in stream:
            if line.startswith(b"data: ["):
                words = urllib.parse.urlencode({"name": json.loads(line[6:])[0]})
                board.time(f"/run?{words}")
                board.time(f"/curves?{words}")
                time.sleep(0.25)


def of_a_training(lossmith: str, folder: Path) -> None:
    (folder / "experiment.toml").write_text(EXPERIMENT.format(epochs=6))
    shares = []
    seconds = {"without a board": [], "with a board": []}
    for turn in range(2 * TURNS):
        name = list(seconds)[turn % 2]
        runs = folder / f"turn-{turn}"
        runs.mkdir()
        board = Board(lossmith, runs) if name == "with a board" else None
        if board:
            threading.Thread(target=look, args=[board], daemon=True).start()
        command = [lossmith, "train", "experiment.toml", "--set", f'run.directory="{runs}"']
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        seconds[name].append(time.perf_counter() - start)
        if board:
            shares.append(board.seconds() / seconds[name][-1])
            board.end()
    ratio = median(seconds["with a board"]) / median(seconds["without a board"])
    spread = max(max(times) / min(times) for times in seconds.values())
    print(
        f"a training beside a board takes {ratio:.3f} of its time without (turns differ by up to {spread:.3f}), "
        f"and the board takes {median(shares):.1%} of a core"
    )


if __name__ == "__main__":
    lossmith = str(Path(sys.argv[1]).resolve())
    parent = sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory(dir=parent) as name:
        for measure in [of_a_list, of_a_run, of_news, of_a_training]:
            measure(lossmith, Path(name))
