//! A guest of the workspace, compiled as the command compiles plugins.

#[path = "../../../src/toolchain/cargo.rs"]
mod cargo;
#[path = "../../../src/toolchain/command.rs"]
mod command;
#[expect(unreachable_pub, reason = "it is public in the command's library")]
#[path = "../../../src/toolchain/detect.rs"]
mod detect;

use std::path::{Path, PathBuf};

/// The errors of [`detect`].
#[derive(Debug)]
enum ToolchainError {
    NoToolchain { remedy: &'static str },
    UnknownToolchain { value: String },
}

/// The core module of a package.
pub(crate) fn module(package: &str) -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let toolchain = detect::detect(repository).unwrap();
    // The folder that others compile into, too, beside `target/tmp`.
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join(cargo::folder(&toolchain));
    let output = cargo::compile(&toolchain, repository, &built).args(["-p", package, "--quiet"]).output().unwrap();
    assert!(output.status.success(), "{package} does not compile: {}", String::from_utf8_lossy(&output.stderr));
    built.join(detect::TARGET).join("release").join(package.replace('-', "_")).with_extension("wasm")
}
