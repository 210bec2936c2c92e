"""Takes from wheels what a CPU build of libtorch needs: unpack.py WHEELS LIBTORCH"""

import pathlib
import shutil
import sys
import zipfile

LIBRARIES = {
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libc10.so",
    "torch/lib/libgomp.so.1",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
}


def place(member):
    """Where a file of a wheel goes, relative to the libtorch folder; None for what is not needed."""
    if member in LIBRARIES:
        return pathlib.Path("lib", pathlib.PurePosixPath(member).name)
    if member.startswith("torch/include/") and not member.endswith("/"):
        return pathlib.Path(member).relative_to("torch")
    return None


def main(wheels, libtorch):
    missing = set(LIBRARIES)
    for wheel in sorted(pathlib.Path(wheels).glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                target = place(member)
                if target is None:
                    continue
                path = pathlib.Path(libtorch, target)
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(path, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
                missing.discard(member)
    if missing:
        sys.exit("setup: error: the wheels lack " + ", ".join(sorted(missing)))


main(*sys.argv[1:])
