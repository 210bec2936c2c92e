"""Writes image.png and expected.json: what examples/deployment/preprocess.py makes of the image. Needs NumPy and Pillow.

    python3 tests/data/preprocessing/make.py
"""

import json
import pathlib
import sys

import numpy
from PIL import Image

here = pathlib.Path(__file__).parent
sys.path.insert(0, str(here.parents[2] / "examples" / "deployment"))
from preprocess import open_image, preprocess  # noqa: E402

pixels = numpy.random.default_rng(5).integers(0, 256, (17, 24, 3), dtype=numpy.uint8)
Image.fromarray(pixels).save(here / "image.png")
cases = []
# Made smaller, kept, made larger.
for size in (8, 17, 20):
    case = {
        "size": size,
        "channels": 3,
        "crop": "largest-centre-square",
        "interpolation": "bilinear",
        "antialias": True,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    made = preprocess(open_image(here / "image.png"), case)
    cases.append({"preprocessing": case, "pixels": [round(float(number), 5) for number in made.ravel()]})
(here / "expected.json").write_text(json.dumps(cases) + "\n")
