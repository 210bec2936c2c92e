//! After a revert: files that still have what was reverted.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::edit::{self, edited};
use crate::experiment::{Experiment, PluginSource, Source};
use crate::objective::Bound;
use crate::run::{Edit, Run};
use crate::standard::Standard;
use crate::toolchain::Sources;

/// What differs between files and what is live, in words.
pub(super) fn left_behind(
    run: &Run,
    standard: &Standard,
    (file, sets): (&Path, &[String]),
    edits: &[Edit],
    experiment: &Experiment,
    bound: &[Bound],
) -> Vec<String> {
    let mut left = Vec::new();
    let beside = file.parent().unwrap_or(Path::new(""));
    let read = Source::read(file, sets).and_then(|source| edited(source, edits, true)?.parse());
    match read.ok().and_then(|found| edit::changes(experiment, &found).ok()) {
        None => left.push(format!("{} cannot be read", file.display())),
        Some(changes) => {
            left.extend(changes.iter().map(|change| format!("{} = {} in {}", change.key, change.to, file.display())));
        }
    }
    for Bound { plugin, source, .. } in bound {
        let text = match source {
            PluginSource::Component(path) => {
                let found = standard.read(path, beside).map(|bytes| lossmith_files::hex(&Sha256::digest(bytes)));
                found.filter(|hash| *hash != plugin.hash).map(|_| path.display().to_string())
            }
            PluginSource::Crate { directory } => changed_sources(run, &plugin.hash, directory),
        };
        left.extend(text);
    }
    left.sort();
    left.dedup();
    left
}

/// Of a plugin that is built: what of its folder is not what the component was built of. None where that was not kept.
fn changed_sources(run: &Run, hash: &str, directory: &Path) -> Option<String> {
    let kept = run.sources(hash).ok().filter(|kept| !kept.is_empty())?;
    let sources = Sources::of(directory);
    let now: BTreeMap<&str, &[u8]> = sources.files().collect();
    let mut files: Vec<&str> = kept
        .iter()
        .filter(|(place, content)| now.get(place.as_str()).copied() != Some(content.as_slice()))
        .map(|(place, _)| place.as_str())
        .collect();
    files.extend(now.keys().filter(|place| !kept.contains_key(**place)));
    (!files.is_empty()).then(|| {
        let kept = run.source_folder(hash);
        format!("{} in {} (as it was: {})", files.join(", "), directory.display(), kept.display())
    })
}
