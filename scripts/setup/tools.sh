# shellcheck shell=bash
# The tools that the build calls: Rust, a C++ compiler, Python 3 with pip, git.

setup_tools() {
    require_rust
    require_compiler
    has python3 || install_packages "Python 3" python3
    say "$(python3 --version)"
    has git || install_packages "git" git
    say "$(git --version)"
}

require_rust() {
    if ! has cargo || ! has rustc; then
        fail "Rust is missing" "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    fi
    local version
    version=$(rustc_version rustc)
    if [ -z "$version" ]; then
        fail "rustc does not run" "rustup default stable"
    fi
    at_least "$version" "$RUST_VERSION" ||
        fail "Rust $version is too old, $RUST_VERSION or later is needed" "rustup update stable"
    say "Rust $version"
}

require_compiler() {
    # CXX may have arguments, as in "ccache c++".
    local compiler=${CXX:-c++}
    compiler=${compiler%% *}
    if [ -n "${CXX:-}" ] && ! has "$compiler"; then
        fail "CXX=$CXX is not there" "unset CXX"
    fi
    has "$compiler" || install_packages "a C++ compiler" g++
    say "C++ compiler: $("$compiler" --version | head -n 1)"
}

# Only a download of libtorch needs pip.
require_pip() {
    python3 -m pip --version >/dev/null 2>&1 || install_packages "Python's pip" python3-pip
    python3 -m pip --version >/dev/null 2>&1 ||
        fail "$(command -v python3) has no pip" "python3 -m ensurepip --user"
}

# make_venv FOLDER: a new virtual environment of python3; what was in the folder is gone.
make_venv() {
    rm -rf "$1"
    mkdir -p "$(dirname "$1")"
    python3 -m venv "$1" >/dev/null 2>&1 || {
        install_packages "Python's venv" python3-venv
        rm -rf "$1"
        python3 -m venv "$1" || fail "no virtual environment could be made in $1" "apt-get install -y python3-venv"
    }
}
