#!/usr/bin/env bash
# Makes the folder that is carried to a machine with a GPU and tried there by its `scripts/gpu.sh`: the command without what is for
# debuggers, with the standard plugins in it, and what the script needs. Libraries and data are not in it.
#
#   scripts/gpu-build.sh [--torch FOLDER] [--out FOLDER]
#
# FOLDER of --torch is the folder `torch` of the PyTorch that the other machine has, of another version than ours: `pip download
# --no-deps torch==2.11.0`, unpacked. Then the command is built with it, in target/gpu, with a copy of torch-sys that lacks what that
# libtorch lacks. Without it the command is the one of `make build`. --out is target/gpu/carried unless given.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# What may be carried, in MiB.
most=64
torch=
out=target/gpu/carried
while [ $# -gt 0 ]; do
    case $1 in
    --torch) torch=$(realpath "$2") && shift 2 ;;
    --out) out=$2 && shift 2 ;;
    *) printf 'gpu-build.sh: %s is not known; the head of the script says what is\n' "$1" >&2 && exit 2 ;;
    esac
done

if [ -z "$torch" ]; then
    cargo build -p lossmith
    lossmith=${CARGO_TARGET_DIR:-target}/debug/lossmith
else
    [ -d "$torch/include/ATen/ops" ] || { printf 'gpu-build.sh: %s has no include/ATen\n' "$torch" >&2 && exit 2; }
    mkdir -p target/gpu
    work=$(realpath target/gpu)
    crate=$(cargo metadata --format-version 1 --locked |
        python3 -c 'import json, os, sys
packages = json.load(sys.stdin)["packages"]
print(os.path.dirname(next(one["manifest_path"] for one in packages if one["name"] == "torch-sys")))')
    python3 scripts/gpu/torch_sys.py "$crate" "$torch/include" "$work/torch-sys"
    # A checkout of its own, as the patch changes the lock file.
    rm -rf "$work/checkout"
    mkdir "$work/checkout"
    git ls-files -z --cached --others --exclude-standard | tar -c --null --files-from - | tar -x -C "$work/checkout"
    printf '\n[patch.crates-io]\ntorch-sys = { path = "%s" }\n' "$work/torch-sys" >>"$work/checkout/Cargo.toml"
    (cd "$work/checkout" &&
        LIBTORCH=$torch LIBTORCH_BYPASS_VERSION_CHECK=1 CARGO_TARGET_DIR=$work/build cargo build -p lossmith)
    lossmith=$work/build/debug/lossmith
fi

rm -rf "$out"
mkdir -p "$out/scripts" "$out/tests/data/golden"
strip -o "$out/lossmith" "$lossmith"
cp -r scripts/gpu.sh scripts/gpu "$out/scripts/"
cp tests/data/golden/golden.json "$out/tests/data/golden/"
size=$(du -sm "$out" | cut -f 1)
printf '%s: %s MiB; there: scripts/gpu.sh\n' "$out" "$size"
if [ "$size" -gt "$most" ]; then
    printf 'gpu-build.sh: that is above %s MiB\n' "$most" >&2
    exit 1
fi
