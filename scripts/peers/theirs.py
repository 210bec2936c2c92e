"""Times the losses and miners of pytorch-metric-learning on the CPU, as `host/benches/peers` times ours.

    .python/bin/python scripts/peers/theirs.py [NAME...] > theirs.jsonl

One line of JSON for each strategy and batch size B. A loss is computed forward and backward (to the embeddings and to
its own parameters), a miner forward; float32, D = 128, normal random embeddings, four images a class in order, their
defaults. Losses with one proxy or more a class have 100 classes whatever B is: class i of the batch is class i mod 100.

`milliseconds` is the median of the steps after some to warm up. `megabytes` is how far the resident memory of the
process rises above what it was before one more step. Both are null, with the `reason`, where a step fails or exceeds a
limit. `others` is how many cores other processes took meanwhile: a time with more than 0.1 there says little.
OMP_NUM_THREADS sets the threads, as it does for ours.
"""

import argparse
import ctypes
import gc
import json
import os
import resource
import signal
import statistics
import time
import warnings

import torch
from pytorch_metric_learning import losses, miners

DIMENSION = 128
IMAGES = 4
SIZES = [120, 256, 512, 1024]
CLASSES = 100
MEMORY = 1024
# What a forked process does for the first time is not measured. Nine batches of 120 fill the memory of
# `cross-batch-memory`.
WARM_UP_STEPS = 10

# By the names of our strategies.
LOSSES = {
    "contrastive": losses.ContrastiveLoss,
    "triplet": losses.TripletMarginLoss,
    "multi-similarity": losses.MultiSimilarityLoss,
    "sup-con": losses.SupConLoss,
    "nt-xent": losses.NTXentLoss,
    "circle": losses.CircleLoss,
    "lifted-structure": losses.LiftedStructureLoss,
    "generalized-lifted": losses.GeneralizedLiftedStructureLoss,
    "n-pairs": losses.NPairsLoss,
    "angular": losses.AngularLoss,
    "margin": losses.MarginLoss,
    "nca": losses.NCALoss,
    "tuplet-margin": losses.TupletMarginLoss,
    "intra-pair-variance": losses.IntraPairVarianceLoss,
    "fast-ap": losses.FastAPLoss,
    "smooth-ap": losses.SmoothAPLoss,
    "snr-contrastive": losses.SignalToNoiseRatioContrastiveLoss,
    "histogram": lambda: losses.HistogramLoss(n_bins=100),
    "threshold-consistent-margin": losses.ThresholdConsistentMarginLoss,
    "vicreg": losses.VICRegLoss,
    # No defaults: those of our reference values.
    "ranked-list": lambda: losses.RankedListLoss(margin=0.4, Tn=10),
    "cross-batch-memory": lambda: losses.CrossBatchMemory(losses.ContrastiveLoss(), DIMENSION, memory_size=MEMORY),
}
PROXY_LOSSES = {
    "proxy-nca": losses.ProxyNCALoss,
    "proxy-anchor": losses.ProxyAnchorLoss,
    "soft-triple": losses.SoftTripleLoss,
    "arc-face": losses.ArcFaceLoss,
    "sub-center-arc-face": losses.SubCenterArcFaceLoss,
    "cos-face": losses.CosFaceLoss,
    "sphere-face": losses.SphereFaceLoss,
    "normalized-softmax": losses.NormalizedSoftmaxLoss,
}
MINERS = {
    "batch-hard": miners.BatchHardMiner,
    "batch-easy-hard": miners.BatchEasyHardMiner,
    "triplet/all": miners.TripletMarginMiner,
    "triplet/semi-hard": lambda: miners.TripletMarginMiner(type_of_triplets="semihard"),
    "multi-similarity": miners.MultiSimilarityMiner,
    "pair-margin": miners.PairMarginMiner,
    "distance-weighted": miners.DistanceWeightedMiner,
    "angular": miners.AngularMiner,
    "hdc": miners.HDCMiner,
    "uniform-histogram": miners.UniformHistogramMiner,
}


def loss_step(op, size):
    torch.manual_seed(0)
    embeddings = torch.randn(size, DIMENSION, requires_grad=True)
    labels = torch.arange(size) // IMAGES
    more = {}
    if op in PROXY_LOSSES:
        labels %= CLASSES
        loss = PROXY_LOSSES[op](num_classes=CLASSES, embedding_size=DIMENSION)
    else:
        loss = LOSSES[op]()
    if op == "vicreg":
        # It compares two views of each image and takes no labels. Both learn.
        labels = None
        more["ref_emb"] = torch.randn(size, DIMENSION, requires_grad=True)
    learning = [embeddings, *more.values(), *loss.parameters()]

    def step():
        value = loss(embeddings, labels, **more)
        torch.autograd.grad(value, learning, allow_unused=True)

    return step


def miner_step(op, size):
    torch.manual_seed(0)
    embeddings = torch.randn(size, DIMENSION)
    labels = torch.arange(size) // IMAGES
    miner = MINERS[op]()
    return lambda: miner(embeddings, labels)


def median_milliseconds(step, seconds):
    """At least 7 steps and 1 s; of slow steps at least 3."""
    times = []
    begun = time.perf_counter()
    while True:
        before = time.perf_counter()
        step()
        now = time.perf_counter()
        times.append(now - before)
        enough = len(times) >= 7 and now - begun >= 1
        if enough or (len(times) >= 3 and now - begun >= seconds):
            return statistics.median(times) * 1e3


def status(name):
    """A number of kB in /proc/self/status."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name + ":"))


def peak_megabytes(step):
    # The allocator would keep and reuse what earlier steps freed, and the rise would look smaller than what a step
    # needs. So it is told to give back at once whatever has more than 4 pages, and what it has now.
    libc = ctypes.CDLL(None)
    trim_threshold, mmap_threshold = -1, -3
    libc.mallopt(trim_threshold, 16384)
    libc.mallopt(mmap_threshold, 16384)
    step()
    gc.collect()
    libc.malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = status("VmRSS")
    step()
    return (status("VmHWM") - before) / 1024


def measure(role, op, size, limits):
    """In a process of its own: its two figures, or the reason why there are none."""
    memory = status("VmSize") * 1024 + int(limits.gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    step = (loss_step if role == "loss" else miner_step)(op, size)
    # The default action ends the process in the middle of an operation; Python's own handlers would wait for its end.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    begun = time.perf_counter()
    for _ in range(WARM_UP_STEPS):
        signal.setitimer(signal.ITIMER_REAL, limits.seconds)
        step()
        signal.setitimer(signal.ITIMER_REAL, 0)
        if time.perf_counter() - begun >= 1:
            break
    milliseconds = median_milliseconds(step, limits.seconds)
    return {"milliseconds": round(milliseconds, 4), "megabytes": round(peak_megabytes(step), 2), "reason": None}


def failure(error, limits):
    text = str(error)
    if isinstance(error, MemoryError) or "allocate memory" in text or "bad_alloc" in text:
        return nothing(f"over {limits.gigabytes:g} GB")
    return nothing(f"{type(error).__name__}: {text}".splitlines()[0])


def nothing(reason):
    return {"milliseconds": None, "megabytes": None, "reason": reason}


def busy_seconds():
    """Seconds of work of all cores since the system started, and of this process's children that have ended."""
    with open("/proc/stat") as file:
        ticks = sum(int(field) for field in file.readline().split()[1:4])
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ticks / os.sysconf("SC_CLK_TCK"), own.ru_utime + own.ru_stime


def with_others(role, op, size, limits):
    begun, (all_before, own_before) = time.perf_counter(), busy_seconds()
    result = in_child(role, op, size, limits)
    all_after, own_after = busy_seconds()
    others = (all_after - all_before - (own_after - own_before)) / (time.perf_counter() - begun)
    return {**result, "others": round(max(others, 0), 2)}


def in_child(role, op, size, limits):
    """Importing torch takes seconds, so a child is forked after that, and before any operation has started threads."""
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(source)
        try:
            result = measure(role, op, size, limits)
        except Exception as error:
            result = failure(error, limits)
        os.write(sink, json.dumps({**result, "threads": torch.get_num_threads()}).encode())
        os._exit(0)
    os.close(sink)
    with open(source) as file:
        result = file.read()
    _, end = os.waitpid(child, 0)
    if result:
        return json.loads(result)
    number = os.WTERMSIG(end) if os.WIFSIGNALED(end) else 0
    if number == signal.SIGALRM:
        return nothing(f"over {limits.seconds:g} s")
    return nothing(f"ended by {signal.Signals(number).name if number else f'exit code {os.WEXITSTATUS(end)}'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="strategies to time, all unless given")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, metavar="B", help="batch sizes, multiples of 4")
    parser.add_argument("--seconds", type=float, default=20, help="limit for one step")
    parser.add_argument("--gigabytes", type=float, default=8, help="limit for memory above that of the libraries")
    limits = parser.parse_args()
    warnings.simplefilter("ignore")
    ops = [("loss", op) for op in (*LOSSES, *PROXY_LOSSES)] + [("miner", op) for op in MINERS]
    unknown = set(limits.names) - {op for _, op in ops}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(sorted({op for _, op in ops}))}")
    for role, op in ops:
        if limits.names and op not in limits.names:
            continue
        for size in limits.sizes:
            line = {"who": "theirs", "role": role, "op": op, "size": size, **with_others(role, op, size, limits)}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
