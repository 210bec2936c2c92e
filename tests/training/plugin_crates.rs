//! A plugin's crate outside of the repository.

use std::fs;
use std::path::Path;

use crate::support::{Lab, MINED_TRIPLETS};

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
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/sdk").canonicalize().unwrap();
    fs::create_dir_all(lab.path("spread/src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"spread\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\nlossmith-sdk = {{ path = {sdk:?} }}\n"
    );
    lab.write("spread/Cargo.toml", &manifest);
    lab.write("spread/src/lib.rs", source);
}

#[test]
fn a_crate_of_its_own_is_built_inspected_and_trained_with() {
    let lab = Lab::new(MINED_TRIPLETS);
    crate_with(&lab, SOURCE);
    let built = lab.lossmith(&["--json", "plugin", "build", "spread"]).json();
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
    lab.lossmith(&["plugin", "build", "spread"]).fails(1, &["no field `scael`", "src/lib.rs", "spread"]);
    assert_eq!(lab.lossmith(&["--json", "plugin", "inspect", plugin]).json(), offered);
}

#[test]
fn a_folder_without_a_crate_is_refused() {
    let lab = Lab::new(MINED_TRIPLETS);
    lab.lossmith(&["plugin", "build", "."]).fails(1, &["Cargo.toml"]);
}
