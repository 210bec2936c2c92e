# shellcheck shell=bash
# A compiler for plugins in Rust. The rules are those of host/src/toolchain, which uses what is set up here.

WASM_TARGET=wasm32-unknown-unknown

setup_wasm() {
    case "${LOSSMITH_WASM_TOOLCHAIN:-}" in
    "") setup_wasm_target || setup_wasm_debian ;;
    debian) setup_wasm_debian ;;
    *) fail "LOSSMITH_WASM_TOOLCHAIN=$LOSSMITH_WASM_TOOLCHAIN is not known, only 'debian' is" "unset LOSSMITH_WASM_TOOLCHAIN" ;;
    esac
}

setup_wasm_target() {
    if ! has_wasm_target; then
        has rustup || return 1
        say "rustup target add $WASM_TARGET"
        rustup target add "$WASM_TARGET" || say "rustup could not add the target, trying Debian's packages"
    fi
    has_wasm_target || return 1
    say "Wasm toolchain: $WASM_TARGET of $(rustc --version)"
}

# The compiled standard library, wherever this rustc looks for it: rustup's, or a distribution's.
has_wasm_target() { compgen -G "$(rustc --print target-libdir --target "$WASM_TARGET")/libstd-*.rlib" >/dev/null; }

setup_wasm_debian() {
    local version source
    has apt-get || fail "the target $WASM_TARGET is missing" "rustup target add $WASM_TARGET"
    source=$(debian_source)
    if [ ! -x /usr/bin/rustc ] || [ ! -e "$source" ]; then
        install_packages "a Wasm toolchain" rustc-web rust-web-src
        source=$(debian_source)
    fi
    version=$(rustc_version /usr/bin/rustc)
    if ! at_least "${version:-0}" "$RUST_VERSION" || [ ! -e "$source" ]; then
        fail "Debian's Rust is ${version:-missing}, plugins need $RUST_VERSION or later with its source" "rustup target add $WASM_TARGET"
    fi
    [ -x "$(toolchain_linker)" ] || has wasm-ld || install_packages "a linker for Wasm" lld
    say "Wasm toolchain: Debian's rustc $version, which compiles the standard library on its first use"
}

# This file is what -Zbuild-std starts from.
debian_source() { echo "$(/usr/bin/rustc --print sysroot 2>/dev/null || true)/lib/rustlib/src/rust/library/Cargo.lock"; }

toolchain_linker() {
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    echo "$(rustc --print sysroot)/lib/rustlib/$host/bin/rust-lld"
}
