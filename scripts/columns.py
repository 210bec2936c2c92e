#!/usr/bin/env python3
"""Checks that no line of Rust, nor of the Python of the package, its tests and the scripts, has more than 120 columns.

rustfmt leaves comments and strings alone.
"""
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST = 120
FOLDERS = {"rs": ["host", "plugins", "tests"], "py": ["host", "scripts", "tests/board", "tests/python"]}

found = False
for ending, folders in FOLDERS.items():
    for file in sorted(file for folder in folders for file in (ROOT / folder).rglob(f"*.{ending}")):
        name = str(file.relative_to(ROOT))
        # A folder `target` is what the build of a plugin leaves.
        if "/target/" in name:
            continue
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if len(line) > MOST:
                print(f"{name}:{number} has {len(line)} columns, at most {MOST}")
                found = True
raise SystemExit(found)
