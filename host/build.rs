//! Makes every program, test and bench of this package find libtorch without `LD_LIBRARY_PATH`.

use std::path::Path;

fn main() {
    if let Ok(libraries) = std::env::var("DEP_LOSSMITH_TORCH_SHIM_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libraries}");
        // No symbol of it is used by name, so that the linker would leave it out, and with it every CUDA device.
        let cuda = Path::new(&libraries).join("libtorch_cuda.so");
        if cuda.exists() {
            println!("cargo::rustc-link-arg=-Wl,--no-as-needed,{},--as-needed", cuda.display());
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
}
