#!/usr/bin/env python3
"""Prints reference values for the functions of host/program/src/kernels/real.rs in 64 bits.

`reference.py COUNT SEED` prints COUNT for each.

Needs mpmath. A line is the function, the bits of the argument, the bits of the result, and what the result loses by
being rounded, in units in its last place. `reference.txt` beside it is `reference.py 24 1`.
"""

import math
import random
import struct
import sys

from mpmath import mp, mpf

mp.prec = 3000
count, seed = int(sys.argv[1]), int(sys.argv[2])
draw = random.Random(seed)


def bits(x):
    return struct.pack(">d", x).hex()


def uniform(low, high):
    return lambda: draw.uniform(low, high)


def magnitude(low, high, signs=(-1, 1)):
    """Of a magnitude from 2^low to 2^high, each exponent as often as another."""
    return lambda: draw.choice(signs) * draw.uniform(1, 2) * 2.0 ** draw.randrange(low, high)


# Enough bits that 1 + e^x is not 1 at the smallest results, and few enough to be quick elsewhere.
def small(function, x):
    with mp.workprec(3000 if abs(x) > 100 or abs(x) < 1e-30 else 400):
        return function(mpf(x))


FUNCTIONS = {
    "exp": (mp.exp, [uniform(-745, 709), uniform(-745, -708), uniform(-1, 1), magnitude(-60, 2)]),
    "exp_m1": (lambda x: mp.exp(x) - 1, [uniform(-40, 709), uniform(-2, 2), magnitude(-60, 1), uniform(-1, 1)]),
    "ln": (mp.log, [magnitude(-1022, 1023, [1]), magnitude(-1074, -1022, [1]), uniform(0.5, 2), uniform(0.95, 1.05)]),
    "ln_1p": (
        lambda x: mp.log(1 + x),
        [
            uniform(-0.999, 2),
            magnitude(-60, 0),
            magnitude(0, 1023, [1]),
            uniform(-0.5, 1),
            lambda: magnitude(-53, 0, [1])() / 2 - 1,
        ],
    ),
    "tanh": (mp.tanh, [magnitude(-60, 4), uniform(-1, 1), uniform(-22, 22)]),
    "sigmoid": (lambda x: 1 / (1 + mp.exp(-x)), [uniform(-745, 40), uniform(-5, 5), magnitude(-60, 6)]),
    "log_sigmoid": (lambda x: -mp.log(1 + mp.exp(-x)), [uniform(-745, 700), uniform(-5, 5), magnitude(-60, 6)]),
    "softplus": (lambda x: mp.log(1 + mp.exp(x)), [uniform(-700, 745), uniform(-5, 5), magnitude(-60, 6)]),
}

for name, (function, draws) in FUNCTIONS.items():
    for i in range(count):
        x = float(draws[i % len(draws)]())
        if name == "ln_1p" and x <= -1:
            continue
        y = small(function, x)
        high = float(y)
        print(name, bits(x), bits(high), f"{float((y - mpf(high)) / math.ulp(high)):.4f}")
