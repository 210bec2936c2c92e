//! A TorchScript module as the backbone.

use super::config::ModelConfig;
use super::error::ModelError;
use super::registry::Registry;
use lossmith_torch_shim::ScriptModule;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, TchError, Tensor};

/// A module from a file.
#[derive(Debug)]
pub(super) struct Script {
    module: ScriptModule,
}

impl Script {
    /// Loads the module and finds its number of features by a run on two images of zeros.
    ///
    /// A parameter that does not require a gradient in the file stays frozen: it becomes a buffer.
    pub(super) fn new(
        registry: &mut Registry,
        config: &ModelConfig,
        channels: i64,
        size: i64,
        device: Device,
    ) -> Result<(Self, i64), ModelError> {
        let path: PathBuf = config.path.clone().ok_or(ModelError::NoPath)?;
        let failed = |source: TchError| ModelError::Script { path: path.clone(), channels, size, source };
        let module = load(&path, device).map_err(failed)?;
        for item in module.tensors().map_err(failed)? {
            if item.parameter && item.tensor.requires_grad() {
                registry.add_parameter(&item.name, &item.tensor)?;
            } else {
                registry.add_buffer(&item.name, &item.tensor);
            }
        }
        let images = Tensor::f_zeros([2, channels, size, size], (Kind::Float, device))?;
        let features = tch::no_grad(|| module.forward(&images, false)).map_err(failed)?.size();
        match (features.as_slice(), config.features) {
            (&[2, found], None) => Ok((Self { module }, found)),
            (&[2, found], Some(expected)) if found == i64::from(expected) => Ok((Self { module }, found)),
            (_, expected) => Err(ModelError::Features { path, expected, found: features }),
        }
    }

    pub(super) fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor, TchError> {
        self.module.forward(images, train)
    }
}

fn load(path: &Path, device: Device) -> Result<ScriptModule, TchError> {
    // libtorch's own message for a missing file is about zip archives.
    lossmith_plugin::files::check_path(path, lossmith_plugin::files::WEIGHTS)?;
    ScriptModule::load(path, device)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::super::config::Architecture;
    use super::*;
    use tch::CModule;
    use tempfile::TempDir;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn config(path: PathBuf, features: Option<u32>) -> ModelConfig {
        ModelConfig { backbone: Architecture::Torchscript, path: Some(path), features, ..ModelConfig::default() }
    }

    fn build(path: PathBuf, features: Option<u32>) -> Result<(Script, i64, Registry), ModelError> {
        let mut registry = Registry::new(Device::Cpu, 1);
        let (script, found) = Script::new(&mut registry, &config(path, features), 1, 8, Device::Cpu)?;
        Ok((script, found, registry))
    }

    /// Has a trained `weight`, a frozen `scale` and running statistics; `testdata/script.cc` made it.
    fn module() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/model/testdata/script.pt")
    }

    fn traced(folder: &TempDir, function: fn(&Tensor) -> Tensor) -> PathBuf {
        let path = folder.path().join("traced.pt");
        let input = Tensor::ones([2, 1, 8, 8], CPU);
        let mut function = |inputs: &[Tensor]| vec![function(&inputs[0])];
        CModule::create_by_tracing("Traced", "forward", &[input], &mut function).unwrap().save(&path).unwrap();
        path
    }

    fn images() -> Tensor {
        Tensor::f_from_slice(&(0..128).map(|x| (x % 11) as f32).collect::<Vec<_>>()).unwrap().reshape([2, 1, 8, 8])
    }

    #[test]
    fn its_tensors_are_parameters_and_buffers_of_the_network() {
        let (_, features, registry) = build(module(), Some(6)).unwrap();
        assert_eq!(features, 6);
        let names: Vec<_> = registry.tensors().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["weight", "scale", "running_mean", "running_var"].map(|name| format!("backbone.{name}")));
        assert_eq!(registry.parameters.len(), 1);
    }

    #[test]
    fn it_trains() {
        let (script, _, registry) = build(module(), None).unwrap();
        let weight = &registry.parameters[0].tensor;
        let before = script.forward(&images(), true).unwrap();
        before.f_sum(Kind::Float).unwrap().f_backward().unwrap();
        assert!(weight.grad().f_abs().unwrap().f_sum(Kind::Float).unwrap().f_double_value(&[]).unwrap() > 0.0);
        let _ = tch::no_grad(|| weight.shallow_clone().f_sub_(&weight.grad()).unwrap());
        assert!(!script.forward(&images(), true).unwrap().equal(&before));
    }

    #[test]
    fn training_updates_its_statistics_and_evaluation_uses_them() {
        let (script, _, registry) = build(module(), None).unwrap();
        let mean = &registry.buffers[1].1;
        let evaluated = script.forward(&images(), false).unwrap();
        assert!(mean.equal(&Tensor::zeros([6], CPU)));
        let trained = script.forward(&images(), true).unwrap();
        assert!(!mean.equal(&Tensor::zeros([6], CPU)));
        assert!(!evaluated.equal(&trained));
    }

    #[test]
    fn every_call_computes_the_same_bits() {
        let (script, ..) = build(module(), None).unwrap();
        let gradient = || {
            let x = images().set_requires_grad(true);
            script.forward(&x, true).unwrap().f_square().unwrap().f_sum(Kind::Float).unwrap().f_backward().unwrap();
            x.grad()
        };
        let first = gradient();
        assert!((0..4).all(|_| gradient().equal(&first)));
    }

    #[test]
    fn a_traced_module_without_parameters_is_a_frozen_backbone() {
        let folder = TempDir::new().unwrap();
        let (script, features, registry) = build(traced(&folder, |x| x.flatten(1, -1) * 2.0), None).unwrap();
        assert_eq!((features, registry.parameters.len()), (64, 0));
        assert!(script.forward(&images(), true).unwrap().equal(&(images().flatten(1, -1) * 2.0)));
    }

    #[test]
    fn another_number_of_features_is_an_error_that_names_both() {
        let message = build(module(), Some(7)).unwrap_err().to_string();
        assert!(message.contains("[2, 6]") && message.contains("[2, 7]"), "{message}");
    }

    #[test]
    fn a_result_that_is_no_row_per_image_is_an_error() {
        let folder = TempDir::new().unwrap();
        let error = build(traced(&folder, |x| x * 2.0), None).unwrap_err();
        assert!(matches!(error, ModelError::Features { found, .. } if found == [2, 1, 8, 8]));
    }

    #[test]
    fn a_missing_or_foreign_file_is_an_error_that_names_it() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("module.pt");
        let missing = build(path.clone(), None).unwrap_err();
        assert!(matches!(&missing, ModelError::Script { source: TchError::Io(_), .. }), "{missing:?}");
        std::fs::write(&path, b"no archive").unwrap();
        let foreign = build(path, None).unwrap_err();
        assert!(foreign.to_string().contains("module.pt"), "{foreign}");
    }

    #[test]
    fn a_module_for_other_images_is_an_error() {
        let mut registry = Registry::new(Device::Cpu, 1);
        let built = Script::new(&mut registry, &config(module(), None), 3, 8, Device::Cpu);
        assert!(matches!(built, Err(ModelError::Script { channels: 3, .. })));
    }
}
