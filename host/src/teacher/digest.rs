//! The digest of all that decides a teacher's embeddings: its network, how images are prepared for it, and the file of
//! its weights. Runs and files of the cache keep it, so its form does not follow the names in this code.

use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::TeacherError;
use crate::data::Preparation;
use crate::model::{Architecture, ModelConfig};

/// SHA-256 in hexadecimal, in the form of today and in that of the first version, which runs and caches of it have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digests {
    pub(super) present: String,
    pub(super) earlier: String,
}

/// What the digest is made of, besides the bytes of the weights. A change in how images are resized needs another
/// `form`.
#[derive(Serialize)]
struct Identity<'a> {
    form: u32,
    /// None of a TorchScript module that gives the embedding itself.
    network: Option<NetworkIdentity>,
    size: usize,
    mean: &'a [f64],
    std: &'a [f64],
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct NetworkIdentity {
    backbone: &'static str,
    width: u32,
    /// SHA-256 of the TorchScript file of the backbone.
    module: Option<String>,
    embedding: u32,
    slices: u32,
    freeze_batch_norm: bool,
}

impl Digests {
    /// `config` is the network that the weights in `file` are of; none of a TorchScript module that gives the embedding
    /// itself.
    pub(super) fn new(
        config: Option<&ModelConfig>,
        preparation: &Preparation,
        file: &Path,
    ) -> Result<Self, TeacherError> {
        let read = |path: &Path| {
            lossmith_files::read(path, lossmith_files::WEIGHTS)
                .map_err(|cause| TeacherError::Read { path: path.to_owned(), cause })
        };
        let weights = read(file)?;
        let of = |text: &str| {
            let mut digest = Sha256::new();
            digest.update(text);
            digest.update(&weights);
            lossmith_files::hex(&digest.finalize())
        };
        let network = config.map(|config| {
            let module = config
                .path
                .as_deref()
                .map(|path| Ok::<_, TeacherError>(lossmith_files::hex(&Sha256::digest(read(path)?))));
            Ok::<_, TeacherError>(NetworkIdentity {
                backbone: names(config.backbone).0,
                width: config.width,
                module: module.transpose()?,
                embedding: config.embedding,
                slices: config.slices,
                freeze_batch_norm: config.freeze_batch_norm,
            })
        });
        let (size, mean, std) = (preparation.size(), preparation.mean(), preparation.std());
        let identity = Identity { form: 2, network: network.transpose()?, size, mean, std };
        let identity = serde_json::to_string(&identity).map_err(TeacherError::Digest)?;
        Ok(Self { present: of(&format!("{identity}\n")), earlier: of(&earlier(config, preparation)?) })
    }
}

/// The text of the first version, spelled out as its code happened to print it.
fn earlier(config: Option<&ModelConfig>, preparation: &Preparation) -> Result<String, TeacherError> {
    let network = config.map_or("module".to_owned(), |config| {
        let path =
            config.path.as_ref().map(|path| format!("Some({})", lossmith_files::quoted(&path.to_string_lossy())));
        let features = config.features.map(|features| format!("Some({features})"));
        let none = || "None".to_owned();
        format!(
            "ModelConfig {{ backbone: {}, width: {}, weights: None, path: {}, features: {}, embedding: {}, slices: {}, \
             freeze_batch_norm: {} }}",
            names(config.backbone).1,
            config.width,
            path.unwrap_or_else(none),
            features.unwrap_or_else(none),
            config.embedding,
            config.slices,
            config.freeze_batch_norm
        )
    });
    let (mean, std) = (preparation.mean(), preparation.std());
    let scales = mean.iter().zip(std).map(|(mean, std)| {
        let (factor, offset) = ((1.0 / (255.0 * std)) as f32, (-mean / std) as f32);
        Ok(format!("({}, {})", number(&factor)?, number(&offset)?))
    });
    let scales = scales.collect::<Result<Vec<_>, TeacherError>>()?.join(", ");
    let list = |numbers: &[f64]| {
        let numbers = numbers.iter().map(number).collect::<Result<Vec<_>, TeacherError>>();
        numbers.map(|numbers| format!("[{}]", numbers.join(", ")))
    };
    Ok(format!(
        "{network}\nPreparation {{ mean: {}, std: {}, resampler: Resampler {{ size: {}, normalisation: [{scales}] }} \
         }}\n",
        list(mean)?,
        list(std)?,
        preparation.size()
    ))
}

/// The shortest digits that mean the number.
fn number(number: &impl Serialize) -> Result<String, TeacherError> {
    serde_json::to_string(number).map_err(TeacherError::Digest)
}

/// The name of a backbone in the digest of today, and in that of the first version.
fn names(backbone: Architecture) -> (&'static str, &'static str) {
    match backbone {
        Architecture::Convnet => ("convnet", "Convnet"),
        Architecture::Resnet18 => ("resnet18", "Resnet18"),
        Architecture::Resnet34 => ("resnet34", "Resnet34"),
        Architecture::Resnet50 => ("resnet50", "Resnet50"),
        Architecture::Torchscript => ("torchscript", "Torchscript"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    /// The digests were computed by another program, from the texts that the forms say.
    #[test]
    fn the_digests_of_a_teacher_never_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("weights.safetensors");
        std::fs::write(&file, "weights").unwrap();
        let config =
            ModelConfig { width: 4, embedding: 8, slices: 2, freeze_batch_norm: true, ..ModelConfig::default() };
        let preparation = Preparation::new(32, &[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]);
        let digests = Digests::new(Some(&config), &preparation, &file).unwrap();
        assert_eq!(digests.present, "2cd20250be9c903b6cdb2ffbc6b8cd509e8e959e47fd0b8de95d84f28c4dcd3b");
        assert_eq!(digests.earlier, "f9010ea1ee2f54074819e8634cc6932126bc6d9b94d7d6d833a9ca20077f4c89");
    }
}
