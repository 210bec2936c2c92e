//! Mistakes in a plugin in Python that can be seen without running it: the build, which takes about a minute, would
//! tell the first.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::command::clean;

/// Names another Python that looks for mistakes; empty, none does.
const VARIABLE: &str = "LOSSMITH_PYTHON";
const SCRIPT: &str = include_str!("../../../plugins/python/mistakes.py");
/// The version of the component's Python, which may read what an older one does not.
const PYTHON: &str = "3.14";

/// What is wrong in the modules in the folder `source`, which has the SDK, too, for a plugin with these roles.
/// `program` is the componentizer, which is installed beside a Python. Without one, mistakes are left to the build.
pub(super) fn mistakes(program: &Path, source: &Path, roles: &[String]) -> Vec<String> {
    let Some(python) = python(program) else { return Vec::new() };
    let mut command = clean(&python, source);
    // Nothing of the folder is imported, and nothing is written into it.
    command.args(["-I", "-B", "-c", SCRIPT]).args(roles).stdin(Stdio::null());
    // A Python that cannot do it is as good as none.
    let Ok(output) = command.output() else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout);
    let mut found: Vec<String> = text.lines().map(str::to_owned).collect();
    if found.iter().any(|line| line.contains("SyntaxError: ")) {
        found.push(format!(
            "(as {} reads it; a plugin runs on Python {PYTHON}: set {VARIABLE} to a newer one, or to nothing to leave \
             this to the build)",
            python.display()
        ));
    }
    found
}

fn python(program: &Path) -> Option<PathBuf> {
    if let Some(given) = std::env::var_os(VARIABLE) {
        return Some(PathBuf::from(given)).filter(|given| !given.as_os_str().is_empty());
    }
    let beside = program.parent().map(|folder| folder.join("python3")).filter(|python| python.is_file());
    let works = |python: &Path| Command::new(python).arg("--version").output().is_ok_and(|said| said.status.success());
    beside.into_iter().chain([PathBuf::from("python3")]).find(|python| works(python))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    const SDK: &str = include_str!("../../../plugins/python/lossmith.py");

    /// What is said of these files, without the line about the Python.
    fn of(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("lossmith.py", SDK)].iter().chain(files) {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mut found = mistakes(Path::new("/no/such/tool"), folder.path(), &["loss".to_owned()]);
        found.retain(|line| !line.starts_with('('));
        found
    }

    #[test]
    fn a_plugin_in_order_has_none() {
        let example = include_str!("../../../examples/languages/python/plugin.py");
        let template = include_str!("../../../plugins/templates/python/loss.py");
        let guarded = "try:\n    import numpy\nexcept ImportError:\n    numpy = None\n";
        for text in [example, template, guarded, "import lossmith\nclass Loss:\n    pass\n"] {
            assert_eq!(of(&[("plugin.py", text)]), Vec::<String>::new(), "{text}");
        }
        assert!(of(&[("plugin.py", "import numpy\n"), ("numpy.py", "")]).is_empty());
        // Nothing imports this one.
        assert!(of(&[("plugin.py", ""), ("test_plugin.py", "import numpy\ndef f(:\n")]).is_empty());
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_their_places() {
        let plugin = "from lossmith import loss, miner, nubmer\nimport torch.nn, parts.a\nfrom parts import b\n@loss\n\
                      class A:\n    def loss(self, batch, progress): ...\n\n@loss(\"b\")\n\
                      class B:\n    def los(self, batch, progress): ...\n\n\
                      @miner(\"c\")\nclass C:\n    def mine(self, batch, progress): ...\n";
        let found = of(&[("plugin.py", plugin), ("parts/a.py", "def f(:\n"), ("parts/b.py", "x = (\n")]);
        let expected = [
            ("parts/a.py:1:", "SyntaxError"),
            ("parts/b.py:1:", "SyntaxError"),
            ("plugin.py:1:1:", "lossmith has no `nubmer`; did you mean `number`?"),
            ("plugin.py:2:1:", "imports `torch.nn`"),
            ("plugin.py:4:2:", "@loss needs a name"),
            ("plugin.py:9:1:", "the class B has no method `loss`"),
            ("plugin.py:12:2:", "`roles` in plugin.toml does not name \"miner\""),
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, (place, what)) in found.iter().zip(expected) {
            assert!(found.starts_with(place) && found.contains(what), "{found}");
        }
    }
}
