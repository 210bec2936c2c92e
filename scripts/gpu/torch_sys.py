#!/usr/bin/env python3
"""Makes a copy of torch-sys that compiles with another libtorch than the one that it is made for.

    torch_sys.py CRATE INCLUDE OUT

CRATE is the crate's folder, INCLUDE the headers of that libtorch. Functions of the generated part that call what the
headers do not have are kept, so that everything links, and fail when they are called: tch has a function for each
operation of libtorch, and Lossmith calls few. Prints their names.
"""
import re
import shutil
import sys
from pathlib import Path

FUNCTION = re.compile(r"^(?P<head>[\w *]+ atg_\w+\([^\n]*\) \{\n)  PROTECT\(\n(?P<body>[\s\S]*?)\n  \)\n", re.M)
CALL = re.compile(r"(?:torch::|->)(\w+)\(")
DECLARED = re.compile(r"\b(\w+)\(")
# Its arguments changed in 2.12; it is for Apple's GPUs alone.
CHANGED = {"_scaled_dot_product_attention_math_for_mps"}


def declared(include):
    """All names of functions in the headers of operations and of tensors."""
    headers = [*(include / "ATen/ops").glob("*.h"), include / "ATen/core/TensorBody.h"]
    if len(headers) < 1000:
        sys.exit(f"{include} has no ATen/ops: it is not the include folder of a libtorch")
    return {name for header in headers for name in DECLARED.findall(header.read_text())}


def main():
    crate, include, out = map(Path, sys.argv[1:])
    known = declared(include)
    lacking = []

    def kept(found):
        # The first call is the operation; what is behind it are arguments.
        called = CALL.search(found["body"])
        name = called and called[1]
        if name is None or (name in known and name not in CHANGED):
            return found[0]
        lacking.append(name)
        return f'{found["head"]}  PROTECT(throw std::runtime_error("this libtorch has no {name}");)\n'

    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(crate, out)
    file = out / "libtch/torch_api_generated.cpp"
    text = FUNCTION.sub(kept, file.read_text())
    file.chmod(0o644)
    file.write_text(text)
    print(f"{len(lacking)} functions of torch-sys fail with this libtorch: {', '.join(sorted(set(lacking)))}")


main()
