#!/usr/bin/env bash
# Sets up pytorch-metric-learning on the libtorch that Lossmith uses, to measure against it. What is there is kept; the
# folder can be thrown away.
#
#   scripts/peers/setup.sh [FOLDER]     FOLDER is target/peers unless given; 1.3 GB, 600 MB of downloads
#
# PYTHONPATH=FOLDER makes python3 see it.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/setup/common.sh
source scripts/setup/tools.sh
source scripts/setup/libtorch.sh

PEER_VERSION=2.9.0
# What importing its losses and miners needs. It also asks for scikit-learn, which only its clustering metrics use.
REQUIREMENTS=(
    "torch==$TORCH_VERSION" "nvidia-cuda-runtime==$CUDA_RUNTIME_VERSION" "nvidia-cuda-cupti==$CUDA_CUPTI_VERSION"
    "pytorch-metric-learning==$PEER_VERSION" numpy==2.2.6 scipy==1.15.3 tqdm==4.67.1 typing-extensions==4.15.0
)

# peer_works FOLDER
peer_works() {
    PYTHONPATH=$1 python3 - "$TORCH_VERSION" "$PEER_VERSION" <<'PYTHON'
import sys
import pytorch_metric_learning.losses
import pytorch_metric_learning.miners
import torch

found = [torch.__version__.split("+")[0], pytorch_metric_learning.__version__]
sys.exit(found != sys.argv[1:])
PYTHON
}

# All work is done in FOLDER.tmp, so that a set-up that was interrupted leaves nothing that looks finished.
install_peer() {
    require_pip
    require_compiler
    rm -rf "$1.tmp"
    say "downloading pytorch-metric-learning $PEER_VERSION and torch $TORCH_VERSION (about 600 MB)"
    python3 -m pip install --disable-pip-version-check --root-user-action=ignore --no-deps --no-compile \
        --only-binary=:all: --target "$1.tmp" "${REQUIREMENTS[@]}" ||
        fail "pip could not install pytorch-metric-learning" "scripts/peers/setup.sh $1"
    replace_nvidia_libraries "$1.tmp/torch/lib"
    share_libtorch "$1.tmp/torch/lib"
    peer_works "$1.tmp" || fail "$(python3 --version) cannot import what pip installed" "scripts/peers/setup.sh $1"
    rm -rf "$1"
    mv "$1.tmp" "$1"
}

# The wheel for Linux is the CUDA build. It does not load without NVIDIA's libraries (another 4 GB), of which nothing is
# called on the CPU. One small library takes their place: it has their names and their functions, and each of these ends
# the process.
replace_nvidia_libraries() {
    local folder=$1 parts=() part name
    for part in torch_python torch_cuda torch_nvshmem c10_cuda; do parts+=("$folder/lib$part.so"); done
    {
        cat <<'CPP'
#include <stdio.h>
#include <stdlib.h>
extern "C" {
void absent() { fputs("the libraries of NVIDIA were left out\n", stderr); abort(); }
CPP
        # The runtime (libcudart) is there.
        nm -D --undefined-only "${parts[@]}" | awk '$1 == "U" { print $2 }' | grep -v '@libcudart' | sed 's/@.*//' |
            grep -E '^(cu|nccl|nv)' | sort -u | sed 's/.*/void &() __attribute__((alias("absent")));/'
        echo '}'
    } >"$folder/absent.cpp"
    # CXX may have arguments.
    # shellcheck disable=SC2086
    ${CXX:-c++} -shared -fPIC -o "$folder/libabsent.so" "$folder/absent.cpp" ||
        fail "$folder/absent.cpp does not compile" "unset CXX"
    for name in $(readelf -d "${parts[@]}" | sed -n 's/.*(NEEDED).*\[\(lib\(cu\|nccl\|nv\).*\)\]/\1/p' | sort -u); do
        case $name in libcudart.*) ;; *) ln -sf libabsent.so "$folder/$name" ;; esac
    done
}

# The library that does the work is the very file of .libtorch, where that is the same build: 440 MB less.
share_libtorch() {
    if cmp -s .libtorch/lib/libtorch_cpu.so "$1/libtorch_cpu.so"; then
        say "libtorch_cpu.so is byte for byte that of .libtorch"
        ln -f .libtorch/lib/libtorch_cpu.so "$1/libtorch_cpu.so" 2>/dev/null || true
    fi
}

folder=${1:-target/peers}
has python3 || install_packages "Python 3" python3
if ! peer_works "$folder" 2>/dev/null; then install_peer "$folder"; fi
say "pytorch-metric-learning $PEER_VERSION on torch $TORCH_VERSION in $folder"
