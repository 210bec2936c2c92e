#!/usr/bin/env bash
# Tries the command on a GPU, in under five minutes: devices, a training, all reference cases, and how long strategies take.
# Prints tables as they come. Ends with an error if anything failed, after it has tried the rest.
#
#   scripts/gpu.sh [--device cuda:0] [--command LOSSMITH] [--short]
#
# Without --command it takes the one beside `scripts`, where `scripts/gpu-build.sh` puts it, else it builds one. Data: Fashion-MNIST
# of LOSSMITH_DATA, `.data` or /usr/share/datasets; where there is none, patterns that it draws. Python is all that it needs, and
# PyTorch for its libraries where the command does not find any. With --short it does a little of each, to test the script itself.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
device=cuda:0
lossmith=
short=
while [ $# -gt 0 ]; do
    case $1 in
    --device) device=$2 && shift 2 ;;
    --command) lossmith=$(realpath "$2") && shift 2 ;;
    --short) short=yes && shift ;;
    *) printf 'gpu.sh: %s is not known; the head of the script says what is\n' "$1" >&2 && exit 2 ;;
    esac
done

if [ -z "$lossmith" ] && [ -x "$root/lossmith" ]; then
    lossmith=$root/lossmith
elif [ -z "$lossmith" ]; then
    (cd "$root" && cargo build --quiet -p lossmith)
    lossmith=${CARGO_TARGET_DIR:-$root/target}/debug/lossmith
fi

# A command that was built elsewhere takes the libtorch of this machine's PyTorch.
if ldd "$lossmith" | grep -q 'libtorch.*not found'; then
    torch=$(python3 -c 'import importlib.util, os; print(os.path.dirname(importlib.util.find_spec("torch").origin))')
    export LD_LIBRARY_PATH=$torch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=()

# step NAME COMMAND...: runs it under a heading, and says how long it took.
step() {
    local name=$1 start=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    "$@" || failed+=("$name")
    printf '== %s: %d s\n' "$name" $((SECONDS - start))
}

machine() {
    if command -v nvidia-smi >/dev/null; then nvidia-smi -L || true; fi
    # It ends with an error where something else is missing, as a data set.
    "$lossmith" doctor | grep -E '^ *(. )?(lossmith|libtorch|devices)' || true
}

strategies() {
    local sizes=(--batch "32,128,1024,4096" --dimension "64,512") names=(contrastive triplet multi-similarity nt-xent sup-con)
    if [ -n "$short" ]; then
        sizes=(--batch 32 --dimension 64)
        names=(contrastive)
    fi
    local name
    for name in "${names[@]}"; do
        printf '\n%s, beside the same operations without a sandbox\n' "$name"
        "$lossmith" plugin bench losses --strategy "$name" --against native "$name" --device "$device" "${sizes[@]}" \
            2>/dev/null || return
    done
}

# Only in a checkout where it can be built.
throughput() { (cd "$root" && make throughput DEVICE="$device"); }

step machine machine
step "reference cases" python3 "$root/scripts/gpu/reference.py" "$lossmith" "$device" "$root/tests/data/golden/golden.json"
step training python3 "$root/scripts/gpu/training.py" "$lossmith" "$device" "$work" ${short:+--short}
step strategies strategies
if [ -z "$short" ] && command -v cargo >/dev/null && grep -q '^throughput:' "$root/Makefile" 2>/dev/null; then
    step throughput throughput
fi

printf '\n%d s in all' "$SECONDS"
if [ ${#failed[@]} -gt 0 ]; then
    printf '; failed:'
    printf ' %s' "${failed[@]}"
    printf '\n'
    exit 1
fi
printf '; all is well on %s\n' "$device"
