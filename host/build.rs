//! Makes every program, test and bench of this package find libtorch without `LD_LIBRARY_PATH`.

fn main() {
    if let Ok(libraries) = std::env::var("DEP_LOSSMITH_TORCH_SHIM_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libraries}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
