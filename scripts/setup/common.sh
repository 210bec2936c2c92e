# shellcheck shell=bash
# What all parts of the set-up share: how they speak, and how they install a Debian package.

# The oldest Rust that builds the workspace: `rust-version` in Cargo.toml.
RUST_VERSION=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

say() { printf 'setup: %s\n' "$*"; }

# fail WHAT COMMAND: says what is wrong and the one command that would help.
fail() {
    printf 'setup: error: %s\n       try: %s\n' "$1" "$2" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# at_least VERSION MINIMUM
at_least() { [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# rustc_version RUSTC: as 1.95.0, empty if it does not run.
rustc_version() { "$1" --version 2>/dev/null | awk '{ print $2; exit }' || true; }

apt_install() { DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >/dev/null; }

# install_packages WHAT PACKAGE...: installs Debian packages where that is allowed, else says how.
install_packages() {
    local what=$1
    shift
    if ! has apt-get; then
        fail "$what is missing" "install it with this system's package manager (Debian's packages: $*)"
    fi
    if [ "$(id -u)" -ne 0 ]; then
        fail "$what is missing" "sudo apt-get install -y $*"
    fi
    say "installing $* for $what"
    # The lists of a fresh container are empty: get them when the first try fails.
    apt_install "$@" 2>/dev/null || { apt-get update >/dev/null && apt_install "$@"; } ||
        fail "$what could not be installed" "apt-get update && apt-get install -y $*"
}
