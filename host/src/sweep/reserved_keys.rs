//! Keys of an experiment that a sweep sets itself: a change of one would be lost.

use super::config::SweepConfig;

/// A key of the experiment, and what to do instead of changing it.
pub(super) type ReservedKey = (&'static str, &'static str);

/// The keys that the sweep sets in its prepared runs.
pub(super) const PREPARED: [ReservedKey; 2] = [
    ("name", "`name` of the sweep, its settings and its methods, or of a prepared run, makes the names of the runs"),
    ("run.directory", "`directory` of the sweep file says where the runs are kept"),
];

/// The keys that the sweep sets in all other runs.
pub(super) fn reserved_keys(config: &SweepConfig) -> Vec<ReservedKey> {
    let mut keys = PREPARED.to_vec();
    keys.extend([
        ("seed", "`seeds` of the sweep file lists the seeds"),
        (
            "evaluation.test",
            "a sweep measures the test part of what was chosen: `report` of the sweep file has the metrics",
        ),
    ]);
    if config.patience.is_some() {
        keys.push(("evaluation.patience", "`patience` of the sweep file says it; leave one of them out"));
    }
    if config.folds.is_some() {
        let help = "`folds` of the sweep file trains each run in every fold; leave it out to choose a fold";
        keys.extend(["data.split", "data.folds", "data.fold"].map(|key| (key, help)));
    }
    keys
}

/// Whether a change, as of `--set`, gives a key a value: by its name, or in a table around it.
pub(super) fn changes(change: &str, key: &str) -> bool {
    let Some((changed, value)) = change.split_once('=') else { return false };
    let changed = changed.trim();
    if changed == key {
        return true;
    }
    let Some(rest) = key.strip_prefix(changed).and_then(|rest| rest.strip_prefix('.')) else { return false };
    let Ok(table) = toml::from_str::<toml::Table>(&format!("value = {value}")) else { return false };
    let inner = rest.split('.').try_fold(table.get("value"), |here, step| Some(here?.get(step)));
    inner.flatten().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_changed_by_its_name_and_in_a_table() {
        for change in ["data.fold=1", " data.fold = 1", "data={kind='folder',fold=1}", "data={fold=1}"] {
            assert!(changes(change, "data.fold"), "{change}");
        }
        for change in ["data.folds=3", "data={kind='folder'}", "data=fold", "fold=1", "data.fold", "dat={a={fold=1}}"] {
            assert!(!changes(change, "data.fold"), "{change}");
        }
        assert!(changes("run={directory='a'}", "run.directory") && !changes("run.keep=1", "run.directory"));
    }
}
