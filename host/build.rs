//! Makes every program, test and bench of this package find libtorch without `LD_LIBRARY_PATH`, and compiles the
//! standard plugins, which are in the binary.

#[path = "src/toolchain/cargo.rs"]
mod cargo;
#[path = "src/toolchain/command.rs"]
mod command;
#[expect(unreachable_pub, reason = "it is public in the library")]
#[path = "src/toolchain/detect.rs"]
mod detect;
#[path = "shim/link.rs"]
mod link;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The errors of [`detect`] that the library has with more beside them.
enum ToolchainError {
    NoToolchain { remedy: &'static str },
    UnknownToolchain { value: String },
}

fn main() {
    // Where `make install` puts copies; there is nothing beside what cargo builds.
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/lossmith");
    link::link();
    if let Err(error) = compile_standard_plugins() {
        // Each line of a message needs the key in front.
        for line in error.lines() {
            println!("cargo::error={line}");
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=shim/link.rs");
}

/// Compiles the plugins of the workspace and writes `standard.rs`: a static array of their names and core modules. They
/// share the target folder of `lossmith plugin build`, so nothing is compiled twice.
fn compile_standard_plugins() -> Result<(), String> {
    let out = folder("OUT_DIR")?;
    let package = folder("CARGO_MANIFEST_DIR")?;
    let repository = package.parent().ok_or("the package is not in its workspace")?;
    // OUT_DIR is target/PROFILE/build/PACKAGE/out.
    let target = out.ancestors().nth(4).ok_or("OUT_DIR is not in a target folder")?;
    let names = standard_plugins(&repository.join("plugins"))?;
    println!("cargo::rerun-if-env-changed=LOSSMITH_WASM_TOOLCHAIN");
    let sources = names.iter().map(String::as_str).chain(["sdk"]).map(|name| repository.join("plugins").join(name));
    for folder in sources {
        println!("cargo::rerun-if-changed={}", folder.join("src").display());
        println!("cargo::rerun-if-changed={}", folder.join("Cargo.toml").display());
    }
    for file in ["wit", "Cargo.toml", "Cargo.lock", "host/src/toolchain"] {
        println!("cargo::rerun-if-changed={}", repository.join(file).display());
    }
    let toolchain = detect::detect(repository).map_err(|error| match error {
        ToolchainError::NoToolchain { remedy } => format!("no Rust toolchain for WebAssembly was found; {remedy}"),
        ToolchainError::UnknownToolchain { value } => {
            format!("LOSSMITH_WASM_TOOLCHAIN is `{value}`, which is not known: unset it, or set it to `debian`")
        }
    })?;
    let built = target.join(cargo::folder(&toolchain));
    let mut command = cargo::compile(&toolchain, repository, &built);
    for name in &names {
        command.args(["-p", &format!("lossmith-{name}")]);
    }
    let output = command.arg("--quiet").output().map_err(|error| format!("cargo could not be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("the standard plugins do not compile\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let built = built.join(detect::TARGET).join("release");
    let mut array = format!("static ALL: [Included; {}] = [\n", names.len());
    for name in &names {
        let (from, to) = (built.join(format!("lossmith_{name}.wasm")), out.join(format!("{name}.wasm")));
        fs::copy(&from, &to).map_err(|error| format!("copying {} failed: {error}", from.display()))?;
        let _ = writeln!(
            array,
            "    Included::new({name:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.wasm\"))),"
        );
    }
    fs::write(out.join("standard.rs"), array + "];\n").map_err(|error| format!("writing standard.rs failed: {error}"))
}

fn folder(variable: &str) -> Result<PathBuf, String> {
    env::var_os(variable).map(PathBuf::from).ok_or_else(|| format!("cargo has not set {variable}"))
}

/// The names of the folders in `plugins/` that are crates for a `cdylib`, sorted.
fn standard_plugins(plugins: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(plugins).map_err(|error| format!("reading {} failed: {error}", plugins.display()))?;
    let is_plugin =
        |folder: &Path| fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|text| text.contains("cdylib"));
    let mut names: Vec<_> = entries
        .flatten()
        .filter(|entry| is_plugin(&entry.path()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}
