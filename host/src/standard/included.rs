//! The plugins in the binary. They are compiled by the package's build script.

use std::sync::OnceLock;

use crate::toolchain;

/// A plugin that is in the binary.
#[derive(Debug)]
pub(crate) struct Included {
    /// Its name: `losses`.
    pub(crate) name: &'static str,
    /// What its crate compiles to.
    module: &'static [u8],
    /// The component, once it was needed.
    component: OnceLock<Result<Vec<u8>, String>>,
}

include!(concat!(env!("OUT_DIR"), "/standard.rs"));

impl Included {
    const fn new(name: &'static str, module: &'static [u8]) -> Self {
        Self { name, module, component: OnceLock::new() }
    }

    /// All of them, by name.
    pub(crate) fn all() -> &'static [Self] {
        &ALL
    }

    /// The component, the same bytes that `lossmith plugin build` makes of the same sources.
    pub(crate) fn component(&self) -> Result<&[u8], String> {
        let encode = || toolchain::encode(self.module).map_err(|error| format!("{error:#}"));
        self.component.get_or_init(encode).as_deref().map_err(Clone::clone)
    }
}
