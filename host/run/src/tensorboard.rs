//! A file of scalars for TensorBoard: records of protobuf messages, each with checksums.
//!
//! The messages are the few fields of TensorFlow's `event.proto` and `summary.proto` that scalars need; the record
//! format is that of a TFRecord file.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crc::{CRC_32_ISCSI, Crc};
use jiff::Timestamp;
use prost::Message;

use super::{Row, RunError, process};

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

#[derive(Clone, PartialEq, Message)]
struct LoggedEvent {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Scalars>,
    #[prost(message, optional, tag = "7")]
    session: Option<SessionLog>,
}

/// A START makes TensorBoard forget what it read of this step and later ones.
#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `SessionLog::START`.
const START: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Scalars {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// The events of one process. TensorBoard reads all such files of a folder as one run.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Makes a new file in `folder`.
    pub(super) fn create(folder: &Path) -> Result<Self, RunError> {
        // TensorBoard takes files with `tfevents` in their name and reads them in the order of their names.
        let now = Timestamp::now().as_nanosecond();
        let path = folder.join(format!("events.out.tfevents.{now}.{}.{}", process::host(), std::process::id()));
        let file = File::create_new(&path).map_err(RunError::io("make", &path))?;
        let mut events = Self { path, file };
        events.append(0, LoggedEvent { file_version: Some("brain.Event:2".to_owned()), ..LoggedEvent::default() })?;
        Ok(events)
    }

    /// Appends the numbers of a row.
    pub(super) fn write(&mut self, row: &Row) -> Result<(), RunError> {
        let scalar = |(name, value): (&String, &f64)| Scalar {
            tag: format!("{}/{name}", row.kind),
            simple_value: Some(*value as f32),
        };
        let values = row.values.iter().map(scalar).collect();
        self.append(row.step, LoggedEvent { summary: Some(Scalars { values }), ..LoggedEvent::default() })
    }

    /// Undoes what is after `step`, in this file and those before it.
    pub(super) fn rewind(&mut self, step: u64) -> Result<(), RunError> {
        let session = Some(SessionLog { status: START });
        self.append(step.saturating_add(1), LoggedEvent { session, ..LoggedEvent::default() })
    }

    fn append(&mut self, step: u64, event: LoggedEvent) -> Result<(), RunError> {
        let wall_time = Timestamp::now().as_millisecond() as f64 / 1000.0;
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        let message = LoggedEvent { wall_time, step, ..event }.encode_to_vec();
        self.file.write_all(&record(&message)).map_err(RunError::io("append to", &self.path))
    }
}

/// Length, checksum of the length, message, checksum of the message.
fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    [&length[..], &masked_checksum(&length), message, &masked_checksum(message)].concat()
}

fn masked_checksum(bytes: &[u8]) -> [u8; 4] {
    CRC.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use crate::RowKind;
    use std::collections::BTreeMap;

    #[test]
    fn a_record_as_tensorboard_writes_it() {
        // Written by TensorBoard itself; see tests/data/run/README.md.
        let expected = include_bytes!("../../../tests/data/run/record.tfrecord");
        assert_eq!(record(b"lossmith"), expected);
    }

    #[test]
    fn the_events_decode_to_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(folder.path()).unwrap();
        let values = BTreeMap::from([("loss".to_owned(), 0.25), ("norm".to_owned(), f64::INFINITY)]);
        events.write(&Row { kind: RowKind::Step, epoch: 1, step: 7, values }).unwrap();
        let bytes = std::fs::read(&events.path).unwrap();
        let mut rest = bytes.as_slice();
        let mut messages = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            messages.push(LoggedEvent::decode(&rest[12..12 + length]).unwrap());
            rest = &rest[16 + length..];
        }
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0].file_version.as_deref(), Some("brain.Event:2"));
        let scalar = |tag: &str, value| Scalar { tag: tag.to_owned(), simple_value: Some(value) };
        let summary = Scalars { values: vec![scalar("step/loss", 0.25), scalar("step/norm", f32::INFINITY)] };
        assert_eq!((messages[1].step, messages[1].summary.as_ref()), (7, Some(&summary)));
    }
}
