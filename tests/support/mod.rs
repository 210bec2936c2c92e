//! What several test binaries need: the guests, built once by the real command.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Packages and their folders.
const GUESTS: [(&str, &str); 13] = [
    ("lossmith-losses", "plugins/losses"),
    ("lossmith-miners", "plugins/miners"),
    ("lossmith-proxies", "plugins/proxies"),
    ("lossmith-rankings", "plugins/rankings"),
    ("lossmith-regularizers", "plugins/regularizers"),
    ("lossmith-transfers", "plugins/transfers"),
    ("lossmith-balances", "plugins/balances"),
    ("lossmith-schedules", "plugins/schedules"),
    ("lossmith-fusions", "plugins/fusions"),
    ("lossmith-test-roles", "tests/guests/roles"),
    ("lossmith-test-operations", "tests/guests/operations"),
    ("lossmith-test-mistakes", "tests/guests/mistakes"),
    ("lossmith-evil", "tests/guests/evil"),
];

/// The folder with the component of every guest.
pub(crate) fn guests() -> &'static Path {
    static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(build);
    &DIRECTORY
}

/// The component of a guest package.
pub(crate) fn guest(package: &str) -> PathBuf {
    let name = package.trim_start_matches("lossmith-");
    let file = guests().join(name).with_extension("wasm");
    assert!(file.is_file(), "{package} is not among the guests that are built: {GUESTS:?}");
    file
}

fn build() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    for (package, folder) in GUESTS {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
        command.args(["plugin", "build"]).arg(repository.join(folder)).arg("--out").arg(&out);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{package} does not build: {}", String::from_utf8_lossy(&output.stderr));
    }
    out
}

/// The core module that a guest's component was made from.
pub(crate) fn module(package: &str) -> PathBuf {
    // CARGO_TARGET_TMPDIR is target/tmp; each toolchain builds in a folder of its own.
    let target = guests().ancestors().nth(2).unwrap();
    let file = Path::new("wasm32-unknown-unknown/release").join(package.replace('-', "_")).with_extension("wasm");
    let built = ["guests", "guests-debian"].map(|folder| target.join(folder).join(&file));
    built.into_iter().find(|file| file.is_file()).unwrap()
}
