#!/usr/bin/env python3
"""Compares the standard plugins with the reference values and gradients, on a device.

    reference.py LOSSMITH DEVICE GOLDEN

It needs nothing but Python. Differences are relative to the largest entry, as in tests/plugins/golden.rs.
"""
import json
import subprocess
import sys
import tempfile

PRECISIONS = {"f64": 1e-9, "f32": 1e-5}
PACKAGES = ["losses", "rankings", "proxies", "transfers", "miners"]


def offered(command):
    """The package of each strategy, by role and name."""
    found = {}
    for package in PACKAGES:
        output = subprocess.run([command, "--json", "plugin", "inspect", package], check=True, capture_output=True)
        for strategy in json.loads(output.stdout)["strategies"]:
            found[strategy["role"], strategy["name"]] = package
    return found


def case(given, golden):
    """The batch of a case, with the thresholds, the balance and the trained tensors that it has."""
    params, batch = dict(golden["params"]), {key: given[key] for key in ("embeddings", "labels", "teacher")}
    if "thresholds" in params:
        # In the reference they are parameters; `dual` says which of two readings it is.
        batch["thresholds"] = params.pop("thresholds")
        params["dual"] = "exchange" if params["dual"] else "none"
    if golden.get("balance"):
        balance = dict(golden["balance"])
        batch["balance"] = {"plugin": "balances", "strategy": balance.pop("mode"), "params": balance}
    if golden.get("parameters"):
        batch["parameters"] = golden["parameters"]
    return params, batch


def calls(golden, packages):
    """The calls, each with the reference that it belongs to and the tolerance."""
    for dtype, tolerance in PRECISIONS.items():
        for one in golden["losses"] + golden["miners"]:
            name = one.get("loss", one.get("miner")).split("/")[0]
            roles = ["miner"] if "miner" in one else ["loss", "transfer"]
            role, package = next((role, packages[role, name]) for role in roles if (role, name) in packages)
            params, batch = case(golden["inputs"][one["input"]], one)
            call = {"plugin": package, "role": role, "strategy": name, "params": params, "dtype": dtype, "input": batch}
            yield call, one, tolerance


def flat(numbers):
    return [number for row in numbers for number in row]


def difference(found, expected):
    if len(found) != len(expected):
        return float("inf")
    scale = max([sys.float_info.min] + [abs(number) for number in expected])
    worst = [abs(a - b) / scale for a, b in zip(found, expected)]
    # `max` would hide a NaN.
    return max((one if one == one else float("inf") for one in worst), default=0.0)


def tuples(lists):
    parts = [lists] if len(lists) == 3 else [lists[:2], lists[2:]]
    return [sorted(zip(*part)) for part in parts]


def compare(result, one):
    """The largest difference of a result."""
    if "miner" in one:
        return 0.0 if tuples(result["indices"]) == tuples(one["indices"]) else float("inf")
    worst = [difference([result["value"]], [one["value"]])]
    worst.append(difference(flat(result["gradient"]), flat(one["gradient"])))
    for name, gradient in one.get("parameter_gradients", {}).items():
        worst.append(difference(result["parameter_gradients"][name], gradient))
    return max(worst)


def main():
    command, device, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        golden = json.load(file)
    wanted = list(calls(golden, offered(command)))
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps(call) + "\n" for call, _, _ in wanted)
        file.flush()
        output = subprocess.run(
            [command, "plugin", "eval-many", file.name, "--device", device],
            check=False,
            stdout=subprocess.PIPE,
            text=True,
        )
    results = [json.loads(line) for line in output.stdout.splitlines()]
    worst, failed = {}, []
    for (call, one, tolerance), result in zip(wanted, results):
        found = compare(result, one)
        key = call["role"], call["dtype"]
        worst.setdefault(key, []).append(found)
        if not found <= tolerance:
            name = one.get("loss", one.get("miner"))
            failed.append(f"{call['dtype']} {name} {one['params']} on {one['input']}: {found:.1e}")
    print(f"{'role':<10}{'dtype':<7}{'cases':>6}  largest difference")
    for (role, dtype), found in sorted(worst.items()):
        print(f"{role:<10}{dtype:<7}{len(found):>6}  {max(found):.1e}")
    for text in failed:
        print(f"differs: {text}")
    if output.returncode != 0 or len(results) != len(wanted):
        print(f"only {len(results)} of {len(wanted)} cases were computed")
        failed.append("cut off")
    sys.exit(bool(failed))


main()
