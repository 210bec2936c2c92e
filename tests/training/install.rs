//! `make install`: the command in another folder, without the checkout around.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Lab, MINED_TRIPLETS, Outcome};

#[test]
fn an_installed_command_trains_with_the_libraries_beside_it() {
    let lab = Lab::new(MINED_TRIPLETS);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let prefix = lab.path("prefix");
    let mut install = Command::new(repository.join("scripts/install.sh"));
    let said = Outcome::of(install.arg(env!("CARGO_BIN_EXE_lossmith")).arg(&prefix)).ok();
    assert!(said.contains("prefix/bin/lossmith"), "{said}");
    let installed = |arguments: &[&str]| {
        let mut command = Command::new(prefix.join("bin/lossmith"));
        command.current_dir(lab.path("")).args(arguments);
        command.env_remove("LOSSMITH_PLUGINS").env_remove("LD_LIBRARY_PATH").env_remove("LIBTORCH");
        Outcome::of(&mut command)
    };
    let told = installed(&["--json", "doctor"]).json();
    let found = |what: &str| {
        let findings = told["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["what"] == what).unwrap()["found"].as_str().unwrap().to_owned()
    };
    let beside = fs::canonicalize(prefix.join("lib/lossmith")).unwrap();
    assert!(found("libtorch").contains(beside.to_str().unwrap()), "{told}");
    assert!(found("lossmith").contains("prefix/bin/lossmith"), "{told}");
    installed(&lab.training(&["epochs=1"])).ok();
    // Again over what is there.
    let mut install = Command::new(repository.join("scripts/install.sh"));
    Outcome::of(install.arg(env!("CARGO_BIN_EXE_lossmith")).arg(&prefix)).ok();
    installed(&["--version"]).ok();
}
