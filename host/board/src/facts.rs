//! What ran, on what, with what: the command, the machine, the components, the experiment and the files.

use std::fs;

use lossmith_run::{Manifest, Run};
use maud::{Markup, html};

use crate::labels::plugin;
use crate::text::{short, shown, size};

pub(crate) fn section(run: &Run, manifest: Option<&Manifest>) -> Markup {
    let experiment = run.experiment();
    html! {
        section id="facts" data-part aria-label="What ran" {
            h2 { "What ran" }
            @match manifest {
                Some(manifest) => (of_manifest(manifest)),
                None => p.problem {
                    "manifest.json is not there, or cannot be read: "
                    "the training is only beginning, or the folder is damaged."
                },
            }
            h3 { "Experiment" }
            @match &experiment {
                Ok(text) => pre.experiment tabindex="0" { (shown(text)) },
                Err(error) => p.problem { (shown(&error.to_string())) },
            }
            h3 { "Files" }
            p { code { (shown(&run.path().display().to_string())) } }
            (files(run))
        }
    }
}

fn of_manifest(manifest: &Manifest) -> Markup {
    let Manifest { started, command, versions, seed, device, threads, data, commit, teacher, parent, .. } = manifest;
    let path = manifest.data_path.as_ref().map(|path| path.display().to_string());
    let facts = [
        ("command", Some(command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))),
        ("started", Some(started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())),
        ("seed", Some(seed.to_string())),
        ("device", Some(format!("{device}, {threads} threads"))),
        (
            "versions",
            Some(format!(
                "lossmith {}, libtorch {}, tch {}, wasmtime {}",
                versions.lossmith, versions.libtorch, versions.tch, versions.wasmtime
            )),
        ),
        ("data", Some(data.clone()).filter(|data| !data.is_empty())),
        ("data in", path),
        ("commit", commit.clone()),
        ("branched from", parent.clone()),
        ("teacher", teacher.as_ref().map(|teacher| format!("{} ({})", teacher.name, short(&teacher.digest)))),
    ];
    html! {
        div.scroll tabindex="0" role="region" aria-label="Facts" {
            table.facts {
                @for (name, value) in facts {
                    @if let Some(value) = value { tr { th scope="row" { (name) } td { (shown(&value)) } } }
                }
                @for entry in &manifest.plugins { tr { th scope="row" { "began with" } td { (plugin(entry)) } } }
                @for file in &manifest.files {
                    tr {
                        th scope="row" { (shown(&file.key)) }
                        td { (shown(&file.path.display().to_string())) " " code { (short(&file.digest)) } }
                    }
                }
            }
        }
    }
}

/// A word of a command as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=:,@%+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn files(run: &Run) -> Markup {
    let mut files: Vec<(String, u64)> = fs::read_dir(run.path())
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_string_lossy().into_owned(), entry.metadata().ok()?)))
        .filter(|(name, about)| about.is_file() && !name.starts_with('.'))
        .map(|(name, about)| (name, about.len()))
        .collect();
    files.sort();
    let kept = run.kept_checkpoints();
    html! {
        table {
            @for (name, bytes) in files { tr { td { (shown(&name)) } td.number { (size(bytes)) } } }
            @if let Ok(kept) = kept { tr { td { "checkpoints" } td { (shown(&kept.to_string())) } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        assert_eq!(["a-b=1.5", "", "it's <b>"].map(quoted), ["a-b=1.5", "''", r"'it'\''s <b>'"]);
    }
}
