//! Paths of files that a command is to write: their endings, and nothing of a run in their place.

use std::path::Path;

use super::error::CliError;
use crate::run::Run;

/// Checks that a file has one of the endings that say what is written, and that it takes the place of nothing in a
/// run's folder.
pub(super) fn may_write(argument: &str, path: &Path, endings: &[&str]) -> Result<(), CliError> {
    let refused = |reason: String| Err(CliError::Usage(format!("{argument} {}: {reason}", path.display())));
    let ending = path.extension().and_then(|ending| ending.to_str());
    if !ending.is_some_and(|ending| endings.contains(&ending)) {
        let endings: Vec<String> = endings.iter().map(|ending| format!(".{ending}")).collect();
        let endings = match endings.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => endings.concat(),
        };
        return refused(format!("the ending says what is written; it must be {endings}"));
    }
    not_of_a_run(argument, path)
}

/// Checks that a file takes the place of nothing in a run's folder, and is not among its checkpoints.
pub(super) fn not_of_a_run(argument: &str, path: &Path) -> Result<(), CliError> {
    // Where the folder is not there, writing to it says so.
    let Some(folder) = std::path::absolute(path).ok().and_then(|path| path.parent()?.canonicalize().ok()) else {
        return Ok(());
    };
    let Some(run) = folder.ancestors().find(|folder| Run::open(folder).is_ok()) else { return Ok(()) };
    if path.symlink_metadata().is_ok() || folder.starts_with(run.join("checkpoints")) {
        return Err(CliError::Usage(format!(
            "{argument} {}: it is in the folder of the run {}, which would be damaged; choose a file outside of it",
            path.display(),
            run.display()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_must_say_what_is_written() {
        let said = |path: &str, endings: &[&str]| match may_write("--output", Path::new(path), endings) {
            Err(CliError::Usage(text)) => text,
            _ => String::new(),
        };
        assert_eq!(said("no/such/a.png", &["png"]), "");
        assert_eq!(said("a.jpg", &["png"]), "--output a.jpg: the ending says what is written; it must be .png");
        for path in ["a", "png", ".html", "a.HTML", "a.png"] {
            assert!(said(path, &["csv", "html", "htm"]).ends_with("it must be .csv, .html or .htm"), "{path}");
        }
    }
}
