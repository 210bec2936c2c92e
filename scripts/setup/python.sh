# shellcheck shell=bash
# What makes the wheel, and the Python that its tests run in: torch, and what scripts/setup/python.txt has. What our times are
# compared with is in scripts/setup/peers.txt.

MATURIN=$(sed -n 's/^requires = \["maturin==\(.*\)"\]/\1/p' host/python/pyproject.toml)
MATURIN_FOLDER=.tools/maturin
PYTHON_FOLDER=.python
# What the pinned libraries have wheels for.
PYTHONS="3.11 3.12 3.13"

setup_wheel() {
    local folder=$MATURIN_FOLDER
    if [ "$("$folder/bin/maturin" --version 2>/dev/null || true)" != "maturin $MATURIN" ]; then
        say "installing maturin $MATURIN into $folder (10 MB)"
        make_venv "$folder"
        "$folder/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: --no-deps "maturin==$MATURIN" ||
            fail "maturin could not be installed" "$folder/bin/pip install maturin==$MATURIN"
    fi
    say "wheels: maturin $MATURIN"
}

setup_python() {
    # This file is written last, so that a set-up that was interrupted leaves nothing that looks finished.
    local finished=$PYTHON_FOLDER/finished.txt
    has python3 || install_packages "Python 3" python3
    if ! cmp -s scripts/setup/python.txt "$finished" || ! has_torch "$PYTHON_FOLDER/bin/python" 2>/dev/null; then
        install_python "$PYTHON_FOLDER"
        cp scripts/setup/python.txt "$finished"
    fi
    say "Python of the tests: $("$PYTHON_FOLDER/bin/python" --version) with torch $TORCH_VERSION in $PYTHON_FOLDER"
}

setup_peers() {
    setup_python
    local finished=$PYTHON_FOLDER/finished-peers.txt
    if ! cmp -s scripts/setup/peers.txt "$finished"; then
        require_compiler
        say "downloading what our times are compared with into $PYTHON_FOLDER (10 MB)"
        "$PYTHON_FOLDER/bin/pip" install --disable-pip-version-check --no-deps --no-compile --only-binary=:all: --quiet \
            -r scripts/setup/peers.txt || fail "pip could not install scripts/setup/peers.txt" "scripts/setup.sh peers"
        cp scripts/setup/peers.txt "$finished"
    fi
    # torch.compile compiles against them. Debian has them in a package of their own.
    "$PYTHON_FOLDER/bin/python" -c 'import pathlib, sysconfig, sys
sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists())' ||
        install_packages "the headers of Python" python3-dev
    say "what our times are compared with: $(grep -c == scripts/setup/peers.txt) more in $PYTHON_FOLDER"
}

# has_torch PYTHON: it imports the torch whose libtorch the wheel is built for.
has_torch() { "$1" -c 'import sys, torch; sys.exit(torch.__version__.split("+")[0] != sys.argv[1])' "$TORCH_VERSION"; }

install_python() {
    local version libraries
    rm -f "$1/finished-peers.txt"
    version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    case " $PYTHONS " in
    *" $version "*) ;;
    *) fail "$(command -v python3) is Python $version, and the tests need one of $PYTHONS" "put another python3 on the PATH" ;;
    esac
    require_compiler
    # In the folder itself: what pip installs has the folder's path in it.
    make_venv "$1"
    say "downloading torch $TORCH_VERSION and what is tried with it into $1 (about 650 MB)"
    "$1/bin/pip" install --disable-pip-version-check --no-deps --no-compile --only-binary=:all: --progress-bar off --quiet \
        "torch==$TORCH_VERSION" "nvidia-cuda-runtime==$CUDA_RUNTIME_VERSION" "nvidia-cuda-cupti==$CUDA_CUPTI_VERSION" \
        -r scripts/setup/python.txt || fail "pip could not install torch and scripts/setup/python.txt" "scripts/setup.sh python"
    libraries=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torch/lib
    if has_gpu; then
        # This has never run for want of a GPU.
        say "downloading the libraries of NVIDIA (about 4 GB)"
        "$1/bin/pip" install --disable-pip-version-check --only-binary=:all: --quiet "torch==$TORCH_VERSION" ||
            fail "pip could not install the libraries of NVIDIA" "scripts/setup.sh python"
    else
        replace_nvidia_libraries "$libraries"
        share_libtorch "$libraries"
    fi
    has_torch "$1/bin/python" || fail "the torch that pip installed cannot be imported" "rm -rf $1 && scripts/setup.sh python"
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
