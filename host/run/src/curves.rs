//! What was measured, as a curve for each number: far smaller than the rows, and read without making one of each line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::row::Number;
use super::{RowKind, Run, RunError};

/// Which rows of steps are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// All of them.
    All,
    /// The last one, which is enough for a list. The others are not even understood, so that reading is as fast as the
    /// disk.
    Last,
}

/// A number at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Steps that were complete.
    pub step: u64,
    /// Epochs that were complete.
    pub epoch: u64,
    /// The number, which need not be finite.
    pub value: f64,
}

/// The curves of a run, by kind of row and name, without what was undone. They follow `metrics.jsonl` as it grows and
/// hold no open file.
#[derive(Clone, Debug)]
pub struct Curves {
    path: PathBuf,
    steps: Steps,
    /// How many bytes of the file are in the curves.
    offset: u64,
    curves: BTreeMap<RowKind, BTreeMap<String, Vec<Point>>>,
    /// Epochs and steps of the last row that counts.
    reached: (u64, u64),
    /// How many lines could not be understood.
    skipped: usize,
}

/// So much is read at once.
const PART: usize = 1 << 20;
/// How a row of a step begins, as it is written.
const STEP_ROW: &[u8] = br#"{"kind":"step","#;

impl Run {
    /// The curves of `metrics.jsonl`, empty until [`Curves::read`] is called.
    #[must_use]
    pub fn curves(&self, steps: Steps) -> Curves {
        let path = self.path().join("metrics.jsonl");
        Curves { path, steps, offset: 0, curves: BTreeMap::new(), reached: (0, 0), skipped: 0 }
    }
}

impl Curves {
    /// Reads the lines that were completed since the last call, and says whether there were any. A file that does not
    /// exist has none; one that became shorter is read from its beginning.
    ///
    /// # Errors
    /// The file cannot be read. Lines that cannot be understood are counted, not refused.
    pub fn read(&mut self) -> Result<bool, RunError> {
        let path = self.path.clone();
        self.follow().map_err(RunError::io("read", &path))
    }

    fn follow(&mut self) -> io::Result<bool> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self.begin_anew()),
            opened => opened?,
        };
        let length = file.metadata()?.len();
        let mut changed = length < self.offset && self.begin_anew();
        if length == self.offset {
            return Ok(changed);
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let (mut part, mut rest) = (vec![0; PART], Vec::new());
        loop {
            let read = match file.read(&mut part) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 {
                return Ok(changed);
            }
            rest.extend_from_slice(part.get(..read).unwrap_or_default());
            let end = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            self.add(rest.get(..end).unwrap_or_default());
            self.offset += end as u64;
            changed |= end > 0;
            rest.drain(..end);
        }
    }

    /// Forgets everything; says whether there was something.
    fn begin_anew(&mut self) -> bool {
        let was = self.offset > 0;
        self.curves.clear();
        (self.offset, self.reached, self.skipped) = (0, (0, 0), 0);
        was
    }

    /// Adds complete lines.
    fn add(&mut self, bytes: &[u8]) {
        let mut last_step = None;
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if self.steps == Steps::Last && line.starts_with(STEP_ROW) {
                last_step = Some(line);
                continue;
            }
            // A rewind must see the steps before it.
            if let Some(step) = last_step.take() {
                self.add_line(step);
            }
            self.add_line(line);
        }
        if let Some(step) = last_step {
            self.add_line(step);
        }
    }

    fn add_line(&mut self, line: &[u8]) {
        let Ok(Line { kind, epoch, step, values: Values(values) }) = serde_json::from_slice(line) else {
            self.skipped += 1;
            return;
        };
        match kind {
            RowKind::Rewind => {
                for points in self.curves.values_mut().flat_map(BTreeMap::values_mut) {
                    points.truncate(points.partition_point(|point| point.step <= step));
                }
            }
            // No measurement of this run.
            RowKind::Origin => {}
            RowKind::Step | RowKind::Epoch | RowKind::Evaluation => {
                let curves = self.curves.entry(kind).or_default();
                for (name, value) in values {
                    let point = Point { step, epoch, value };
                    match curves.get_mut(name.as_ref()) {
                        Some(points) if kind == RowKind::Step && self.steps == Steps::Last => {
                            points.clear();
                            points.push(point);
                        }
                        Some(points) => points.push(point),
                        None => _ = curves.insert(name.into_owned(), vec![point]),
                    }
                }
            }
        }
        self.reached = (epoch, step);
    }

    /// A curve; empty if there is none.
    #[must_use]
    pub fn get(&self, kind: RowKind, name: &str) -> &[Point] {
        self.curves.get(&kind).and_then(|curves| curves.get(name)).map(Vec::as_slice).unwrap_or_default()
    }

    /// All curves that are not empty, in the order of their kinds and names.
    pub fn iter(&self) -> impl Iterator<Item = (RowKind, &str, &[Point])> {
        let all = self.curves.iter().flat_map(|(kind, curves)| {
            curves.iter().map(move |(name, points)| (*kind, name.as_str(), points.as_slice()))
        });
        all.filter(|(_, _, points)| !points.is_empty())
    }

    /// Epochs and steps that the last row that counts has.
    #[must_use]
    pub fn reached(&self) -> (u64, u64) {
        self.reached
    }

    /// How many lines could not be understood.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.skipped
    }
}

/// A row as it is in the file.
#[derive(Deserialize)]
struct Line<'a> {
    kind: RowKind,
    epoch: u64,
    step: u64,
    #[serde(borrow)]
    values: Values<'a>,
}

/// The numbers of a row by name, the names without a copy where the file allows it.
struct Values<'a>(Vec<(Cow<'a, str>, f64)>);

impl<'de: 'a, 'a> Deserialize<'de> for Values<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Values<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("numbers by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    let Number(value) = map.next_value()?;
                    values.push((name, value));
                }
                Ok(Values(values))
            }
        }
        deserializer.deserialize_map(Map)
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use crate::Row;

    fn row(kind: RowKind, step: u64, values: &[(&str, f64)]) -> Row {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Row { kind, epoch: step / 2, step, values }
    }

    fn values(curves: &Curves, kind: RowKind, name: &str) -> Vec<(u64, f64)> {
        curves.get(kind, name).iter().map(|point| (point.step, point.value)).collect()
    }

    #[test]
    fn curves_are_what_the_rows_are_and_a_rewind_takes_back() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::create(root.path(), "run").unwrap();
        let (mut all, mut last) = (run.curves(Steps::All), run.curves(Steps::Last));
        assert!(!all.read().unwrap() && all.iter().next().is_none());
        let mut metrics = run.open_metrics().unwrap();
        for step in 1..=4 {
            metrics.write(&row(RowKind::Step, step, &[("a \"b\"", step as f64), ("inf", f64::INFINITY)])).unwrap();
            metrics.write(&row(RowKind::Evaluation, step, &[("m", 0.5)])).unwrap();
        }
        assert!(all.read().unwrap() && last.read().unwrap());
        assert!(!all.read().unwrap() && !last.read().unwrap());
        assert_eq!(values(&all, RowKind::Step, "a \"b\""), [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]);
        assert_eq!(values(&last, RowKind::Step, "a \"b\""), [(4, 4.0)]);
        assert_eq!(values(&last, RowKind::Evaluation, "m").len(), 4);
        assert_eq!((all.reached(), last.reached()), ((2, 4), (2, 4)));

        metrics.rewind(1, 2).unwrap();
        metrics.write(&row(RowKind::Step, 3, &[("a \"b\"", 9.0)])).unwrap();
        assert!(all.read().unwrap() && last.read().unwrap());
        assert_eq!(values(&all, RowKind::Step, "a \"b\""), [(1, 1.0), (2, 2.0), (3, 9.0)]);
        assert_eq!(values(&last, RowKind::Step, "a \"b\""), [(3, 9.0)]);
        assert_eq!(values(&last, RowKind::Evaluation, "m").len(), 2);
        let rows = run.metrics().unwrap().rows;
        let expected: Vec<f64> = rows.iter().filter_map(|row| row.values.get("inf").copied()).collect();
        assert_eq!(all.get(RowKind::Step, "inf").iter().map(|point| point.value).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_torn_line_waits_and_a_wrong_one_is_counted() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::create(root.path(), "run").unwrap();
        let path = run.path().join("metrics.jsonl");
        let line = r#"{"kind":"step","epoch":0,"step":1,"values":{"loss":1.5}}"#;
        std::fs::write(&path, format!("what?\n{}", &line[..20])).unwrap();
        let mut curves = run.curves(Steps::All);
        assert!(curves.read().unwrap());
        assert_eq!((curves.skipped(), curves.iter().count()), (1, 0));
        std::fs::write(&path, format!("what?\n{line}\n")).unwrap();
        assert!(curves.read().unwrap());
        assert_eq!(values(&curves, RowKind::Step, "loss"), [(1, 1.5)]);
        // Shorter than what was read: from the beginning.
        std::fs::write(&path, format!("{}\n", line.replace("1.5", "2"))).unwrap();
        assert!(curves.read().unwrap());
        assert_eq!((values(&curves, RowKind::Step, "loss"), curves.skipped()), (vec![(1, 2.0)], 0));
        std::fs::remove_file(&path).unwrap();
        assert!(curves.read().unwrap() && !curves.read().unwrap() && curves.iter().next().is_none());
    }
}
