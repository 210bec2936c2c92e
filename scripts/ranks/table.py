#!/usr/bin/env python3
"""Images per second of one process with all cores, and of ranks that share them, in turns; and what a step costs them
in collective operations."""
import argparse
import json
import os
import statistics
import subprocess
import tempfile

TURNS = 3
# Only the last epoch is measured on the validation part, and only the others are timed.
EPOCHS = 4


def train(command, experiment, folder, words, threads):
    sets = [f"run.directory={folder}", f"threads={threads}", f"epochs={EPOCHS}"]
    sets += [f"evaluation.every={EPOCHS}", "evaluation.test=false"]
    arguments = [command, "--json", *words, experiment, *(word for each in sets for word in ("--set", each))]
    lines = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    events = [json.loads(line) for line in lines]
    images = {}
    for event in events:
        if event["event"] == "step":
            images[event["epoch"]] = images.get(event["epoch"], 0) + event["images"]
    epochs = [event for event in events if event["event"] == "epoch" and event["epoch"] < EPOCHS]
    told = [event["text"] for event in events if event["event"] == "line" and event["slot"] == "ranks"]
    return [images[event["epoch"] - 1] / event["seconds"] for event in epochs], told


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--command", required=True)
    parser.add_argument("--experiment", default="examples/ranks/experiment.toml")
    parser.add_argument("--ranks", type=int, default=2)
    given = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    rates, told = {"one": [], "many": []}, []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(TURNS):
            rates["one"] += train(given.command, given.experiment, folder, ["train"], cores)[0]
            each = max(1, cores // given.ranks)
            words = ["launch", "-n", str(given.ranks)]
            found, lines = train(given.command, given.experiment, folder, words, each)
            rates["many"] += found
            told += lines
    one, many = (statistics.median(rates[name]) for name in ("one", "many"))
    print(f"one process, {cores} threads: {one:.0f} images/s")
    each = max(1, cores // given.ranks)
    print(f"{given.ranks} ranks, {each} threads each: {many:.0f} images/s, {many / one:.2f} of it")
    print(told[-1] if told else "")


if __name__ == "__main__":
    main()
