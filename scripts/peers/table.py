"""Sets our times beside those of pytorch-metric-learning: table.py FILE...

Each FILE has lines of JSON: `who` ("component", "native" or "theirs"), `role`, `op`, `size`, `milliseconds`,
`megabytes`, `reason` (why there are none, else null), `threads`, and maybe `others`, the cores that other processes
took. Prints a row for each strategy and size, then the targets. Of several lines for the same case, as of a measurement
that was repeated, it takes the medians of those that nothing disturbed, if there are such.
"""

import json
import math
import statistics
import sys

# Largest time of the component as a part of theirs: role, op, size (None: each that theirs was measured at), bound.
TARGETS = [
    ("loss", "contrastive", None, 0.8),
    ("loss", "multi-similarity", None, 0.8),
    ("loss", "sup-con", None, 0.8),
    ("miner", "batch-hard", None, 0.8),
    ("loss", "triplet", 1024, 0.15),
    ("loss", "nt-xent", 256, 0.02),
    ("loss", "lifted-structure", 256, 0.02),
    ("loss", "tuplet-margin", 256, 0.02),
]
# For everything else that both have.
EVERYWHERE = 1.0
# More cores than this for other processes spoil a time.
DISTURBED = 0.1


def read(paths):
    """Measurements by (role, op, size), then by who."""
    cases = {}
    for path in paths:
        with open(path) as file:
            for number, text in enumerate(file, 1):
                try:
                    line = json.loads(text)
                    case = cases.setdefault((line["role"], line["op"], line["size"]), {})
                    case.setdefault(line["who"], []).append(line)
                except (ValueError, KeyError, TypeError) as error:
                    sys.exit(f"{path}:{number}: not a line of a measurement ({error!r})")
    order = list(dict.fromkeys(key[:2] for key in cases))
    keys = sorted(cases, key=lambda key: (order.index(key[:2]), key[2]))
    return {key: {who: merge(lines) for who, lines in cases[key].items()} for key in keys}


def disturbed(line):
    return line.get("others", 0) > DISTURBED


def merge(lines):
    """The medians of repeated measurements; one that failed makes all fail."""
    lines = [line for line in lines if not disturbed(line)] or lines
    failed = [line for line in lines if line["milliseconds"] is None]
    if failed:
        return failed[0]
    merged = {**lines[0], "others": max(line.get("others", 0) for line in lines)}
    for key in ("milliseconds", "megabytes"):
        # Memory is null where a measurement is of time only.
        known = [line[key] for line in lines if line[key] is not None]
        merged[key] = statistics.median(known) if known else None
    return merged


def figure(case, who, key):
    return case.get(who, {}).get(key)


def ratio(case):
    """Component / theirs: 0 where only theirs exceeded a limit, infinite where only ours failed, None if not known."""
    if "component" not in case or "theirs" not in case:
        return None
    ours, theirs = (figure(case, who, "milliseconds") for who in ("component", "theirs"))
    if ours is None:
        return None if theirs is None else math.inf
    if theirs is None:
        return 0.0 if stopped(case) else None
    return ours / theirs


def stopped(case):
    return (figure(case, "theirs", "reason") or "").startswith("over ") and not disturbed(case["theirs"])


def show(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def print_table(cases):
    columns = [("component", "milliseconds", "component ms"), ("native", "milliseconds", "native ms"),
               ("theirs", "milliseconds", "theirs ms"), (None, None, "component/theirs"),
               ("component", "megabytes", "component MB"), ("theirs", "megabytes", "theirs MB")]
    print(f"{'':<35} {'B':>5}", *(f"{title:>{max(len(title), 10)}}" for _, _, title in columns))
    for (role, op, size), case in cases.items():
        cells = []
        for who, key, title in columns:
            if who is None:
                text = "-" if stopped(case) else show(ratio(case), 3)
            else:
                text = show(figure(case, who, key), 2 if key == "milliseconds" else 1)
            cells.append(f"{text:>{max(len(title), 10)}}")
        notes = [f"  {who}: {note}" for who, line in case.items() for note in remarks(line)]
        print(f"{role + ' ' + op:<35} {size:>5}", *cells, *notes)


def remarks(line):
    if line.get("reason"):
        yield line["reason"]
    if disturbed(line):
        yield f"disturbed, other processes took {line['others']} cores"


def judge(case, bound):
    found = ratio(case)
    if found is None:
        return "not measured"
    text = "theirs " + case["theirs"]["reason"] if stopped(case) else f"{found:.3f}"
    return f"{text}, {'met' if found <= bound else 'MISSED'}"


def print_targets(cases):
    print("\ncomponent/theirs, at most:")
    for role, op, size, bound in TARGETS:
        for key in cases:
            if key[:2] == (role, op) and size in (None, key[2]):
                print(f"  {role + ' ' + op:<25} {key[2]:>5} {bound:>6}: {judge(cases[key], bound)}")
    compared = {key: ratio(case) for key, case in cases.items() if ratio(case) is not None}
    slower = {key: found for key, found in compared.items() if found > EVERYWHERE}
    verdict = "not measured" if not compared else "MISSED" if slower else "met"
    print(f"  {f'all {len(compared)} that both have':<31} {EVERYWHERE:>6}: {verdict}")
    for (role, op, size), found in slower.items():
        print(f"    {role} {op} at {size}: {found:.3f}")


def main(paths):
    if not paths:
        sys.exit("usage: table.py FILE...")
    cases = read(paths)
    print_table(cases)
    print_targets(cases)
    threads = sorted({line["threads"] for case in cases.values() for line in case.values() if "threads" in line})
    if len(threads) > 1:
        print(f"\nnot comparable: measured with different numbers of threads {threads}")


main(sys.argv[1:])
