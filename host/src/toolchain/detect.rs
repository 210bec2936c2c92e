//! Detects the compiler that builds plugins.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ToolchainError;
use super::command::clean;

/// The target of all plugins in Rust.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// Set to `debian` it makes [`detect`] choose Debian's packages, even where rustup's target is there.
const CHOICE: &str = "LOSSMITH_WASM_TOOLCHAIN";

/// Debian's compiler: always here, whatever the PATH says.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// A way to compile Rust for WebAssembly.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Toolchain {
    /// The `rustc` on the PATH, with a compiled standard library for the target.
    Target {
        /// As `rustc --version` prints it.
        version: String,
    },
    /// Debian's packages `rustc-web` and `rust-web-src`: the standard library is compiled on the first use.
    Debian {
        /// As `rustc --version` prints it.
        version: String,
        /// What links Wasm modules: rustup's `rust-lld`, or `wasm-ld`.
        linker: PathBuf,
    },
}

impl Toolchain {
    /// Makes a `cargo build` use this toolchain.
    pub(super) fn configure(&self, cargo: &mut Command) {
        match self {
            Self::Target { .. } => {}
            Self::Debian { linker, .. } => {
                cargo
                    .env("RUSTC", DEBIAN_RUSTC)
                    // -Z is for a nightly compiler otherwise.
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                    .arg("-Zbuild-std=core,alloc,std,panic_abort");
            }
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target { version } => write!(f, "{TARGET} of {version}"),
            Self::Debian { version, .. } => write!(f, "Debian's {version} with the standard library's source"),
        }
    }
}

/// Finds the toolchain that a crate in `dir` is built with: a `rust-toolchain.toml` there counts.
///
/// The environment variable `LOSSMITH_WASM_TOOLCHAIN=debian` forces Debian's packages.
///
/// # Errors
/// [`ToolchainError::NoToolchain`] with the command that helps, [`ToolchainError::UnknownToolchain`].
pub fn detect(dir: &Path) -> Result<Toolchain, ToolchainError> {
    choose(std::env::var_os(CHOICE), Facts::gather(dir))
}

/// The compilers and targets of this machine.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// The version of the `rustc` on the PATH if it has a standard library for the target.
    target: Option<String>,
    /// The version of Debian's `rustc` if the standard library's source is beside it.
    debian: Option<String>,
    /// A linker for Wasm.
    linker: Option<PathBuf>,
    /// Whether `rustup` is on the PATH.
    rustup: bool,
}

fn choose(choice: Option<OsString>, facts: Facts) -> Result<Toolchain, ToolchainError> {
    let force_debian = match choice {
        None => false,
        Some(value) if value.is_empty() => false,
        Some(value) if value == "debian" => true,
        Some(value) => return Err(ToolchainError::UnknownToolchain { value: value.to_string_lossy().into_owned() }),
    };
    if let (Some(version), false) = (facts.target, force_debian) {
        return Ok(Toolchain::Target { version });
    }
    let remedy = match (facts.debian, facts.linker) {
        (Some(version), Some(linker)) => return Ok(Toolchain::Debian { version, linker }),
        (Some(_), None) => "run: apt-get install lld",
        (None, _) if facts.rustup && !force_debian => "run: rustup target add wasm32-unknown-unknown",
        (None, _) => "run: apt-get install rustc-web rust-web-src lld",
    };
    Err(ToolchainError::NoToolchain { remedy })
}

impl Facts {
    fn gather(dir: &Path) -> Self {
        let rustc = |arguments: &[&str]| answer(clean("rustc", dir).args(arguments));
        let debian = |arguments: &[&str]| answer(clean(DEBIAN_RUSTC, dir).args(arguments));
        Self {
            target: rustc(&["--print", "target-libdir", "--target", TARGET])
                .filter(|libraries| has_std(Path::new(libraries)))
                .and_then(|_| rustc(&["--version"])),
            debian: debian(&["--print", "sysroot"])
                .filter(|sysroot| Path::new(sysroot).join("lib/rustlib/src/rust/library/Cargo.lock").exists())
                .and_then(|_| debian(&["--version"])),
            linker: rustc(&["--print", "target-libdir"])
                .and_then(|libraries| Some(Path::new(&libraries).parent()?.join("bin/rust-lld")))
                .filter(|linker| linker.exists())
                .or_else(|| on_path("wasm-ld")),
            rustup: on_path("rustup").is_some(),
        }
    }
}

/// The output of a command, if it succeeds.
fn answer(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn has_std(libraries: &Path) -> bool {
    let is_std = |name: OsString| name.to_string_lossy().starts_with("libstd-");
    std::fs::read_dir(libraries).is_ok_and(|entries| entries.flatten().any(|entry| is_std(entry.file_name())))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn everything() -> Facts {
        Facts {
            target: Some("rustc 1.95.0".into()),
            debian: Some("rustc 1.96.0".into()),
            linker: Some("wasm-ld".into()),
            rustup: true,
        }
    }

    fn remedy(choice: Option<&str>, facts: Facts) -> &'static str {
        match choose(choice.map(OsString::from), facts) {
            Err(ToolchainError::NoToolchain { remedy }) => remedy,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn the_compiled_target_comes_first() {
        assert_eq!(choose(None, everything()).unwrap(), Toolchain::Target { version: "rustc 1.95.0".into() });
        assert_eq!(
            choose(Some("".into()), everything()).unwrap(),
            Toolchain::Target { version: "rustc 1.95.0".into() }
        );
    }

    #[test]
    fn debian_is_taken_without_the_target_or_when_forced() {
        let debian = Toolchain::Debian { version: "rustc 1.96.0".into(), linker: "wasm-ld".into() };
        assert_eq!(choose(None, Facts { target: None, ..everything() }).unwrap(), debian);
        assert_eq!(choose(Some("debian".into()), everything()).unwrap(), debian);
    }

    #[test]
    fn the_remedy_fits_what_is_missing() {
        let none = Facts { target: None, debian: None, ..everything() };
        assert_eq!(remedy(None, none.clone()), "run: rustup target add wasm32-unknown-unknown");
        assert_eq!(remedy(Some("debian"), none.clone()), "run: apt-get install rustc-web rust-web-src lld");
        assert_eq!(remedy(None, Facts { rustup: false, ..none }), "run: apt-get install rustc-web rust-web-src lld");
        assert_eq!(remedy(None, Facts { target: None, linker: None, ..everything() }), "run: apt-get install lld");
    }

    #[test]
    fn an_unknown_choice_is_an_error() {
        let error = choose(Some("nix".into()), everything()).unwrap_err();
        assert!(matches!(error, ToolchainError::UnknownToolchain { value } if value == "nix"));
    }
}
