//! What data a run was trained on: `data.csv`, and what the journal says of later changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Event, Run, RunError};

/// How many names a line of changes shows.
const SHOWN: usize = 3;

/// An image file that a run was trained or measured on: a row of `data.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Its path below the folder of the data.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The name of its class.
    pub class: String,
}

/// The data of a run from its beginning to its last step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataHistory {
    /// Digest of the data that it began with.
    pub first: String,
    /// Digest of the data that it was trained on last.
    pub digest: String,
    /// Where the data was found last, if it was moved.
    pub path: Option<PathBuf>,
    /// The steps from which on it was trained on other data than before, with the epochs that were complete, and the
    /// digest.
    pub changes: BTreeMap<u64, (u64, String)>,
}

impl DataHistory {
    /// The digest of the data at a step, and where the epochs of this data began: step and epoch.
    #[must_use]
    pub fn at(&self, step: u64) -> (&str, u64, u64) {
        match self.changes.range(..=step).next_back() {
            Some((step, (epoch, digest))) => (digest, *step, *epoch),
            None => (&self.first, 0, 0),
        }
    }
}

impl Run {
    /// Writes `data.csv`, unless the images are not in files.
    ///
    /// # Errors
    /// No room, or the system refuses to write.
    pub fn write_data_files(&self, files: &[DataFile]) -> Result<(), RunError> {
        if files.is_empty() {
            return Ok(());
        }
        let path = self.data_file_list();
        let mut writer = csv::Writer::from_writer(Vec::new());
        files.iter().try_for_each(|file| writer.serialize(file)).map_err(RunError::unwritable(&path))?;
        let bytes = writer.into_inner().map_err(|error| RunError::unwritable(&path)(error.error()))?;
        lossmith_files::replace(&path, &bytes).map_err(RunError::io("write", &path))
    }

    /// Reads `data.csv`; `None` if there is none, as in runs of versions before it and of data that is not in image
    /// files.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn data_files(&self) -> Result<Option<Vec<DataFile>>, RunError> {
        let path = self.data_file_list();
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(RunError::io("read", &path))?,
        };
        let rows = csv::Reader::from_reader(bytes.as_slice()).into_deserialize().collect::<Result<_, _>>();
        Ok(Some(rows.map_err(RunError::damaged(&path))?))
    }

    /// What the manifest and the journal say of the data.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn data_history(&self) -> Result<DataHistory, RunError> {
        let first = self.manifest()?.data;
        let mut history = DataHistory { digest: first.clone(), first, path: None, changes: BTreeMap::new() };
        for entry in self.journal()?.rows {
            match entry.event {
                Event::DataChanged { epoch, step, data, changes: _ } => {
                    history.digest.clone_from(&data);
                    history.changes.split_off(&step);
                    history.changes.insert(step, (epoch, data));
                }
                Event::DataMoved { path } => history.path = Some(path),
                Event::Started { .. }
                | Event::Ranks { .. }
                | Event::Checkpoint { .. }
                | Event::StoppedEarly { .. }
                | Event::Finished { .. }
                | Event::Interrupted { .. }
                | Event::Failed { .. }
                | Event::Candidate { .. }
                | Event::Verdict { .. }
                | Event::Swap { .. }
                | Event::Rollback { .. }
                | Event::Control { .. } => {}
            }
        }
        Ok(history)
    }

    fn data_file_list(&self) -> PathBuf {
        self.path().join("data.csv")
    }
}

/// What changed from one list of files to another, in lines.
#[must_use]
pub fn data_changes(before: &[DataFile], after: &[DataFile]) -> Vec<String> {
    let (old, new) = (by_name(before), by_name(after));
    let (old_classes, new_classes) = (classes(before), classes(after));
    let missing = |from: &Files<'_>, of: &Files<'_>| -> Vec<String> {
        of.keys().filter(|name| !from.contains_key(*name)).map(|name| (*name).to_owned()).collect()
    };
    let both = |differs: &dyn Fn(&DataFile, &DataFile) -> bool| -> Vec<String> {
        let pairs = old.iter().filter_map(|(name, before)| Some((name, before, new.get(name)?)));
        pairs.filter(|(_, before, after)| differs(before, after)).map(|(name, ..)| (*name).to_owned()).collect()
    };
    let kinds = [
        ("new classes", new_classes.difference(&old_classes).cloned().collect()),
        ("classes that are gone", old_classes.difference(&new_classes).cloned().collect()),
        ("new files", missing(&old, &new)),
        ("files that are gone", missing(&new, &old)),
        ("files of another size", both(&|before, after| before.bytes != after.bytes)),
        ("files of another class", both(&|before, after| before.class != after.class)),
    ];
    let lines: Vec<String> = kinds.iter().filter_map(|(kind, names)| line(kind, names)).collect();
    if lines.is_empty() {
        return vec!["no file and no class, but what is known of them, as parts, subjects or areas".to_owned()];
    }
    lines
}

/// Files by name.
type Files<'a> = BTreeMap<&'a str, &'a DataFile>;

fn by_name(files: &[DataFile]) -> Files<'_> {
    files.iter().map(|file| (file.name.as_str(), file)).collect()
}

fn classes(files: &[DataFile]) -> BTreeSet<String> {
    files.iter().map(|file| file.class.clone()).collect()
}

fn line(kind: &str, names: &[String]) -> Option<String> {
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    (!names.is_empty()).then(|| format!("{kind}: {}{more}", shown.join(", ")))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn files(files: &[(&str, u64, &str)]) -> Vec<DataFile> {
        let file = |(name, bytes, class): &(&str, u64, &str)| DataFile {
            name: (*name).to_owned(),
            bytes: *bytes,
            class: (*class).to_owned(),
        };
        files.iter().map(file).collect()
    }

    #[test]
    fn what_changed_is_named() {
        let before = files(&[("a/1.png", 5, "a"), ("a/2.png", 5, "a"), ("b/1.png", 5, "b"), ("c,\"/1.png", 5, "c,\"")]);
        let after = files(&[("a/1.png", 6, "a"), ("b/1.png", 5, "a"), ("d/1.png", 5, "d"), ("d/2.png", 5, "d")]);
        assert_eq!(
            data_changes(&before, &after),
            [
                "new classes: d",
                "classes that are gone: b, c,\"",
                "new files: d/1.png, d/2.png",
                "files that are gone: a/2.png, c,\"/1.png",
                "files of another size: a/1.png",
                "files of another class: b/1.png",
            ]
        );
        assert_eq!(data_changes(&before, &before).len(), 1);
        let many: Vec<_> = (0..5).map(|number| format!("{number}.png")).collect();
        assert_eq!(line("new files", &many).unwrap(), "new files: 0.png, 1.png, 2.png and 2 more");
    }

    #[test]
    fn the_list_of_files_comes_back() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::create(root.path(), "run").unwrap();
        assert_eq!(run.data_files().unwrap(), None);
        let list = files(&[("a, \"b\"\n/1.png", 5, "a, \"b\"\n"), ("ü.png", 0, "")]);
        run.write_data_files(&list).unwrap();
        assert_eq!(run.data_files().unwrap().unwrap(), list);
        std::fs::write(run.path().join("data.csv"), "name,bytes,class\na,x,b\n").unwrap();
        assert!(run.data_files().unwrap_err().to_string().contains("data.csv is damaged"));
    }
}
