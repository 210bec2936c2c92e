# shellcheck shell=bash
# libtorch, the C++ library of PyTorch. One that is there already is used as it is; else PyPI's wheel is unpacked into
# .libtorch, where .cargo/config.toml looks for it.

# The version that the crate tch wants, exactly.
TORCH_VERSION=2.13.0
# libtorch_cpu.so of PyPI's Linux wheel is linked against these two, also when no GPU is used.
CUDA_RUNTIME_VERSION=13.0.96
CUDA_CUPTI_VERSION=13.0.85

setup_libtorch() {
    if [ -n "${LIBTORCH_USE_PYTORCH:-}" ]; then
        use_pytorch
    elif [ -n "${LIBTORCH:-}" ]; then
        use_given_libtorch
    elif [ -z "$(libtorch_fault .libtorch)" ]; then
        say "libtorch $(libtorch_version .libtorch), $(libtorch_kind .libtorch), in .libtorch"
        if has_gpu && [ "$(libtorch_kind .libtorch)" = "CPU build" ]; then
            say "an NVIDIA driver is here: rm -rf .libtorch and run this again for the GPU build"
        fi
    else
        install_libtorch
    fi
}

use_pytorch() {
    # As torch-sys chooses it.
    local python=python3 version
    if [ -n "${VIRTUAL_ENV:-}" ]; then python=python; fi
    version=$("$python" -c 'import torch; print(torch.__version__.split("+")[0])' 2>/dev/null) ||
        fail "LIBTORCH_USE_PYTORCH is set, but $python cannot import torch" "$python -m pip install torch==$TORCH_VERSION"
    if [ "$version" != "$TORCH_VERSION" ] && [ -z "${LIBTORCH_BYPASS_VERSION_CHECK:-}" ]; then
        fail "LIBTORCH_USE_PYTORCH is set, but $python has torch $version, not $TORCH_VERSION" \
            "$python -m pip install torch==$TORCH_VERSION"
    fi
    say "libtorch $version of $python (LIBTORCH_USE_PYTORCH)"
}

use_given_libtorch() {
    local fault
    fault=$(libtorch_fault "$LIBTORCH")
    if [ -n "$fault" ]; then
        fail "LIBTORCH=$LIBTORCH $fault" "unset LIBTORCH   (then one is set up in .libtorch)"
    fi
    say "libtorch $(libtorch_version "$LIBTORCH"), $(libtorch_kind "$LIBTORCH"), in $LIBTORCH (LIBTORCH)"
}

# libtorch_fault FOLDER: what keeps this folder from being used; nothing if it is fine.
libtorch_fault() {
    local version
    if [ ! -d "$1/include/torch" ]; then
        echo "has no include/torch"
    elif [ ! -e "$1/lib/libtorch_cpu.so" ]; then
        echo "has no lib/libtorch_cpu.so"
    else
        version=$(libtorch_version "$1")
        case "$version" in
        "$TORCH_VERSION" | unknown) ;;
        *) [ -n "${LIBTORCH_BYPASS_VERSION_CHECK:-}" ] || echo "is libtorch $version, not $TORCH_VERSION" ;;
        esac
    fi
}

libtorch_version() {
    local header=$1/include/torch/headeronly/version.h version=
    if [ -e "$1/build-version" ]; then
        version=$(cut -d + -f 1 "$1/build-version")
    elif [ -e "$header" ]; then
        version=$(sed -n '/define TORCH_VERSION /,/"/s/.*"\(.*\)".*/\1/p' "$header")
    fi
    echo "${version:-unknown}"
}

libtorch_kind() { if [ -e "$1/lib/libtorch_cuda.so" ]; then echo "GPU build"; else echo "CPU build"; fi; }

has_gpu() { has nvidia-smi && nvidia-smi -L 2>/dev/null | grep -q '^GPU'; }

# All work is done in .libtorch.tmp; a rename at the end makes it .libtorch. So a set-up that was interrupted leaves
# nothing that looks finished.
install_libtorch() {
    require_pip
    rm -rf .libtorch.tmp
    mkdir -p .libtorch.tmp/libtorch
    if has_gpu; then
        install_gpu_build .libtorch.tmp
    else
        install_cpu_build .libtorch.tmp
    fi
    echo "$TORCH_VERSION" >.libtorch.tmp/libtorch/build-version
    local fault
    fault=$(libtorch_fault .libtorch.tmp/libtorch)
    if [ -n "$fault" ]; then
        fail "what pip brought $fault" "LIBTORCH=<folder of libtorch $TORCH_VERSION> scripts/setup.sh"
    fi
    rm -rf .libtorch
    mv .libtorch.tmp/libtorch .libtorch
    rm -rf .libtorch.tmp
    say "libtorch $TORCH_VERSION, $(libtorch_kind .libtorch), in .libtorch"
}

install_cpu_build() {
    say "downloading libtorch $TORCH_VERSION, CPU build (about 530 MB)"
    local platforms=() tag machine
    machine=$(uname -m)
    # The wheels are named for several generations of the same platform. Only x86_64 has been tried.
    for tag in manylinux_2_28 manylinux_2_27 manylinux_2_25 manylinux_2_17 manylinux2014; do
        platforms+=(--platform "${tag}_$machine")
    done
    # The library does not depend on the Python that the wheel is for, so any Python 3 may download the one for 3.11.
    python3 -m pip download --disable-pip-version-check --no-deps --only-binary=:all: \
        "${platforms[@]}" --implementation cp --python-version 3.11 --abi cp311 --abi none \
        --dest "$1/wheels" \
        "torch==$TORCH_VERSION" "nvidia-cuda-runtime==$CUDA_RUNTIME_VERSION" "nvidia-cuda-cupti==$CUDA_CUPTI_VERSION" ||
        fail "pip could not download libtorch for $machine" "LIBTORCH=<folder of libtorch $TORCH_VERSION> scripts/setup.sh"
    python3 scripts/setup/unpack.py "$1/wheels" "$1/libtorch"
    ln -s libgomp.so.1 "$1/libtorch/lib/libgomp.so"
    # libtorch.so is an empty library that needs all parts, those of the GPU too. Here the CPU part takes its place.
    ln -s libtorch_cpu.so "$1/libtorch/lib/libtorch.so"
}

# This has never run for want of a GPU. The libraries find those of CUDA by a path relative to their folder
# (../../nvidia), which the links keep true.
install_gpu_build() {
    say "downloading libtorch $TORCH_VERSION, GPU build (about 5 GB)"
    python3 -m pip install --disable-pip-version-check --target "$1/libtorch/python" "torch==$TORCH_VERSION" ||
        fail "pip could not install torch $TORCH_VERSION" "LIBTORCH=<folder of libtorch $TORCH_VERSION> scripts/setup.sh"
    ln -s python/torch/include "$1/libtorch/include"
    ln -s python/torch/lib "$1/libtorch/lib"
    [ -e "$1/libtorch/lib/libgomp.so" ] || ln -s libgomp.so.1 "$1/libtorch/lib/libgomp.so"
}
