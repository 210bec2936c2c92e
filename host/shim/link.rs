//! How a package that uses libtorch is linked.

/// Makes each program, test and bench of a package find libtorch without `LD_LIBRARY_PATH`. For build scripts; the
/// package depends on this crate, which tells the folder.
pub(crate) fn link() {
    if let Ok(libraries) = std::env::var("DEP_LOSSMITH_TORCH_SHIM_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libraries}");
        // No symbol of it is used by name, so that the linker would leave it out, and with it every CUDA device.
        let cuda = std::path::Path::new(&libraries).join("libtorch_cuda.so");
        if cuda.exists() {
            println!("cargo::rustc-link-arg=-Wl,--no-as-needed,{},--as-needed", cuda.display());
        }
    }
}
