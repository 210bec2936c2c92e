"""Made the modules of this folder, once, with torch 2.13: `python modules.py`, beside it.

Each takes grey images of 8 x 8 pixels and returns 6 numbers for an image, if it does not do what its name says.
"""

import io
import zipfile

import torch
from torch import nn


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 6)


class Dropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 6)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(self.linear(x.flatten(1)))


class Noise(Linear):
    def forward(self, x):
        return self.linear(x.flatten(1)) + torch.randn(x.shape[0], 6)


class Counts(Linear):
    """In an attribute, which no checkpoint has."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.linear(x.flatten(1)) + 0.1 * self.calls


class CountsInBuffer(Linear):
    """Which a checkpoint has; after three calls it gives NaN."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls.add_(1.0)
        y = self.linear(x.flatten(1))
        if float(self.calls) > 3.0:
            y = y * float("nan")
        return y


class OneRow(Linear):
    """For more than two images."""

    def forward(self, x):
        y = self.linear(x.flatten(1))
        if x.shape[0] > 2:
            y = y.sum(0, keepdim=True)
        return y


class FewerColumns(Linear):
    """For more than two images."""

    def forward(self, x):
        y = self.linear(x.flatten(1))
        if x.shape[0] > 2:
            y = y[:, :4]
        return y


class Double(Linear):
    def forward(self, x):
        return self.linear(x.flatten(1)).double()


class InPlace(Linear):
    def forward(self, x):
        y = self.linear(x.flatten(1))
        x.zero_()
        return y


class Raises(Linear):
    """For more than two images."""

    def forward(self, x):
        if x.shape[0] > 2:
            raise RuntimeError("too many for me")
        return self.linear(x.flatten(1))


class NanWeight(Linear):
    def __init__(self):
        super().__init__()
        self.linear.weight.data[0, 0] = float("nan")

    def forward(self, x):
        return self.linear(x.flatten(1))


torch.manual_seed(0)
MODULES = [Dropout, Noise, Counts, CountsInBuffer, OneRow, FewerColumns, Double, InPlace, Raises, NanWeight]
for module in MODULES:
    saved = io.BytesIO()
    torch.jit.save(torch.jit.script(module()), saved)
    # Without the paths of this machine, which are for debugging.
    with zipfile.ZipFile(saved) as whole, zipfile.ZipFile(f"{module.__name__}.pt", "w") as lean:
        for name in whole.namelist():
            if not name.endswith(".debug_pkl"):
                lean.writestr(zipfile.ZipInfo(name), whole.read(name))
