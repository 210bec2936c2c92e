//! Embeddings of the training part on the disk, so that many students of one teacher compute them once.
//!
//! A file is named by a digest of the teacher, of the data, and of which images were embedded; so an old one is never
//! taken for another. It is written aside and renamed: a killed run leaves none that is half-written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tch::{Kind, Tensor};

use super::TeacherError;
use crate::run;

/// The file for one teacher and some images of one data set.
pub(super) struct Cache {
    path: PathBuf,
    key: String,
}

impl Cache {
    /// `teacher` and `data` are digests.
    pub(super) fn new(folder: &Path, teacher: &str, data: &str, images: &[usize]) -> Result<Self, TeacherError> {
        let mut digest = Sha256::new();
        // Another libtorch may round in another way.
        digest.update(format!("{teacher}\n{data}\n{}\n", lossmith_torch_shim::version()?));
        for image in images {
            digest.update((*image as u64).to_le_bytes());
        }
        let key = lossmith_files::hex(&digest.finalize());
        Ok(Self { path: folder.join(&key).with_extension("safetensors"), key })
    }

    /// The embeddings, N x D' on the CPU; none if they were not kept yet.
    pub(super) fn read(&self, images: usize) -> Result<Option<Tensor>, TeacherError> {
        if !self.path.is_file() {
            return Ok(None);
        }
        let damaged = |reason: String| TeacherError::Cache { path: self.path.clone(), reason };
        let mut tensors = run::load_checkpoint(&self.path).map_err(|error| damaged(error.to_string()))?.tensors;
        let key = tensors.remove("key").map(|key| Vec::<u8>::try_from(&key)).transpose()?;
        if key.as_deref() != Some(self.key.as_bytes()) {
            return Err(damaged("it was written for another teacher or other images".to_owned()));
        }
        match tensors.remove("embeddings") {
            Some(found) if found.dim() == 2 && found.size().first() == Some(&(images as i64)) => Ok(Some(found)),
            Some(found) => Err(damaged(format!("it holds {:?} for {images} images", found.size()))), // For people.
            None => Err(damaged("it holds no embeddings".to_owned())),
        }
    }

    /// Keeps embeddings.
    pub(super) fn write(&self, embeddings: &Tensor) -> Result<(), TeacherError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)
            .map_err(|error| TeacherError::Cache { path: folder.to_owned(), reason: error.to_string() })?;
        let key = Tensor::f_from_slice(self.key.as_bytes())?.f_to_kind(Kind::Uint8)?;
        let tensors = BTreeMap::from([("embeddings".to_owned(), embeddings.shallow_clone()), ("key".to_owned(), key)]);
        Ok(run::write_checked(&self.path, &tensors)?)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn what_was_kept_comes_back_for_the_same_teacher_data_and_images_only() {
        let folder = tempfile::tempdir().unwrap();
        let cache =
            |teacher: &str, data: &str, images: &[usize]| Cache::new(folder.path(), teacher, data, images).unwrap();
        let embeddings = Tensor::f_from_slice(&[1.0_f32, 2.0, 3.0, 4.0]).unwrap().f_reshape([2, 2]).unwrap();
        let kept = cache("a", "b", &[3, 5]);
        assert!(kept.read(2).unwrap().is_none());
        kept.write(&embeddings).unwrap();
        assert!(cache("a", "b", &[3, 5]).read(2).unwrap().unwrap().equal(&embeddings));
        for other in [cache("c", "b", &[3, 5]), cache("a", "c", &[3, 5]), cache("a", "b", &[3, 6])] {
            assert!(other.read(2).unwrap().is_none());
            // Under the name of another it is refused.
            std::fs::copy(&kept.path, &other.path).unwrap();
            let error = other.read(2).unwrap_err();
            assert!(error.to_string().contains("another teacher"), "{error}");
        }
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), "a", "b", &[0, 1]).unwrap();
        cache.write(&Tensor::f_from_slice(&[1.0_f32, 2.0]).unwrap().f_reshape([2, 1]).unwrap()).unwrap();
        assert!(matches!(cache.read(3), Err(TeacherError::Cache { .. })));
        let bytes = std::fs::read(&cache.path).unwrap();
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for damaged in [&bytes[..bytes.len() - 3], &flipped, b""] {
            std::fs::write(&cache.path, damaged).unwrap();
            let error = cache.read(2).unwrap_err();
            assert!(matches!(&error, TeacherError::Cache { path, .. } if *path == cache.path), "{error}");
        }
    }
}
