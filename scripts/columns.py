#!/usr/bin/env python3
"""Checks that no line of Rust has more than 120 columns: rustfmt leaves comments and strings alone."""
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST = 120

found = False
for folder in ("host", "plugins", "tests"):
    for file in sorted((ROOT / folder).rglob("*.rs")):
        name = str(file.relative_to(ROOT))
        # A folder `target` is what the build of a plugin leaves.
        if "/target/" in name:
            continue
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if len(line) > MOST:
                print(f"{name}:{number} has {len(line)} columns, at most {MOST}")
                found = True
raise SystemExit(found)
