//! The contract as Rust, generated from `wit/`. Plugins use the wrappers in the rest of this crate.
wit_bindgen::generate!({
    path: "../../wit",
    world: "plugin",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "lossmith_sdk::bindings",
    runtime_path: "::lossmith_sdk::rt",
});
