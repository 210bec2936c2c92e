//! Going on with what has ended: finished runs, and runs whose end failed.

use std::fs;

use crate::support::{Lab, MINED_TRIPLETS, PROXIES, Running, folder};

#[test]
fn a_finished_run_goes_on_with_more_epochs() {
    let lab = Lab::new(PROXIES);
    let whole = lab.train(&["epochs=4", "run.keep=9"]);
    let run = lab.train(&["epochs=2", "run.keep=9"]);
    let resume = ["--json", "train", "--resume", run.name(), "--set", "epochs=4"];
    lab.lossmith(&resume).fails(2, &["epochs: 2 -> 4", "--accept-changes"]);
    lab.lossmith(&[resume.as_slice(), &["--accept-changes"]].concat()).ok();
    assert_eq!(run.events().last().unwrap(), "finished");
    assert!(run.checkpoint("epoch-0004") == whole.checkpoint("epoch-0004"));
    // The test part is measured at each end, and training never sees it.
    assert_eq!(run.values("evaluation", "test/map-at-r").len(), 2);
    let last = |run: &crate::support::Run| run.values("evaluation", "test/map-at-r").pop();
    assert_eq!(last(&run), last(&whole));
    lab.lossmith(&["replay", run.name()]).ok();
    // Asked for again, there is nothing left to do.
    let again = ["train", "--resume", run.name(), "--set", "epochs=4", "--accept-changes"];
    lab.lossmith(&again).fails(2, &["is finished after epoch 4", "--from"]);
}

#[test]
fn other_settings_on_a_finished_run_are_refused_with_the_way() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&["epochs=2"]);
    let before = (run.text("journal.jsonl"), run.text("metrics.jsonl"), run.files(""));
    let refused = |code, arguments: &[&str], phrases: &[&str]| {
        let resume = [&["train"], arguments, &["--resume", run.name(), "--accept-changes"]].concat();
        lab.lossmith(&resume).fails(code, phrases);
    };
    let way = ["is finished after epoch 2; this gives it nothing to go on with:", "--from", "starts a branch"];
    let changed = |change| [way.as_slice(), &[change]].concat();
    refused(2, &["--set", "optimizer.learning-rate=0.5"], &changed("optimizer.learning-rate: 0.003 -> 0.5"));
    refused(2, &["--set", "epochs=1"], &changed("epochs: 2 -> 1"));
    refused(3, &["--set", "epoch=9"], &["unknown key `epoch`", "did you mean `epochs`?"]);
    refused(3, &["--set", "epochs=many"], &["epochs"]);
    refused(3, &["nowhere.toml"], &["nowhere.toml"]);
    lab.replace("learning-rate = 0.003", "learning-rate = 0.5");
    refused(2, &["experiment.toml"], &changed("optimizer.learning-rate: 0.003 -> 0.5"));
    refused(3, &["--set", "epochs=9", "--set", "seed=7"], &["seed: 1 -> 7", "--from"]);
    assert!(before.0 == run.text("journal.jsonl") && before.1 == run.text("metrics.jsonl"));
    // What can be said before anything is loaded leaves no file behind.
    assert!(run.files("").len() <= before.2.len() + 1, "{:?}", run.files(""));
}

#[test]
fn a_trained_network_does_not_need_the_file_that_its_weights_began_with() {
    let lab = Lab::new(MINED_TRIPLETS);
    let first = lab.train(&["epochs=1"]);
    let weights = lab.path("first.safetensors");
    fs::copy(first.path.join("checkpoints/epoch-0001.safetensors"), &weights).unwrap();
    let run = lab.train(&["epochs=1", "model.weights=first.safetensors"]);
    fs::remove_file(&weights).unwrap();
    lab.lossmith(&["eval", run.name()]).ok();
    lab.lossmith(&["train", "--resume", run.name(), "--set", "epochs=2", "--accept-changes"]).ok();
    // A repetition begins where the run began.
    lab.lossmith(&["replay", run.name()]).fails(3, &["there is no file", "first.safetensors with weights"]);
}

/// The part of each image is in a list, so that the images that are measured are known.
fn listed(lab: &Lab) {
    folder(&lab.path("images"));
    let mut list = String::from("path,class,split\n");
    for class in ["ant", "bee", "cat", "dog"] {
        for number in 0..12 {
            let ending = if number % 2 == 0 { "png" } else { "jpg" };
            let split = ["train", "train", "validation"][number % 3];
            list += &format!("{class}/{number:02}.{ending},{class},{split}\n");
        }
    }
    lab.write("images/list.csv", &list);
}

#[test]
fn a_run_whose_evaluation_failed_is_not_finished_by_resuming() {
    let lab = Lab::new(PROXIES);
    listed(&lab);
    let sets = [
        "data.kind=manifest",
        "data.path='images/list.csv'",
        "data.size=16",
        "sampler.classes=4",
        "epochs=3",
        "evaluation.every=3",
        "evaluation.test=false",
        "run.keep=9",
    ];
    let whole = lab.train(&sets);
    let image = lab.path("images/cat/02.png");
    let good = fs::read(&image).unwrap();
    let mut running = Running::start(lab.command(&lab.training(&[sets.as_slice(), &["name=cut"]].concat())));
    running.wait_for("step");
    // Of the same size: only who decodes it sees that.
    fs::write(&image, vec![0; good.len()]).unwrap();
    assert_eq!(running.finish().code, Some(5));
    let run = lab.run("cut");
    assert_eq!(run.events().last().unwrap(), "failed");
    for _ in 0..2 {
        assert_eq!(lab.lossmith(&["train", "--resume", run.name()]).code, Some(5));
        assert_eq!(run.events().last().unwrap(), "failed");
    }
    fs::write(&image, good).unwrap();
    lab.lossmith(&["train", "--resume", run.name()]).ok();
    assert_eq!(run.events().last().unwrap(), "finished");
    assert_eq!(run.rows("evaluation"), whole.rows("evaluation"));
    assert!(run.checkpoint("best") == whole.checkpoint("best"));
}

#[test]
fn other_threads_and_a_missing_checkpoint_are_told() {
    let lab = Lab::new(MINED_TRIPLETS);
    lab.replace("threads = 1\n", "");
    let sets = ["epochs=40", "evaluation.every=40", "run.checkpoint-every=40", "name=cut"];
    let mut running = Running::start({
        let mut command = lab.command(&lab.training(&sets));
        command.env("OMP_NUM_THREADS", "1");
        command
    });
    running.wait_for("epoch");
    running.signal(libc::SIGKILL);
    running.finish();
    let run = lab.run("cut");
    let mut command = lab.command(&["--json", "train", "--resume", run.name()]);
    command.env("OMP_NUM_THREADS", "2");
    let mut running = Running::start(command);
    let first = running.event("line");
    assert!(first["text"].as_str().unwrap().contains("it begins at epoch 1 again"), "{first}");
    let second = running.event("line");
    assert!(second["text"].as_str().unwrap().contains("began with 1 threads and goes on with 2"), "{second}");
    running.signal(libc::SIGKILL);
    running.finish();
}

#[test]
fn the_configuration_of_a_branch_is_printed_and_nothing_is_made() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&["epochs=2", "optimizer.learning-rate=0.25"]);
    let from = format!("{}@1", run.name());
    let print = ["train", "--from", &from, "--set", "epochs=7", "--print-config"];
    let printed: toml::Table = toml::from_str(&lab.lossmith(&print).ok()).unwrap();
    assert_eq!(printed["epochs"].as_integer(), Some(7));
    assert_eq!(printed["optimizer"]["learning-rate"].as_float(), Some(0.25));
    assert_eq!(lab.runs().len(), 1);
    lab.lossmith(&[&print[..], &["--set", "epoch=7"]].concat()).fails(3, &["unknown key `epoch`"]);
}
