"""`python3 -m unittest` builds the component and checks it: gradients, extreme batches, and the numbers in `tests/batch.json`."""

import os
import pathlib
import subprocess
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent


def lossmith(*arguments):
    """Runs `lossmith` (or the program that `LOSSMITH` names) in this folder; what it says is shown when it fails."""
    program = os.environ.get("LOSSMITH", "lossmith")
    result = subprocess.run([program, *arguments], cwd=FOLDER, capture_output=True, text=True)
    if result.returncode != 0:
        raise AssertionError(f"lossmith {' '.join(arguments)} failed:\n{result.stdout}{result.stderr}")


class Check(unittest.TestCase):
    def test_the_component_passes_its_check(self):
        lossmith("plugin", "build", ".", "--out", "target/plugins")
        lossmith("plugin", "check", "target/plugins/{{name}}.wasm", "--batch", "tests/batch.json")


if __name__ == "__main__":
    unittest.main()
