//! The value and the gradient of a component's first loss, with its defaults, on a small batch:
//! `cargo run -p lossmith-plugin --example one_loss -- FILE.wasm`

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use lossmith_plugin::{Input, Limits, Params, Plugin, Progress, Role, Runtime, Setting, Slot};
use tch::{Device, Kind, Tensor};

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("give the file of a component")?;
    let limits = Arc::new(Limits::default());
    let runtime = Arc::new(Runtime::new()?);
    let plugin = Plugin::load(&runtime, Path::new(&file), &limits)?;

    let loss = plugin.strategies.iter().find(|strategy| strategy.role == Role::Loss).ok_or("it has no loss")?;
    let params = Params::new(loss, &BTreeMap::new())?;
    let setting = Setting { device: Device::Cpu, float: Kind::Float, seed: 0, slot: 0, limits };
    let mut slot = Slot::new(runtime, Arc::clone(&plugin), Role::Loss, &loss.name, params, setting)?;

    // Six images of three classes.
    let embeddings = Tensor::arange(24, (Kind::Float, Device::Cpu)).sin().reshape([6, 4]).set_requires_grad(true);
    let input = Input {
        embeddings: Some(embeddings.shallow_clone()),
        labels: Some(Tensor::from_slice(&[0_i64, 0, 1, 1, 2, 2])),
        class_count: 3,
        slice_count: 1,
        ..Input::default()
    };
    let value = slot.loss(input, &Progress::default())?;
    value.f_backward()?;
    println!("{} of {}: {}", loss.name, plugin.name, value.f_double_value(&[])?);
    println!("gradient\n{}", embeddings.f_grad()?.to_string(80)?);
    Ok(())
}
