//! The WIT world of a plugin: the contract, and a world with the plugin's roles.

use std::path::Path;

use super::error::ToolchainError;

/// The world's name.
pub(super) const WORLD: &str = "built-plugin";

const TENSOR: &str = include_str!("../../../wit/tensor.wit");
const CONTEXT: &str = include_str!("../../../wit/context.wit");
const ROLES: &str = include_str!("../../../wit/roles.wit");

/// Writes the contract into the folder `dir`, which it makes, with a world that exports `describe` and `roles`.
pub(super) fn write(dir: &Path, roles: &[String]) -> Result<(), ToolchainError> {
    let world = world(roles);
    std::fs::create_dir_all(dir).map_err(ToolchainError::file("creating", dir))?;
    for (name, text) in [("tensor.wit", TENSOR), ("context.wit", CONTEXT), ("roles.wit", ROLES), ("world.wit", &world)]
    {
        let file = dir.join(name);
        std::fs::write(&file, text).map_err(ToolchainError::file("writing", &file))?;
    }
    Ok(())
}

/// The contract and the world of a plugin with these roles, in one text.
pub(super) fn text(roles: &[String]) -> String {
    [TENSOR, CONTEXT, ROLES, &world(roles)].concat()
}

fn world(roles: &[String]) -> String {
    let exports: String = roles.iter().map(|role| format!("  export {role};\n")).collect();
    format!("world {WORLD} {{\n  include imports;\n  export describe;\n{exports}}}\n")
}

/// The version of the contract.
#[cfg(test)]
pub(super) fn version() -> Option<&'static str> {
    TENSOR.lines().next()?.strip_prefix("package lossmith:plugin@")?.strip_suffix(';')
}
