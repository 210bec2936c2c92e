//! What several test binaries need: the guests, built once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

const PACKAGES: [&str; 6] = [
    "lossmith-losses",
    "lossmith-miners",
    "lossmith-proxies",
    "lossmith-test-roles",
    "lossmith-test-operations",
    "lossmith-evil",
];

/// The WebAssembly file of a guest package.
pub(crate) fn guest(package: &str) -> PathBuf {
    static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(build);
    let file = DIRECTORY.join(package.replace('-', "_")).with_extension("wasm");
    assert!(file.is_file(), "{package} is not among the guests that are built: {PACKAGES:?}");
    file
}

/// Builds all guests and returns the folder of the results.
fn build() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    // A folder of its own: the outer cargo may hold the lock of its target folder while tests run.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("guests");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--profile", "guest", "--target", "wasm32-unknown-unknown", "--target-dir"]);
    cargo.arg(&target).current_dir(repository);
    for package in PACKAGES {
        cargo.args(["-p", package]);
    }
    // What the outer cargo sets is about the host, not about the guests; where cargo and rustup live stays.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let stays = text.starts_with("RUSTUP") || text.ends_with("_HOME");
        if !stays && (text.starts_with("CARGO") || text.starts_with("RUST")) {
            cargo.env_remove(&name);
        }
    }
    assert!(cargo.status().unwrap().success(), "the guests do not build");
    target.join("wasm32-unknown-unknown/guest")
}
