//! The network as a program in TorchScript, which runs without this one.

use lossmith_torch_shim::{ScriptModule, ScriptTensor};

use super::error::ModelError;
use super::network::Model;
use super::script::Lines;

impl Model {
    /// The network as a TorchScript module with a `forward` from images to embeddings, in evaluation mode. Its tensors
    /// are those of the network, under the same names.
    ///
    /// # Errors
    /// If the network's own TorchScript module cannot be called from another one.
    pub fn script(&self) -> Result<ScriptModule, ModelError> {
        let (backbone, head) = self.parts();
        let mut lines = Lines::forward();
        let own = backbone.script(&mut lines);
        if head {
            lines.set("x", "torch.linear(x, self.head.weight, self.head.bias)");
        }
        // Under autocasting the embedding has 16 bits; 6 is float32.
        let source = lines.returning("torch.to(x, 6)");
        let tensors: Vec<_> =
            self.tensors().filter(|item| own.is_none() || !item.name.starts_with("backbone.")).collect();
        Ok(ScriptModule::define(&tensors, own, &source)?)
    }

    /// All tensors by name; the parameters are those that are trained.
    pub fn tensors(&self) -> impl Iterator<Item = ScriptTensor> {
        let parameters = self.parameters().iter().map(|item| (&item.name, &item.tensor, true));
        let all = parameters.chain(self.buffers().iter().map(|(name, tensor)| (name, tensor, false)));
        all.map(|(name, tensor, parameter)| ScriptTensor {
            name: name.clone(),
            tensor: tensor.shallow_clone(),
            parameter,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use std::path::Path;
    use tch::{Device, Kind, Tensor};

    /// The program of a network, written and read again, beside the network.
    fn pair(config: &str, channels: i64) -> (Model, ScriptModule) {
        let model = Model::new(&toml::from_str(config).unwrap(), channels, 32, Device::Cpu, 3).unwrap();
        // Running statistics that are not those of the beginning.
        drop(model.forward(&images(5, channels), true).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.ts.pt");
        std::fs::write(&path, model.script().unwrap().save().unwrap()).unwrap();
        (model, ScriptModule::load(&path, Device::Cpu).unwrap())
    }

    fn images(count: i64, channels: i64) -> Tensor {
        let numbers = Tensor::arange(count * channels * 32 * 32, (Kind::Float, Device::Cpu));
        numbers.sin().reshape([count, channels, 32, 32])
    }

    #[test]
    fn the_program_of_every_network_gives_its_embeddings_to_the_last_bit() {
        for (config, channels) in [
            ("width = 4\nembedding = 6\nslices = 3", 1),
            ("width = 4\nembedding = 6\nfreeze-batch-norm = true", 3),
            ("backbone = \"resnet18\"\nembedding = 8", 3),
            ("backbone = \"resnet50\"\nembedding = 8\nfreeze-batch-norm = true", 1),
        ] {
            let (model, program) = pair(config, channels);
            for train in [false, true] {
                let images = images(4, channels);
                let found = program.forward(&images, train).unwrap();
                assert!(found.equal(&model.forward(&images, train).unwrap()), "{config}, training: {train}");
            }
            // What was trained is under the same names, statistics included.
            let mut names: Vec<_> = program.tensors().unwrap();
            names.sort_by(|a, b| a.name.cmp(&b.name));
            let state = model.state();
            assert_eq!(names.len(), state.len());
            for (item, (name, tensor)) in names.iter().zip(&state) {
                assert_eq!(&item.name, name);
                assert!(item.tensor.equal(tensor), "{name}");
            }
        }
    }

    #[test]
    fn a_network_around_a_module_of_its_own_is_a_program_with_that_module_inside() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/model/testdata/script.pt");
        let (model, program) = pair(&format!("backbone = \"torchscript\"\npath = {path:?}\nembedding = 5"), 1);
        let images = images(4, 1);
        let expected = model.forward(&images, false).unwrap();
        assert!(program.forward(&images, false).unwrap().equal(&expected));
        let names: Vec<_> = program.tensors().unwrap().into_iter().map(|item| item.name).collect();
        assert!(names.contains(&"backbone.running_mean".to_owned()) && names.contains(&"head.bias".to_owned()));
    }
}
