//! A row of `metrics.jsonl`: what was measured at one moment.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What was measured at one moment. It holds no time of day: two runs of one seed write the same rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What kind of measurement.
    pub kind: RowKind,
    /// Epochs that are complete.
    pub epoch: u64,
    /// Steps that are complete, over the whole run.
    pub step: u64,
    /// Numbers by name. JSON has no word for those that are not finite: they are the strings "NaN", "inf" and "-inf".
    #[serde(serialize_with = "write_numbers", deserialize_with = "read_numbers")]
    pub values: BTreeMap<String, f64>,
}

/// Kinds of measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowKind {
    /// Of one training step.
    Step,
    /// Over the steps of an epoch.
    Epoch,
    /// Of the embeddings after an epoch.
    Evaluation,
    /// No measurement of this run: the last values of the run that it branched from, which strategies can ask for.
    Origin,
    /// No measurement: the rows before this one that are of later steps were undone; the run went back to this step.
    Rewind,
}

impl fmt::Display for RowKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Step => "step",
            Self::Epoch => "epoch",
            Self::Evaluation => "evaluation",
            Self::Origin => "origin",
            Self::Rewind => "rewind",
        })
    }
}

/// Adds rows to those that count: a rewind takes back what it undoes, and is not among them.
pub(super) fn settle(rows: &mut Vec<Row>, new: impl IntoIterator<Item = Row>) {
    for row in new {
        match row.kind {
            RowKind::Rewind => rows.retain(|earlier| earlier.step <= row.step),
            RowKind::Step | RowKind::Epoch | RowKind::Evaluation | RowKind::Origin => rows.push(row),
        }
    }
}

/// A number as JSON has it.
#[derive(Serialize)]
#[serde(untagged)]
enum Written {
    Finite(f64),
    Word(String),
}

/// A number that is read: JSON's, or one of the words for those that are not finite.
pub(super) struct Number(pub(super) f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfJson;
        impl Visitor<'_> for OfJson {
            type Value = Number;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a number, \"NaN\", \"inf\" or \"-inf\"")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Number, E> {
                Ok(Number(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Number, E> {
                word.parse().map(Number).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(OfJson)
    }
}

fn write_numbers<S: Serializer>(values: &BTreeMap<String, f64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|(name, value)| {
        (name, if value.is_finite() { Written::Finite(*value) } else { Written::Word(value.to_string()) })
    }))
}

fn read_numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let numbers = BTreeMap::<String, Number>::deserialize(deserializer)?;
    Ok(numbers.into_iter().map(|(name, Number(value))| (name, value)).collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn a_rewind_takes_back_the_rows_of_later_steps() {
        let row = |kind, step| Row { kind, epoch: 0, step, values: BTreeMap::new() };
        let rows = [1, 2, 3].map(|step| row(RowKind::Step, step));
        let mut settled = Vec::new();
        settle(&mut settled, rows.into_iter().chain([row(RowKind::Rewind, 1), row(RowKind::Step, 2)]));
        assert_eq!(settled, [row(RowKind::Step, 1), row(RowKind::Step, 2)]);
    }

    #[test]
    fn a_line_is_what_is_documented() {
        let values = BTreeMap::from([("loss".to_owned(), f64::NAN), ("rate".to_owned(), 2.5)]);
        let row = Row { kind: RowKind::Step, epoch: 0, step: 50, values };
        let line = r#"{"kind":"step","epoch":0,"step":50,"values":{"loss":"NaN","rate":2.5}}"#;
        assert_eq!(serde_json::to_string(&row).unwrap(), line);
        assert!(serde_json::from_str::<Row>(line).unwrap().values["loss"].is_nan());
        assert!(serde_json::from_str::<Row>(&line.replace("NaN", "many")).is_err());
    }
}
