//! Compiles the bridge against the libtorch that torch-sys has found, and tells the host where its libraries are.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let variable = "DEP_TCH_LIBTORCH_LIB";
    let libraries = env::var(variable)
        .map_err(|_| format!("torch-sys did not set {variable}: only Linux and macOS are supported"))?;
    // A relative LIBTORCH would make an rpath that depends on where the program is started.
    let libraries =
        Path::new(&libraries).canonicalize().map_err(|error| format!("libtorch's libraries, {libraries}: {error}"))?;
    let include = include_folder(&libraries)?;

    cxx_build::bridge("src/bridge.rs")
        .file("src/shim.cc")
        .file("src/ranks.cc")
        .include("stubs")
        // Nobody debugs it, and it would compile twice as long.
        .debug(false)
        // As torch-sys compiles its own part.
        .std("c++17")
        .define("_GLIBCXX_USE_CXX11_ABI", &*variable_or("LIBTORCH_CXX11_ABI", "1"))
        // As libtorch was compiled: some of its classes have a member more without it.
        .define("NDEBUG", None)
        // Loops over all pairs: without these they take one element at a time.
        .opt_level(3)
        .flag("-fno-math-errno")
        .flag("-fopenmp-simd")
        .flag("-isystem")
        .flag(&include)
        .flag("-isystem")
        .flag(include.join("torch/csrc/api/include"))
        .compile("lossmith_torch_shim");

    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=stubs");
    println!("cargo::metadata=libtorch_lib={}", libraries.display());
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", libraries.display());
    Ok(())
}

/// The folder that has `ATen/`, found as torch-sys finds it.
fn include_folder(libraries: &Path) -> Result<PathBuf, String> {
    let beside = libraries.parent().unwrap_or(libraries).to_path_buf();
    let root = if env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        beside
    } else {
        ["LIBTORCH_INCLUDE", "LIBTORCH"].into_iter().find_map(env::var_os).map_or(beside, PathBuf::from)
    };
    for name in ["LIBTORCH_USE_PYTORCH", "LIBTORCH_INCLUDE", "LIBTORCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let include = root.join("include");
    include.join("ATen").is_dir().then_some(include).ok_or_else(|| {
        format!("{} has no include/ATen: set LIBTORCH to the folder of a complete libtorch", root.display())
    })
}

fn variable_or(name: &str, default: &str) -> String {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).unwrap_or_else(|_| default.to_owned())
}
