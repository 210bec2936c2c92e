#!/usr/bin/env python3
"""Computes the polynomials of host/program/src/kernels/real.rs by Remez exchange, and prints them as Rust.

Needs mpmath. `exp(r) = 1 + r + r^2 P(r)` for |r| <= ln(2) / 2, and
`ln(1 + f) = f - f^2/2 + s (f^2/2 + w L(w))` with `s = f / (2 + f)`, `w = s^2`, for 1 + f from sqrt(1/2) to sqrt(2).
"""

import struct

from mpmath import mp, mpf, exp, log, sqrt, matrix, lu_solve, cos, pi, nstr

mp.prec = 200


def exp_rest(r):
    if abs(r) < mpf(10) ** -12:
        return mpf(1) / 2 + r / 6 + r**2 / 24
    return (exp(r) - 1 - r) / r**2


def ln_rest(w):
    if w < mpf(10) ** -12:
        return mpf(2) / 3 + 2 * w / 5 + 2 * w**2 / 7
    s = sqrt(w)
    return (log((1 + s) / (1 - s)) - 2 * s) / (s * w)


def remez(function, weight, low, high, count):
    """The `count` coefficients whose largest |weight (polynomial - function)| is least, and that error."""
    points = [(low + high) / 2 - (high - low) / 2 * cos(pi * i / count) for i in range(count + 1)]
    for _ in range(40):
        system = matrix(count + 1, count + 1)
        right = matrix(count + 1, 1)
        for i, x in enumerate(points):
            for j in range(count):
                system[i, j] = x**j
            system[i, count] = (-1) ** i / weight(x)
            right[i] = function(x)
        answer = lu_solve(system, right)
        coefficients = [answer[j] for j in range(count)]

        def error(x):
            return weight(x) * (sum(c * x**j for j, c in enumerate(coefficients)) - function(x))

        # The extremum between each two zeros of the error, on a fine grid: enough, as the error is flat there.
        grid = [(low + high) / 2 - (high - low) / 2 * cos(pi * i / 2000) for i in range(2001)]
        values = [error(x) for x in grid]
        found, best = [], 0
        for i in range(1, len(grid)):
            if values[i] * values[best] < 0:
                found.append(grid[best])
                best = i
            elif abs(values[i]) > abs(values[best]):
                best = i
        found.append(grid[best])
        largest = max(abs(v) for v in values)
        if len(found) != count + 1 or abs(largest - abs(answer[count])) < largest / 1000:
            return coefficients, largest
        points = found
    return coefficients, largest


def single(x):
    return struct.unpack("f", struct.pack("f", float(x)))[0]


def split(x, bits, rounding):
    unit = mpf(2) ** -bits
    high = mp.nint(x / unit) * unit
    return rounding(high), rounding(x - high)


SLACK = mpf("1.0001")
r = log(2) / 2 * SLACK
w = ((sqrt(2) - 1) / (sqrt(2) + 1)) ** 2 * SLACK

for name, rounding, exp_count, ln_count, bits in [("f32", single, 5, 3, 15), ("f64", float, 10, 7, 42)]:
    print(f"// {name}")
    # The error relative to exp(r) - 1, which is about r; the floor keeps the exchange from dividing by 0.
    coefficients, error = remez(exp_rest, lambda x: abs(x) + mpf(10) ** -4, -r, r, exp_count)
    print("EXP", [rounding(c) for c in coefficients], "error 2^", nstr(log(error, 2), 4))
    coefficients, error = remez(ln_rest, lambda x: x / 2 + mpf(10) ** -5, mpf(0), w, ln_count)
    print("LN", [rounding(c) for c in coefficients], "error 2^", nstr(log(error, 2), 4))
    print("LN2", split(log(2), bits, rounding), "LOG2E", rounding(1 / log(2)))
