//! `cargo test` builds the component and checks it: gradients, extreme batches, and the numbers in `tests/batch.json`.

use std::path::Path;
use std::process::Command;

/// Runs `lossmith` (or the program that `LOSSMITH` names) in this folder; what it says is shown when it fails.
fn lossmith(arguments: &[&str]) {
    let program = std::env::var_os("LOSSMITH").unwrap_or_else(|| "lossmith".into());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(&program).args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
    let (said, messages) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "lossmith {} failed:\n{said}{messages}", arguments.join(" "));
}

#[test]
fn the_component_passes_its_check() {
    lossmith(&["plugin", "build", ".", "--out", "target/plugins"]);
    lossmith(&["plugin", "check", "target/plugins/{{name}}.wasm", "--batch", "tests/batch.json"]);
}
