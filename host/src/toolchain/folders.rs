//! The user's folders: what can be made again, and the tools of the languages.
//!
//! They are where the XDG base directory specification has them. The user's home is what `HOME` says, or else the
//! database of users, as wasmtime looks for it that keeps compiled components there, too.

use std::ffi::OsString;
use std::path::PathBuf;

/// Names the folder of the tools, if it is not the user's.
pub(super) const TOOLS: &str = "LOSSMITH_TOOLS";

/// What can be made again: `lossmith` in `$XDG_CACHE_HOME`, or else in `~/.cache`. None where the user has no home.
pub(super) fn cache() -> Option<PathBuf> {
    Some(of_user(std::env::var_os("XDG_CACHE_HOME"), std::env::home_dir(), ".cache")?.join("lossmith"))
}

/// The tools of the languages: `$LOSSMITH_TOOLS`, or `lossmith/tools` in `$XDG_DATA_HOME`, or else in `~/.local/share`.
/// The set-up (`scripts/setup/languages.sh`) has the same rule.
#[must_use]
pub fn tools() -> Option<PathBuf> {
    match std::env::var_os(TOOLS).filter(|given| !given.is_empty()) {
        Some(given) => std::path::absolute(given).ok(),
        None => {
            let data = of_user(std::env::var_os("XDG_DATA_HOME"), std::env::home_dir(), ".local/share")?;
            Some(data.join("lossmith/tools"))
        }
    }
}

/// A folder of the specification, by which a path that is not absolute is ignored.
fn of_user(given: Option<OsString>, home: Option<PathBuf>, default: &str) -> Option<PathBuf> {
    let given = given.map(PathBuf::from).filter(|path| path.is_absolute());
    given.or_else(|| Some(home.filter(|path| path.is_absolute())?.join(default)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_the_user_is_the_one_that_is_named_or_in_the_home() {
        let folder = |given: Option<&str>, home: Option<&str>| {
            of_user(given.map(OsString::from), home.map(PathBuf::from), ".cache")
        };
        assert_eq!(folder(Some("/elsewhere"), Some("/home/me")), Some("/elsewhere".into()));
        for given in [None, Some(""), Some("relative")] {
            assert_eq!(folder(given, Some("/home/me")), Some("/home/me/.cache".into()));
            assert_eq!(folder(given, None), None);
        }
    }
}
