//! Weights from a file: which of its tensors are those of the network, whatever stands in front of their names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tch::{Kind, TchError, Tensor};

use super::error::ModelError;
use super::registry::Registry;
use super::state::{StateDifference, copy_state};

/// What the names of a run's checkpoint begin with; it has the optimizer's state beside the network.
const CHECKPOINT: &str = "model/";
/// PyTorch keeps it for a mean over all batches, which is not used here.
const COUNTER: &str = "num_batches_tracked";
/// Names in a message: a few say which they are.
const SHOWN: usize = 4;

/// The tensors of a safetensors file, of a run's checkpoint those of its network only.
///
/// # Errors
/// The file is not there, is no safetensors file, or has numbers that are not finite.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, ModelError> {
    if !path.exists() {
        return Err(ModelError::NoWeights { path: path.to_owned() });
    }
    let read = lossmith_files::check_path(path, lossmith_files::WEIGHTS)
        .map_err(TchError::from)
        .and_then(|()| Tensor::read_safetensors(path))
        .map_err(|source| ModelError::Unreadable { path: path.to_owned(), source })?;
    let of_checkpoint = read.iter().any(|(name, _)| name.starts_with(CHECKPOINT));
    let mut tensors = BTreeMap::new();
    for (name, tensor) in read {
        let name = match name.strip_prefix(CHECKPOINT) {
            Some(inner) => inner.to_owned(),
            None if of_checkpoint => continue,
            None => name,
        };
        if tensor.f_isfinite()?.f_all()?.f_to_kind(Kind::Int64)?.f_int64_value(&[])? == 0 {
            return Err(ModelError::NotFinite { path: path.to_owned(), name });
        }
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// What stands in front of the names of a network (`conv1.weight`) in a file (`module.conv1.weight`): that under which
/// most of the `wanted` names are.
///
/// # Errors
/// Two networks are in the file.
pub(crate) fn prefix<'a>(
    path: &Path,
    found: impl IntoIterator<Item = &'a String>,
    wanted: &BTreeSet<&str>,
) -> Result<String, ModelError> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in found {
        // Each end of the name that begins behind a separator may be a name of the network.
        let starts = std::iter::once(0).chain(name.match_indices(['.', '/']).map(|(place, _)| place + 1));
        for (before, inner) in starts.filter_map(|start| name.split_at_checked(start)) {
            if wanted.contains(inner) {
                *counts.entry(before).or_default() += 1;
            }
        }
    }
    let most = counts.values().copied().max().unwrap_or_default();
    let mut best: Vec<_> = counts.into_iter().filter(|(_, count)| *count == most).map(|(prefix, _)| prefix).collect();
    best.sort_by_key(|prefix| prefix.len());
    let mut best = best.into_iter().map(str::to_owned);
    // Blocks of a network have parts of the same names, but not all that is wanted.
    match (best.next(), best.next()) {
        (Some(first), Some(second)) if most == wanted.len() => {
            Err(ModelError::TwoNetworks { path: path.to_owned(), first, second })
        }
        (first, _) => Ok(first.unwrap_or_default()),
    }
}

/// Copies the file's tensors into the backbone's, of which the names start with `backbone.`. Returns what was taken and
/// left, in a line.
pub(super) fn load_backbone(registry: &Registry, path: &Path) -> Result<String, ModelError> {
    let file = read(path)?;
    let wanted: BTreeSet<&str> = registry.tensors().filter_map(|(name, _)| name.strip_prefix("backbone.")).collect();
    let prefix = prefix(path, file.keys(), &wanted)?;
    let parts: BTreeSet<&str> = wanted.iter().filter_map(|name| name.split('.').next()).collect();
    let is_own = |name: &str| name.split('.').next().is_some_and(|part| parts.contains(part));
    let (mut source, mut left) = (BTreeMap::new(), Vec::new());
    for (name, tensor) in file {
        match name.strip_prefix(&prefix) {
            _ if name.ends_with(COUNTER) => {}
            // A tensor of one of the backbone's own parts must have a place in it.
            Some(inner) if is_own(inner) => _ = source.insert(format!("backbone.{inner}"), tensor),
            _ => left.push(name),
        }
    }
    let count = source.len();
    copy_state(registry.tensors(), &source)?.map_err(|difference| {
        let shown =
            |name: String| name.strip_prefix("backbone.").map_or(name.clone(), |name| format!("{prefix}{name}"));
        let StateDifference { missing, mut unexpected, shapes } = difference;
        unexpected = unexpected.into_iter().map(shown).chain(left.iter().cloned()).collect();
        unexpected.sort();
        let difference = StateDifference {
            missing: missing.into_iter().map(shown).collect(),
            unexpected,
            shapes: shapes.into_iter().map(|(name, wanted, found)| (shown(name), wanted, found)).collect(),
        };
        ModelError::Weights { path: path.to_owned(), difference }
    })?;
    let under = if prefix.is_empty() { String::new() } else { format!(" under `{prefix}`") };
    let more = if left.len() > SHOWN { format!(" and {} more", left.len() - SHOWN) } else { String::new() };
    let shown = left.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let rest = if left.is_empty() { String::new() } else { format!("; left out: {shown}{more}") };
    Ok(format!("{count} tensors{under} of {} for the backbone{rest}", path.display()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::super::backbone::Backbone;
    use super::super::{Architecture, ModelConfig};
    use super::*;
    use tch::Device;
    use tempfile::TempDir;

    fn build(config: &ModelConfig, channels: i64, seed: u64) -> Result<Registry, ModelError> {
        let mut registry = Registry::new(Device::Cpu, seed);
        Backbone::new(&mut registry, config, channels, 32, Device::Cpu)?;
        config.weights.as_deref().map(|path| load_backbone(&registry, path)).transpose()?;
        Ok(registry)
    }

    /// Weights of an architecture from seed 1, in a file as torchvision's would be converted.
    fn written(folder: &TempDir, backbone: Architecture, channels: i64) -> ModelConfig {
        let config = ModelConfig { backbone, width: 2, ..ModelConfig::default() };
        let registry = build(&config, channels, 1).unwrap();
        let mut tensors: Vec<_> = registry
            .tensors()
            .map(|(name, tensor)| (name.strip_prefix("backbone.").unwrap().to_owned(), tensor.detach()))
            .collect();
        tensors.push(("fc.weight".to_owned(), Tensor::zeros([10, 512], (Kind::Float, Device::Cpu))));
        tensors.push(("bn1.num_batches_tracked".to_owned(), Tensor::zeros([1], (Kind::Int64, Device::Cpu))));
        let path = folder.path().join("weights.safetensors");
        Tensor::write_safetensors(&tensors, &path).unwrap();
        ModelConfig { weights: Some(path), ..config }
    }

    #[test]
    fn weights_replace_what_the_seed_gave() {
        let folder = TempDir::new().unwrap();
        let config = written(&folder, Architecture::Resnet18, 3);
        let [first, second] = [1, 2].map(|seed| build(&config, 3, seed).unwrap());
        for ((name, a), (_, b)) in first.tensors().zip(second.tensors()) {
            assert!(a.equal(b), "{name}");
        }
        assert!(second.parameters.iter().all(|parameter| parameter.tensor.requires_grad()));
    }

    #[test]
    fn weights_of_another_architecture_are_an_error_that_names_tensors() {
        let folder = TempDir::new().unwrap();
        let config = ModelConfig { backbone: Architecture::Resnet18, ..written(&folder, Architecture::Convnet, 3) };
        let message = build(&config, 3, 1).unwrap_err().to_string();
        for part in ["weights.safetensors", "missing: layer1.0.conv1.weight", "unexpected: bn2.bias"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn one_channel_needs_weights_for_one_channel() {
        let folder = TempDir::new().unwrap();
        let config = written(&folder, Architecture::Resnet18, 3);
        let message = build(&config, 1, 1).unwrap_err().to_string();
        assert!(message.contains("conv1.weight ([64, 3, 7, 7] instead of [64, 1, 7, 7])"), "{message}");
        assert!(build(&ModelConfig { weights: None, ..config }, 1, 1).is_ok());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("weights.safetensors");
        let config = ModelConfig { weights: Some(path.clone()), ..ModelConfig::default() };
        assert!(matches!(build(&config, 1, 1), Err(ModelError::NoWeights { .. })));
        std::fs::write(&path, b"not tensors").unwrap();
        assert!(matches!(build(&config, 1, 1), Err(ModelError::Unreadable { .. })));
    }

    /// The tensors of a file under other names.
    fn renamed(config: &ModelConfig, to: &str, name: impl Fn(&str) -> String, more: &[(&str, &[i64])]) -> ModelConfig {
        let path = config.weights.as_ref().unwrap();
        let read = Tensor::read_safetensors(path).unwrap().into_iter();
        let mut tensors: Vec<_> = read.map(|(old, tensor)| (name(&old), tensor)).collect();
        let zeros = |size: &&[i64]| Tensor::zeros(*size, (Kind::Float, Device::Cpu));
        tensors.extend(more.iter().map(|(name, size)| ((*name).to_owned(), zeros(size))));
        let path = path.with_file_name(to);
        Tensor::write_safetensors(&tensors, &path).unwrap();
        ModelConfig { weights: Some(path), ..config.clone() }
    }

    fn told(config: &ModelConfig) -> Result<String, ModelError> {
        let registry = build(&ModelConfig { weights: None, ..config.clone() }, 3, 2)?;
        load_backbone(&registry, config.weights.as_ref().unwrap())
    }

    #[test]
    fn what_stands_in_front_of_the_names_is_taken_off_and_said() {
        let folder = TempDir::new().unwrap();
        let config = written(&folder, Architecture::Resnet18, 3);
        let straight = build(&config, 3, 2).unwrap();
        for prefix in ["module.", "model.", "backbone.", "state_dict.module.encoder."] {
            let config = renamed(&config, "prefixed.safetensors", |name| format!("{prefix}{name}"), &[]);
            let said = told(&config).unwrap();
            assert!(said.contains(&format!("100 tensors under `{prefix}`")), "{said}");
            assert!(said.ends_with(&format!("left out: {prefix}fc.weight")), "{said}");
            let loaded = build(&config, 3, 3).unwrap();
            assert!(straight.tensors().zip(loaded.tensors()).all(|((_, a), (_, b))| a.equal(b)), "{prefix}");
        }
    }

    #[test]
    fn of_a_checkpoint_the_network_is_taken_without_its_head() {
        let folder = TempDir::new().unwrap();
        let config = written(&folder, Architecture::Convnet, 3);
        let more: [(&str, &[i64]); 2] =
            [("model/head.weight", &[99, 8]), ("optimizer/first/backbone.conv1.weight", &[2, 3, 3, 3])];
        let config = renamed(&config, "epoch-2.safetensors", |name| format!("model/backbone.{name}"), &more);
        let said = told(&config).unwrap();
        assert!(said.contains("15 tensors under `backbone.`") && said.contains("head.weight"), "{said}");
    }

    #[test]
    fn two_networks_in_one_file_are_an_error() {
        let folder = TempDir::new().unwrap();
        let config = written(&folder, Architecture::Convnet, 3);
        let more: Vec<_> = Tensor::read_safetensors(config.weights.as_ref().unwrap())
            .unwrap()
            .into_iter()
            .map(|(name, tensor)| (format!("b.{name}"), tensor.size()))
            .collect();
        let more: Vec<_> = more.iter().map(|(name, size)| (name.as_str(), size.as_slice())).collect();
        let config = renamed(&config, "both.safetensors", |name| format!("a.{name}"), &more);
        let Err(ModelError::TwoNetworks { first, second, .. }) = told(&config) else { unreachable!() };
        assert_eq!((first.as_str(), second.as_str()), ("a.", "b."));
    }

    #[test]
    fn differences_have_the_names_of_the_file() {
        let folder = TempDir::new().unwrap();
        let config = written(&folder, Architecture::Resnet18, 3);
        let deeper: [(&str, &[i64]); 1] = [("module.layer1.2.conv1.weight", &[64, 64, 3, 3])];
        let config = renamed(&config, "deeper.safetensors", |name| format!("module.{name}"), &deeper);
        let message = told(&config).unwrap_err().to_string();
        assert!(message.contains("unexpected: module.fc.weight, module.layer1.2.conv1.weight"), "{message}");
    }

    #[test]
    fn weights_that_are_not_finite_are_named() {
        let folder = TempDir::new().unwrap();
        let config = written(&folder, Architecture::Convnet, 3);
        let path = folder.path().join("nan.safetensors");
        let mut tensors = Tensor::read_safetensors(config.weights.as_ref().unwrap()).unwrap();
        for (name, tensor) in &mut tensors {
            if name == "bn2.bias" {
                *tensor = tensor.f_full_like(f64::NAN).unwrap();
            }
        }
        Tensor::write_safetensors(&tensors, &path).unwrap();
        let config = ModelConfig { weights: Some(path), ..config };
        assert!(matches!(told(&config), Err(ModelError::NotFinite { name, .. }) if name == "bn2.bias"));
    }
}
