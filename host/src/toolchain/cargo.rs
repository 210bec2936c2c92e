//! How cargo compiles plugins in Rust. The package's build script includes this file, too: the standard plugins that
//! are in the binary have the same bytes as those that `lossmith plugin build` makes.

use std::path::Path;
use std::process::Command;

use super::command::clean;
use super::detect::{TARGET, Toolchain};

/// How plugins are compiled, whatever profiles their workspace has: optimised, and with the line table that puts the
/// source line into an error message.
const PROFILE: [&str; 5] = [
    "profile.release.opt-level=3",
    "profile.release.debug='line-tables-only'",
    "profile.release.strip='none'",
    "profile.release.panic='abort'",
    "profile.release.codegen-units=1",
];

/// A folder of its own in a target folder for each toolchain: no lock is shared with a cargo that runs us, and the two
/// do not overwrite each other's standard library.
pub(super) fn folder(toolchain: &Toolchain) -> &'static str {
    match toolchain {
        Toolchain::Target { .. } => "guests",
        Toolchain::Debian { .. } => "guests-debian",
    }
}

/// A cargo that compiles the libraries in `dir` to core modules, in the folder `target_dir`.
pub(super) fn compile(toolchain: &Toolchain, dir: &Path, target_dir: &Path) -> Command {
    let mut command = clean("cargo", dir);
    command.args(["build", "--lib", "--release", "--target", TARGET]);
    command.args(PROFILE.iter().flat_map(|setting| ["--config", setting]));
    command.arg("--target-dir").arg(target_dir);
    toolchain.configure(&mut command);
    command
}
