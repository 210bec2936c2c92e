//! A TorchScript module as the backbone.

use super::archive;
use super::buffers::{copies, put_back};
use super::config::ModelConfig;
use super::error::ModelError;
use super::registry::Registry;
use lossmith_plugin::{brief, is_finite};
use lossmith_torch_shim::{ScriptModule, ScriptTensor};
use std::path::PathBuf;
use tch::{Device, Kind, TchError, Tensor};

/// A module from a file.
#[derive(Debug)]
pub(super) struct Script {
    module: ScriptModule,
    path: PathBuf,
    channels: i64,
    size: i64,
    device: Device,
    /// None until the first result, unless the configuration says it.
    features: Option<i64>,
}

impl Script {
    /// Loads the module and finds its number of features by a run on two images.
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
        archive::check(&path)?;
        let no_module = |error: TchError| ModelError::NoScript { path: path.clone(), reason: told(&error) };
        let module = ScriptModule::load(&path, device).map_err(no_module)?;
        let tensors = module.tensors().map_err(no_module)?;
        let mut script = Self { module, path, channels, size, device, features: config.features.map(i64::from) };
        for item in tensors {
            script.check_tensor(&item)?;
            if item.parameter && item.tensor.requires_grad() {
                registry.add_parameter(&item.name, &item.tensor)?;
            } else {
                registry.add_buffer(&item.name, &item.tensor);
            }
        }
        let kept = copies(&registry.buffers)?;
        let found = script.look(false)?;
        put_back(&registry.buffers, &kept)?;
        // 16 bits are for autocasting, which is off here.
        match found.size().as_slice() {
            &[_, features] if found.f_kind()? == Kind::Float => {
                script.features = Some(features);
                Ok((script, features))
            }
            _ => Err(script.no_features(2, &found)?),
        }
    }

    pub(super) fn module(&self) -> &ScriptModule {
        &self.module
    }

    pub(super) fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor, ModelError> {
        let found = self.module.forward(images, train).map_err(|error| ModelError::Script {
            path: self.path.clone(),
            channels: self.channels,
            size: self.size,
            reason: told(&error),
        })?;
        let images = images.size().first().copied().unwrap_or_default();
        let fits = match found.size().as_slice() {
            &[rows, columns] => rows == images && columns > 0 && self.features.is_none_or(|wanted| wanted == columns),
            _ => false,
        };
        if fits && matches!(found.f_kind()?, Kind::Float | Kind::BFloat16) {
            return Ok(found);
        }
        Err(self.no_features(images, &found)?)
    }

    /// Refuses a module whose calls change what later calls give, other than by `buffers`, which checkpoints have.
    pub(super) fn check_backbone(&self, buffers: &[(String, Tensor)]) -> Result<(), ModelError> {
        let kept = copies(buffers)?;
        let look = |train: bool| -> Result<Tensor, ModelError> {
            let found = self.look(train);
            put_back(buffers, &kept)?;
            found
        };
        let (looked, trained) = (look(false)?, look(true)?);
        if same_bits(&looked, &look(false)?)? && same_bits(&trained, &look(true)?)? {
            return Ok(());
        }
        Err(ModelError::Keeps { path: self.path.clone() })
    }

    /// Refuses a module whose calls change anything: no checkpoint has what a teacher keeps.
    pub(super) fn check_teacher(&self) -> Result<(), ModelError> {
        let buffers = || -> Result<Vec<(String, Tensor)>, TchError> {
            let tensors = self.module.tensors()?.into_iter().filter(|item| !item.parameter);
            Ok(tensors.map(|item| (item.name, item.tensor)).collect())
        };
        let kept = copies(&buffers()?)?;
        let same = same_bits(&self.look(false)?, &self.look(false)?)?;
        for ((name, now), before) in buffers()?.into_iter().zip(&kept) {
            if now.size() != before.size() || !now.f_equal(before)? {
                return Err(ModelError::KeepsBuffer { path: self.path.clone(), name });
            }
        }
        if same { Ok(()) } else { Err(ModelError::Keeps { path: self.path.clone() }) }
    }

    /// What the module gives for two images that are always the same, with random numbers that are.
    fn look(&self, train: bool) -> Result<Tensor, ModelError> {
        let images = self.images()?;
        tch::manual_seed(0);
        let found = tch::no_grad(|| self.forward(&images, train))?;
        if images.f_equal(&self.images()?)? {
            return Ok(found);
        }
        Err(ModelError::ChangesImages { path: self.path.clone() })
    }

    fn images(&self) -> Result<Tensor, TchError> {
        let Self { channels, size, device, .. } = *self;
        let numbers = Tensor::f_arange(2 * channels * size * size, (Kind::Float, device))?;
        numbers.f_sin()?.f_reshape([2, channels, size, size])
    }

    fn check_tensor(&self, item: &ScriptTensor) -> Result<(), ModelError> {
        let (path, name, tensor) = (self.path.clone(), item.name.clone(), &item.tensor);
        let kind = tensor.f_kind()?;
        if item.parameter && tensor.requires_grad() && kind != Kind::Float {
            return Err(ModelError::Dtype { path, name, dtype: dtype(kind) });
        }
        // A buffer may be infinite on purpose, as a mask.
        let finite = if item.parameter { is_finite(tensor)? } else { !has_nan(tensor)? };
        if finite { Ok(()) } else { Err(ModelError::NotFinite { path, name }) }
    }

    fn no_features(&self, images: i64, found: &Tensor) -> Result<ModelError, TchError> {
        Ok(ModelError::Features {
            path: self.path.clone(),
            images,
            expected: self.features,
            dtype: dtype(found.f_kind()?),
            found: found.size(),
        })
    }
}

/// Whether two results are equal, also where they are NaN.
fn same_bits(a: &Tensor, b: &Tensor) -> Result<bool, TchError> {
    let bits = |tensor: &Tensor| -> Result<Tensor, TchError> { tensor.f_to_kind(Kind::Float)?.f_view_dtype(Kind::Int) };
    bits(a)?.f_equal(&bits(b)?)
}

fn has_nan(tensor: &Tensor) -> Result<bool, TchError> {
    Ok(tensor.f_isnan()?.f_any()?.f_int64_value(&[])? != 0)
}

/// The name that Python has for an element type.
fn dtype(kind: Kind) -> String {
    match kind {
        Kind::Float => "float32".to_owned(),
        Kind::Double => "float64".to_owned(),
        Kind::Half => "float16".to_owned(),
        Kind::Int => "int32".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// What libtorch says, without its backtrace; of what a module throws, the words after the traceback.
fn told(error: &TchError) -> String {
    if let TchError::Torch(text) = error
        && text.contains("Traceback of TorchScript")
        && let Some(line) = text.lines().map(str::trim).rfind(|line| line.contains("Error: "))
    {
        return brief(&TchError::Torch(line.to_owned()));
    }
    brief(error)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::super::config::Architecture;
    use super::*;
    use std::path::Path;
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
        assert!(matches!(&missing, ModelError::NoModule { .. }), "{missing:?}");
        std::fs::write(&path, b"no archive").unwrap();
        let foreign = build(path, None).unwrap_err();
        assert!(matches!(&foreign, ModelError::NoScript { .. }), "{foreign:?}");
        assert!(foreign.to_string().contains("module.pt"), "{foreign}");
    }

    #[test]
    fn a_module_for_other_images_is_an_error() {
        let mut registry = Registry::new(Device::Cpu, 1);
        let built = Script::new(&mut registry, &config(module(), None), 3, 8, Device::Cpu);
        assert!(matches!(built, Err(ModelError::Script { channels: 3, .. })));
    }

    /// One of the modules that `modules.py` beside them makes.
    fn made(name: &str) -> Result<(Script, i64, Registry), ModelError> {
        build(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/data/modules/{name}.pt")), None)
    }

    #[test]
    fn what_a_module_must_not_be_is_told_when_it_is_loaded() {
        let double = made("Double").unwrap_err().to_string();
        assert!(double.contains("float64 [2, 6]") && double.contains("not float32 [2, F]"), "{double}");
        assert!(matches!(made("InPlace"), Err(ModelError::ChangesImages { .. })));
        assert!(matches!(made("NanWeight"), Err(ModelError::NotFinite { name, .. }) if name == "linear.weight"));
    }

    #[test]
    fn other_rows_or_columns_later_are_an_error_that_names_both_shapes() {
        for (name, found) in [("OneRow", "[1, 6]"), ("FewerColumns", "[4, 4]")] {
            let (script, ..) = made(name).unwrap();
            let images = Tensor::ones([4, 1, 8, 8], CPU);
            let error = script.forward(&images, true).unwrap_err().to_string();
            assert!(error.contains(found) && error.contains("[4, 6]") && error.contains(name), "{error}");
        }
        let (script, ..) = made("Raises").unwrap();
        let error = script.forward(&Tensor::ones([4, 1, 8, 8], CPU), true).unwrap_err().to_string();
        assert!(error.contains("too many for me") && error.lines().count() == 1, "{error}");
    }

    #[test]
    fn a_memory_that_no_checkpoint_has_is_refused() {
        for name in ["Dropout", "Noise", "OneRow"] {
            let (script, _, registry) = made(name).unwrap();
            script.check_backbone(&registry.buffers).unwrap();
            script.check_teacher().unwrap();
        }
        let (script, _, registry) = made("Counts").unwrap();
        let error = script.check_backbone(&registry.buffers).unwrap_err();
        assert!(matches!(error, ModelError::Keeps { .. }), "{error:?}");
        assert!(matches!(script.check_teacher(), Err(ModelError::Keeps { .. })));
        let (script, _, registry) = made("CountsInBuffer").unwrap();
        script.check_backbone(&registry.buffers).unwrap();
        let calls = registry.buffers.iter().find(|(name, _)| name == "backbone.calls").unwrap();
        assert_eq!(calls.1.f_double_value(&[0]).unwrap(), 0.0);
        assert!(matches!(script.check_teacher(), Err(ModelError::KeepsBuffer { name, .. }) if name == "calls"));
    }
}
