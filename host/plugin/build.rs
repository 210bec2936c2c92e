//! Makes every test and example of this package find libtorch without `LD_LIBRARY_PATH`.

#[path = "../shim/link.rs"]
mod link;

fn main() {
    link::link();
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../shim/link.rs");
}
