//! What is in the folder of a new plugin. The sources are in `plugins/templates`: `{{name}}` and the like stand for
//! what is different in each plugin.

use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use lossmith_plugin::Role;

use super::language::Language;
use super::name::type_name;

/// The sources of the Rust SDK. Their path of the contract is `../../wit`, so that the SDK is two folders below the
/// plugin's.
static RUST_SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../plugins/sdk/src");
const RUST_SDK_FOLDER: &str = "vendor/lossmith-sdk";

macro_rules! template {
    ($($part:literal),+) => {
        include_str!(concat!("../../../plugins/templates/", $($part),+))
    };
}

/// The template of a role: its name stands between `$before` and `$after`.
macro_rules! of_role {
    ($role:expr, $before:literal, $after:literal) => {
        match $role {
            Role::Loss => template!($before, "loss", $after),
            Role::Miner => template!($before, "miner", $after),
            Role::Transfer => template!($before, "transfer", $after),
            Role::Balance => template!($before, "balance", $after),
            Role::Schedule => template!($before, "schedule", $after),
            Role::Fusion => template!($before, "fusion", $after),
        }
    };
}

/// The files of a plugin with their contents, relative to its folder.
pub(super) fn files(name: &str, role: Role, language: Language) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = match language {
        Language::Rust => vec![
            ("Cargo.toml", template!("rust/Cargo.toml.template")),
            ("src/lib.rs", of_role!(role, "rust/", ".rs")),
            ("tests/check.rs", template!("rust/check.rs")),
            ("vendor/lossmith-sdk/Cargo.toml", template!("rust/sdk.toml.template")),
        ],
        Language::Python => vec![
            ("plugin.toml", template!("python/plugin.toml.template")),
            ("plugin.py", of_role!(role, "python/", ".py")),
            ("test_plugin.py", template!("python/test_plugin.py")),
            ("lossmith.py", include_str!("../../../plugins/python/lossmith.py")),
        ],
        Language::JavaScript => vec![
            ("plugin.toml", template!("javascript/plugin.toml.template")),
            ("plugin.js", of_role!(role, "javascript/", ".js")),
            ("plugin.test.mjs", template!("javascript/plugin.test.mjs")),
            ("lossmith.js", include_str!("../../../plugins/javascript/lossmith.js")),
        ],
    };
    files.extend([
        (".gitignore", template!("common/gitignore")),
        ("README.md", template!("common/README.md.template")),
        ("experiment.toml", of_role!(role, "common/experiment/", ".toml")),
        ("tests/batch.json", of_role!(role, "common/batch/", ".json")),
        ("wit/context.wit", include_str!("../../../wit/context.wit")),
        ("wit/roles.wit", include_str!("../../../wit/roles.wit")),
        ("wit/tensor.wit", include_str!("../../../wit/tensor.wit")),
    ]);
    if matches!(role, Role::Transfer | Role::Balance) {
        files.push(("teacher.toml", template!("common/teacher.toml")));
    }
    let values = values(name, role, language);
    let mut files: Vec<_> =
        files.into_iter().map(|(path, text)| (PathBuf::from(path), filled(text, &values).into_bytes())).collect();
    if language == Language::Rust {
        add(&RUST_SDK, &Path::new(RUST_SDK_FOLDER).join("src"), &mut files);
    }
    files
}

/// What stands where a template has `{{key}}`. A value may have keys of the values behind it.
fn values(name: &str, role: Role, language: Language) -> [(&'static str, String); 10] {
    let (title, source, sdk, test) = match language {
        Language::Rust => (
            "Rust",
            "src/lib.rs",
            "- `cargo doc -p lossmith-sdk --open`: what a plugin in Rust is written with. Its sources are in \
             `vendor/lossmith-sdk`.",
            "cargo test",
        ),
        Language::Python => (
            "Python",
            "plugin.py",
            "- [lossmith.py](lossmith.py): what a plugin in Python is written with. The build takes this copy; without \
             it, that of the `lossmith` that builds.",
            "python3 -m unittest",
        ),
        Language::JavaScript => (
            "JavaScript",
            "plugin.js",
            "- [lossmith.js](lossmith.js): what a plugin in JavaScript is written with. The build takes this copy; \
             without it, that of the `lossmith` that builds.",
            "node --test",
        ),
    };
    let train = match role {
        Role::Loss => template!("common/train/alone.md"),
        Role::Miner | Role::Schedule | Role::Fusion => template!("common/train/standard.md"),
        Role::Transfer | Role::Balance => template!("common/train/teacher.md"),
    };
    [
        ("train", train.trim_end().to_owned()),
        ("numbers", of_role!(role, "common/numbers/", ".md").trim_end().to_owned()),
        ("sdk", sdk.to_owned()),
        ("source", source.to_owned()),
        ("test", test.to_owned()),
        ("language", title.to_owned()),
        ("role", role.name().to_owned()),
        ("struct", type_name(name, role)),
        ("name", name.to_owned()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ]
}

fn filled(template: &str, values: &[(&str, String)]) -> String {
    values.iter().fold(template.to_owned(), |text, (key, value)| text.replace(&format!("{{{{{key}}}}}"), value))
}

/// Adds all files below an embedded folder.
fn add(from: &Dir<'_>, to: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    files.extend(from.files().map(|file| (to.join(file.path()), file.contents().to_vec())));
    for folder in from.dirs() {
        // The paths in it are relative to the outermost folder.
        add(folder, to, files);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn manifest(text: &str) -> toml::Table {
        text.parse().unwrap()
    }

    fn text(files: &[(PathBuf, Vec<u8>)], path: &str) -> String {
        let (_, content) = files.iter().find(|(file, _)| file == Path::new(path)).unwrap();
        String::from_utf8(content.clone()).unwrap()
    }

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        for role in Role::ALL {
            for language in Language::ALL {
                for (path, content) in files("my-plugin", role, language) {
                    let text = String::from_utf8(content).unwrap();
                    let open =
                        ["name", "struct", "role", "version", "train", "numbers", "sdk", "source", "test", "language"]
                            .iter()
                            .find(|key| text.contains(&format!("{{{{{key}}}}}")));
                    assert_eq!(open, None, "{role} in {language}: {}", path.display());
                }
            }
        }
    }

    #[test]
    fn the_sdk_depends_on_what_the_workspace_has() {
        let workspace = manifest(include_str!("../../../Cargo.toml"));
        let sdk = manifest(&text(&files("my-plugin", Role::Loss, Language::Rust), "vendor/lossmith-sdk/Cargo.toml"));
        let of_workspace = workspace.get("workspace").unwrap();
        for key in ["version", "edition", "rust-version", "license"] {
            assert_eq!(sdk["package"][key], of_workspace["package"][key], "{key}");
        }
        assert_eq!(sdk["dependencies"]["wit-bindgen"], of_workspace["dependencies"]["wit-bindgen"]);
        assert_eq!(sdk["dependencies"].as_table().unwrap().len(), 1);
        let repository = manifest(include_str!("../../../plugins/sdk/Cargo.toml"));
        assert_eq!(
            repository["dependencies"].as_table().unwrap().len(),
            1,
            "the SDK of new plugins has no more than this one"
        );
    }

    #[test]
    fn the_contract_is_where_the_sdk_looks_for_it() {
        let files = files("my-plugin", Role::Loss, Language::Rust);
        let bindings = text(&files, "vendor/lossmith-sdk/src/bindings.rs");
        assert!(bindings.contains("path: \"../../wit\""), "{bindings}");
        assert!(files.iter().any(|(path, _)| path == Path::new("vendor/lossmith-sdk/src/tensor/mod.rs")));
        for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).unwrap() {
            let name = file.unwrap().file_name();
            assert!(files.iter().any(|(path, _)| *path == Path::new("wit").join(&name)), "{name:?}");
        }
    }
}
