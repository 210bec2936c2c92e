//! A plugin's crate outside of the repository.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Lab, MINED_TRIPLETS, Outcome};

const SOURCE: &str = r#"//! A plugin.
use lossmith_sdk::prelude::*;

export! { losses: [Spread] }

strategy! {
    /// Mean cosine of all pairs.
    pub struct Spread as "spread" {
        /// What the mean is multiplied by.
        scale: f64 = 1.0, range 0.0..;
    }
}

impl Loss for Spread {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let embeddings = batch.embeddings();
        Ok(embeddings.cosine_matrix(&embeddings).mean(ALL) * self.scale)
    }
}
"#;

fn crate_with(lab: &Lab, source: &str) {
    crate_in(lab, "spread", source);
}

/// The crate `spread` in a folder.
fn crate_in(lab: &Lab, folder: &str, source: &str) {
    crate_named("spread", lab, folder, source);
}

fn crate_named(name: &str, lab: &Lab, folder: &str, source: &str) {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/sdk").canonicalize().unwrap();
    fs::create_dir_all(lab.path(folder).join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = {name:?}\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\nlossmith-sdk = {{ path = {sdk:?} }}\n"
    );
    lab.write(&format!("{folder}/Cargo.toml"), &manifest);
    lab.write(&format!("{folder}/src/lib.rs"), source);
}

/// A cache folder of the tests, not the user's.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

fn cached(lab: &Lab, arguments: &[&str]) -> Outcome {
    // As a user has it who chose no target folder.
    Outcome::of(lab.command(arguments).env("XDG_CACHE_HOME", cache()).env_remove("CARGO_TARGET_DIR"))
}

#[test]
fn a_crate_of_its_own_is_built_inspected_and_trained_with() {
    let lab = Lab::new(MINED_TRIPLETS);
    crate_with(&lab, SOURCE);
    let built = cached(&lab, &["--json", "plugin", "build", "spread"]).json();
    let component = lab.path("spread/target/plugins/spread.wasm");
    assert_eq!(fs::canonicalize(built["component"].as_str().unwrap()).unwrap(), fs::canonicalize(component).unwrap());

    let plugin = "spread/target/plugins/spread.wasm";
    let offered = lab.lossmith(&["--json", "plugin", "inspect", plugin]).json();
    assert_eq!(offered["strategies"][0]["name"], "spread");
    assert_eq!(offered["strategies"][0]["params"][0]["name"], "scale");

    lab.replace(
        "plugin = \"losses\", strategy = \"triplet\", params = { margin = 0.2 }",
        &format!("plugin = \"{plugin}\", strategy = \"spread\""),
    );
    let losses = lab.train(&[]).values("epoch", "loss");
    assert!(losses[1] < losses[0], "{losses:?}");

    // A mistake: the compiler's message is shown, and the component stays.
    crate_with(&lab, &SOURCE.replace("* self.scale", "* self.scael"));
    cached(&lab, &["plugin", "build", "spread"]).fails(1, &["no field `scael`", "src/lib.rs", "spread"]);
    assert_eq!(lab.lossmith(&["--json", "plugin", "inspect", plugin]).json(), offered);
}

#[test]
fn a_folder_without_a_crate_is_refused() {
    let lab = Lab::new(MINED_TRIPLETS);
    lab.lossmith(&["plugin", "build", "."]).fails(1, &["Cargo.toml"]);
}

/// What a component says that its strategy is.
fn summary(lab: &Lab, folder: &str) -> String {
    let file = format!("{folder}/target/plugins/spread.wasm");
    let offered = lab.lossmith(&["--json", "plugin", "inspect", &file]).json();
    offered["strategies"][0]["summary"].as_str().unwrap().to_owned()
}

#[test]
fn crates_of_one_name_share_what_they_depend_on_and_nothing_else() {
    let lab = Lab::new(MINED_TRIPLETS);
    // Built by several commands at once; blanks and letters of any kind are in the path of one.
    let folders = ["one", "the second ü"];
    for folder in folders {
        crate_in(&lab, folder, &SOURCE.replace("Mean cosine", &format!("Of {folder}: mean cosine")));
    }
    for round in 0..2 {
        let said = std::thread::scope(|scope| {
            let builds = folders.map(|folder| {
                let lab = &lab;
                scope.spawn(move || cached(lab, &["plugin", "build", folder]))
            });
            builds.map(|build| build.join().unwrap())
        });
        for (folder, said) in folders.into_iter().zip(said) {
            assert_eq!(said.code, Some(0), "{said:?}");
            assert!(summary(&lab, folder).starts_with(&format!("Of {folder}:")), "round {round}: {said:?}");
            assert!(!lab.path(folder).join("target/guests").exists());
        }
    }
    // Nothing changed, and nobody else built since.
    cached(&lab, &["plugin", "build", "one"]).ok();
    let again = cached(&lab, &["plugin", "build", "one"]);
    assert!(again.stderr.contains("plugin `spread`: unchanged since it was built"), "{again:?}");
}

#[test]
fn a_training_builds_only_what_changed_and_keeps_the_source() {
    let lab = Lab::new(MINED_TRIPLETS);
    // Another test that builds a crate of the same name meanwhile would have it built again.
    crate_named("alone", &lab, "spread", SOURCE);
    lab.replace(
        "plugin = \"losses\", strategy = \"triplet\", params = { margin = 0.2 }",
        "plugin = { crate = \"spread\" }, strategy = \"spread\"",
    );
    let train = || cached(&lab, &lab.training(&["epochs=1", "evaluation.test=false"]));
    let first = train();
    assert!(first.stderr.contains("plugin `alone`: built in"), "{first:?}");
    let again = train();
    assert!(again.stderr.contains("plugin `alone`: unchanged since it was built"), "{again:?}");
    let run = lab.run_of(&again.ok());
    let manifest: serde_json::Value = serde_json::from_str(&run.text("manifest.json")).unwrap();
    let slots = manifest["plugins"].as_array().unwrap();
    let hash = slots.iter().find(|plugin| plugin["strategy"] == "spread").unwrap()["hash"].as_str().unwrap();
    assert_eq!(run.text(&format!("sources/{hash}/src/lib.rs")), SOURCE);
    assert!(run.text(&format!("sources/{hash}/Cargo.lock")).contains("lossmith-sdk"));
    assert_eq!(run.files("sources"), [hash]);
}

#[test]
fn what_cargo_cannot_read_is_told_as_it_says_it() {
    let lab = Lab::new(MINED_TRIPLETS);
    crate_with(&lab, SOURCE);
    lab.write("spread/Cargo.lock", "version = 4\n[[package]]\nname = 7\n");
    cached(&lab, &["plugin", "build", "spread"]).fails(1, &["Cargo.lock", "spread"]);
    lab.replace(
        "plugin = \"losses\", strategy = \"triplet\", params = { margin = 0.2 }",
        "plugin = { crate = \"no-such\" }, strategy = \"spread\"",
    );
    // With the exit code of `plugin build`.
    lab.try_train(&[]).fails(1, &["no Cargo.toml in", "no-such"]);
}
