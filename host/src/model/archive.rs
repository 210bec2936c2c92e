//! Checks a TorchScript file before libtorch reads it: it is a zip archive, and says how large it becomes.

use std::io::{BufReader, ErrorKind};
use std::path::Path;

use zip::{CompressionMethod, ZipArchive};

use super::error::ModelError;

/// What of a module is packed, which is its code, has at most so many bytes: 256 MiB. Tensors are stored as they are.
const PACKED: u64 = 256 << 20;
/// Every TorchScript archive has it; one of a `state_dict` has not.
const CONSTANTS: &str = "/constants.pkl";

/// Refuses what is no TorchScript archive, and what unpacks to more than a file of weights may have.
///
/// # Errors
/// It does not exist, is no such archive, or becomes too large.
pub(super) fn check(path: &Path) -> Result<(), ModelError> {
    let file = lossmith_files::open(path, lossmith_files::WEIGHTS).map_err(|cause| match cause.kind() {
        ErrorKind::NotFound => ModelError::NoModule { path: path.to_owned() },
        _ => ModelError::ModuleFile { path: path.to_owned(), cause },
    })?;
    let foreign = |reason: String| ModelError::NoScript { path: path.to_owned(), reason };
    let damaged = |error: zip::result::ZipError| foreign(error.to_string());
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    if !archive.file_names().any(|name| name.ends_with(CONSTANTS)) {
        return Err(foreign("it has no constants.pkl, as a saved `state_dict` has none".to_owned()));
    }
    let (mut unpacked, mut packed) = (0_u64, 0_u64);
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(damaged)?;
        unpacked = unpacked.saturating_add(entry.size());
        if entry.compression() != CompressionMethod::Stored {
            packed = packed.saturating_add(entry.size());
        }
    }
    match [(unpacked, lossmith_files::WEIGHTS), (packed, PACKED)].into_iter().find(|(size, limit)| size > limit) {
        Some((size, limit)) => Err(ModelError::Unpacks { path: path.to_owned(), size, limit }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    const MODULE: &[u8] = include_bytes!("testdata/script.pt");
    /// Of an entry of the central directory: its signature, and where the method and the unpacked size stand.
    const ENTRY: &[u8] = b"PK\x01\x02";
    const METHOD: usize = 10;
    const SIZE: usize = 24;

    fn checked(bytes: &[u8]) -> Result<(), ModelError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("module.pt");
        std::fs::write(&path, bytes).unwrap();
        check(&path)
    }

    /// The module with a changed entry of the central directory.
    fn changed(change: impl Fn(&mut [u8])) -> Vec<u8> {
        let mut bytes = MODULE.to_vec();
        let entry = bytes.windows(ENTRY.len()).position(|window| window == ENTRY).unwrap();
        change(&mut bytes[entry..]);
        bytes
    }

    #[test]
    fn a_module_passes() {
        checked(MODULE).unwrap();
    }

    #[test]
    fn what_unpacks_to_more_than_code_may_have_is_refused_unread() {
        let bomb = changed(|entry| {
            entry[METHOD] = 8;
            entry[SIZE..SIZE + 4].copy_from_slice(&0xf000_0000_u32.to_le_bytes());
        });
        let error = checked(&bomb).unwrap_err();
        assert!(matches!(error, ModelError::Unpacks { size, limit: PACKED, .. } if size >= 0xf000_0000), "{error:?}");
    }

    #[test]
    fn what_is_no_module_is_told_how_one_is_made() {
        let cut = &MODULE[..MODULE.len() / 2];
        let other = MODULE.to_vec();
        let renamed: Vec<u8> = {
            let text = b"constants.pkl";
            let mut other = other;
            while let Some(place) = other.windows(text.len()).position(|window| window == text) {
                other[place] = b'C';
            }
            other
        };
        for bytes in [b"".as_slice(), b"no archive", cut, &renamed] {
            let error = checked(bytes).unwrap_err();
            assert!(matches!(error, ModelError::NoScript { .. }), "{error:?}");
            let help = miette::Diagnostic::help(&error).unwrap().to_string();
            assert!(help.contains("torch.jit.script"), "{help}");
        }
        let missing = check(Path::new("no.pt")).unwrap_err();
        assert!(matches!(missing, ModelError::NoModule { .. }), "{missing:?}");
    }
}
