//! Finds the line of an author's code at which a call ended.

use wasmparser::{Parser, Payload};
use wasmtime::WasmBacktrace;

use crate::SourceLine;

/// The custom section in which the SDK says where its sources are: two folders, one a line, as debug information and as
/// panics name them.
const SECTION: &str = "lossmith-sdk";
/// The longest section that is read.
const LONGEST: usize = 8192;

/// Folders whose code is the SDK's, as the component says it. Nothing if it does not: in other languages, and of older
/// SDKs.
pub(super) fn sdk_folders(component: &[u8]) -> Vec<String> {
    let sections = Parser::new(0).parse_all(component).filter_map(|payload| match payload {
        Ok(Payload::CustomSection(section)) if section.name() == SECTION && section.data().len() <= LONGEST => {
            std::str::from_utf8(section.data()).ok()
        }
        _ => None,
    });
    let lines = sections.flat_map(str::lines).filter_map(|line| Some(line.rsplit_once('/')?.0));
    lines.map(|folder| format!("{folder}/")).collect()
}

/// Whether a file is the SDK's.
pub(super) fn is_sdk(file: &str, sdk: &[String]) -> bool {
    if sdk.is_empty() { file.contains("/sdk/src/") } else { sdk.iter().any(|folder| file.starts_with(folder)) }
}

/// Whether a function or file is that of the standard library, the SDK, or a published crate.
fn is_foreign(name: &str, file: &str, sdk: &[String]) -> bool {
    const CRATES: [&str; 5] = ["core::", "std::", "alloc::", "lossmith_sdk::", "wit_bindgen::"];
    let of_crate = |name: &str| CRATES.iter().any(|prefix| name.starts_with(prefix));
    // `rust_panic`, `__rust_alloc`; not `rust_losses::loss`.
    let of_runtime = name.starts_with("__") || name.starts_with("rust_") && !name.contains("::");
    let of_std =
        file.starts_with("/rustc/") || file.starts_with("library/") || file.contains("/rustlib/src/rust/library/");
    of_crate(name)
        || name.strip_prefix('<').is_some_and(of_crate)
        || of_runtime
        || of_std
        || file.contains("/registry/src/")
        || is_sdk(file, sdk)
}

/// The innermost line that is the plugin author's own code; else the outermost one.
pub(super) fn of_trap(backtrace: &WasmBacktrace, sdk: &[String]) -> Option<SourceLine> {
    let mut outermost = None;
    for frame in backtrace.frames() {
        for symbol in frame.symbols() {
            let name = symbol.name().unwrap_or("an unnamed function").to_owned();
            let source = symbol.file().zip(symbol.line()).map(|(file, line)| (file.to_owned(), line));
            let own = source.as_ref().is_some_and(|(file, _)| !is_foreign(&name, file, sdk));
            let place = SourceLine { function: name, source };
            if own {
                return Some(place);
            }
            outermost = Some(place);
        }
        if frame.symbols().is_empty()
            && let Some(name) = frame.func_name()
        {
            let place = SourceLine { function: name.to_owned(), source: None };
            if !is_foreign(name, "", sdk) {
                return Some(place);
            }
            outermost = Some(place);
        }
    }
    outermost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_foreign_is_told_by_crate_and_folder_not_by_parts_of_names() {
        let sdk = ["/home/me/soft/vendor/lossmith-sdk/src/".to_owned(), "vendor/lossmith-sdk/src/".to_owned()];
        for (name, file) in [
            ("core_losses::loss", "/home/me/sdk/src/lib.rs"),
            ("<core_losses::Loss as lossmith_sdk::Loss>::loss", "/home/me/library/src/lib.rs"),
            ("rust_losses::loss", "/home/me/rust/src/lib.rs"),
            ("soft::loss", "/home/me/soft/src/lib.rs"),
        ] {
            assert!(!is_foreign(name, file, &sdk), "{name} {file}");
        }
        for (name, file) in [
            ("core::ops::function::FnOnce::call_once", ""),
            (
                "<f64 as core::ops::arith::Mul<lossmith_sdk::tensor::Tensor>>::mul",
                "vendor/lossmith-sdk/src/tensor/arithmetic.rs",
            ),
            ("<&T as X>::y", "/rustc/59807616e/library/core/src/fmt/mod.rs"),
            ("<&T as X>::y", "/usr/lib/rustlib/src/rust/library/core/src/fmt/mod.rs"),
            ("rust_panic", ""),
            ("a::b", "/home/a/.cargo/registry/src/index/bitflags-2/src/lib.rs"),
            ("<lossmith_sdk::Tensor as core::ops::Drop>::drop", ""),
        ] {
            assert!(is_foreign(name, file, &sdk), "{name} {file}");
        }
    }
}
