//! Large batches in parts: `training.micro-batch`.

use std::fs;
use std::path::{Path, PathBuf};

use lossmith::model::Model;
use tch::{Device, Kind, Tensor};

use crate::support::{Lab, MINED_TRIPLETS, PROXIES, Run, Running};

/// A batch has 40 images.
const PARTS: &str = "training.micro-batch=16";

/// Objectives with parameters, pairs, and a teacher that looks at every batch.
const TAUGHT: &str = r#"
[[objective]]
loss = { plugin = "proxies", strategy = "proxy-anchor" }

[[objective]]
loss = { plugin = "losses", strategy = "contrastive", params = { memory-size = 50 } }

[[objective]]
transfer = { plugin = "transfers", strategy = "relaxed-contrastive" }
balance = { plugin = "balances", strategy = "gradient-share" }
"#;

/// A module of `tests/data/modules`, which `modules.py` there made.
fn module(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/data/modules/{name}.pt"))
}

/// A lab whose backbone is a module.
fn with_module(name: &str, objectives: &str) -> Lab {
    let lab = Lab::new(objectives);
    fs::copy(module(name), lab.path("module.pt")).unwrap();
    lab.replace("width = 4\n", "backbone = \"torchscript\"\npath = \"module.pt\"\n");
    lab.replace("validation = 0.2\n", "validation = 0.2\nsize = 8\n");
    lab
}

/// The largest difference between the numbers of two checkpoints of networks, where the largest number is near 1.
fn difference(a: &Run, b: &Run) -> f32 {
    let (a, b) = (a.part("epoch-0001", "model/"), b.part("epoch-0001", "model/"));
    assert!(a.keys().eq(b.keys()));
    let numbers = |(name, tensor): (&String, &crate::support::Stored)| {
        let pairs = tensor.floats().into_iter().zip(b[name].floats());
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    a.iter().map(numbers).fold(0.0, f32::max)
}

#[test]
fn a_network_whose_batch_normalisation_is_frozen_learns_as_from_the_whole_batch() {
    let lab = Lab::new(TAUGHT);
    let teacher = lab.train(&["name=teacher", "epochs=1", "objective=[{loss={plugin='losses',strategy='sup-con'}}]"]);
    let teacher = format!("teacher.run={}", teacher.name());
    // Small steps of the plain gradient: differences in the last bits stay where they are.
    let train = |more: &str| {
        let rate = "optimizer.learning-rate=0.0001";
        lab.train(&["epochs=1", "model.freeze-batch-norm=true", "optimizer.name=sgd", rate, &teacher, more])
    };
    let whole = train("name=whole");
    for parts in ["training.micro-batch=16", "training.micro-batch=39", "training.micro-batch=1"] {
        let run = train(parts);
        let loss = |run: &Run| run.values("step", "loss");
        assert_eq!(loss(&run).len(), loss(&whole).len());
        assert!(loss(&run).iter().zip(loss(&whole)).all(|(a, b)| (a - b).abs() < 1e-4 * b.abs()), "{parts}");
        assert!(difference(&run, &whole) < 1e-5, "{parts}: {}", difference(&run, &whole));
    }
    let other = train("optimizer.learning-rate=0.00011");
    assert!(difference(&other, &whole) > 1e-4, "the comparison would see nothing");
}

#[test]
fn a_call_of_a_network_is_repeated_by_its_seed_and_its_buffers() {
    let module = format!("backbone = \"torchscript\"\npath = {:?}\nembedding = 6", module("Dropout"));
    for (config, size, draws) in [(module.as_str(), 8, true), ("width = 4\nembedding = 6", 28, false)] {
        let model = Model::new(&toml::from_str(config).unwrap(), 1, size, Device::Cpu, 1).unwrap();
        let images = Tensor::arange(4 * size * size, (Kind::Float, Device::Cpu)).sin().reshape([4, 1, size, size]);
        let call = |part| {
            model.seed(1, 5, 1, part);
            model.forward(&images, true).unwrap()
        };
        let buffers = || model.buffers().iter().map(|(_, buffer)| buffer.copy()).collect::<Vec<_>>();
        let before = model.copy_buffers().unwrap();
        let first = tch::no_grad(|| [call(0), call(1)]);
        let after = buffers();
        model.put_back_buffers(&before).unwrap();
        let second = [call(0), call(1)];
        assert!(first.iter().zip(&second).all(|(a, b)| a.equal(b) && !a.requires_grad() && b.requires_grad()));
        assert!(buffers().iter().zip(&after).all(|(a, b)| a.equal(b)));
        // Each part draws numbers of its own.
        assert_eq!(!first[0].equal(&first[1]), draws, "{config}");
    }
}

#[test]
fn a_run_in_parts_is_repeated_to_the_last_bit() {
    for lab in [Lab::new(PROXIES), with_module("Dropout", MINED_TRIPLETS), with_module("Noise", MINED_TRIPLETS)] {
        let run = lab.train(&[PARTS]);
        lab.lossmith(&["replay", run.name()]).ok();
        let other = lab.train(&["training.micro-batch=8"]);
        assert!(run.part("epoch-0002", "model/") != other.part("epoch-0002", "model/"));
    }
}

#[test]
fn buffers_take_each_part_of_a_step_once() {
    // The module counts its calls in a buffer and gives NaN after three: two parts a step, each twice.
    let lab =
        with_module("CountsInBuffer", "\n[[objective]]\nloss = { plugin = \"losses\", strategy = \"contrastive\" }\n");
    let outcome = lab.try_train(&["training.micro-batch=20"]);
    outcome.fails(5, &["the network gives embeddings that are not finite at step 1"]);
}

#[test]
fn a_run_in_parts_goes_on_to_the_same_bits() {
    const LONG: [&str; 3] = ["epochs=12", "run.keep=12", PARTS];
    for lab in [Lab::new(PROXIES), with_module("Dropout", PROXIES)] {
        let whole = lab.train(&LONG);
        for (event, signal) in [("step", libc::SIGINT), ("epoch", libc::SIGKILL)] {
            let name = format!("name={event}");
            let mut running = Running::start(lab.command(&lab.training(&[LONG.as_slice(), &[&name]].concat())));
            running.wait_for(event);
            running.signal(signal);
            assert_ne!(running.finish().code, Some(0), "it was not stopped");
            let run = lab.run(event);
            lab.lossmith(&["train", "--resume", run.name()]).ok();
            assert!(run.checkpoint("epoch-0012") == whole.checkpoint("epoch-0012"), "{event}");
        }
    }
}

#[test]
fn a_batch_that_is_small_enough_is_not_divided_which_is_told() {
    let lab = Lab::new(PROXIES);
    let plain = lab.train(&[]);
    let outcome = lab.try_train(&["training.micro-batch=40"]);
    assert!(outcome.stdout.contains("a batch has 40 images: it is not divided"), "{outcome:?}");
    let undivided = lab.run_of(&outcome.ok());
    assert!(plain.checkpoint("epoch-0002") == undivided.checkpoint("epoch-0002"));
    assert!(!lab.try_train(&["training.micro-batch=39"]).ok().contains("not divided"));
}

#[test]
fn an_unknown_key_and_what_is_no_number_are_errors() {
    let lab = Lab::new(PROXIES);
    lab.try_train(&["training.microbatch=16"]).fails(3, &["did you mean `micro-batch`?"]);
    lab.try_train(&["training.micro-batch=many"]).fails(3, &["expected a whole number from 1 on"]);
    // An experiment that does not set it is written down as before there was such a table.
    assert!(!lab.lossmith(&["train", "experiment.toml", "--print-config"]).ok().contains("[training]"));
    assert!(lab.runs().is_empty());
}
