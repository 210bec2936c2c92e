//! Standard plugins: which component a bare name such as `losses` means. One rule for all commands: `NAME.wasm` in the
//! folder that `LOSSMITH_PLUGINS` names, else beside the experiment file (in the current folder for commands without
//! one), else the one in the binary.

mod included;
#[expect(clippy::module_inception, reason = "it has what the folder is named after")]
mod standard;

pub use standard::Standard;
