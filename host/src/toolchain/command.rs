//! Commands with a clean environment.
//!
//! Under `cargo run` and `cargo test` the environment tells which crate is built, with which flags and by which
//! wrapper. None of that is meant for a plugin.

use std::path::Path;
use std::process::Command;

/// Variables of Cargo and Rust that say where things are, not how to build.
const KEPT: [&str; 11] = [
    "CARGO_HOME",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_JOBS",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
    "RUSTUP_",
];

/// `program`, to be run in `dir` without the variables that an outer cargo sets.
pub(super) fn clean(program: impl AsRef<std::ffi::OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| !is_inherited(name)) {
            command.env_remove(name);
        }
    }
    command
}

fn is_inherited(name: &str) -> bool {
    let of_cargo = name.starts_with("CARGO") || name.starts_with("RUST") || name.ends_with("MAKEFLAGS");
    !of_cargo || KEPT.iter().any(|kept| if kept.ends_with('_') { name.starts_with(kept) } else { name == *kept })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_outer_build_sets_is_not_inherited() {
        for name in
            ["CARGO", "CARGO_PKG_NAME", "CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_MAKEFLAGS"]
        {
            assert!(!is_inherited(name), "{name}");
        }
    }

    #[test]
    fn where_things_are_is_inherited() {
        for name in ["PATH", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "CARGO_HTTP_CAINFO", "CARGO_TARGET_DIR"] {
            assert!(is_inherited(name), "{name}");
        }
    }
}
