//! Data that changed or moved between the start of a run and its later use.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Lab, MINED_TRIPLETS, Outcome, Run, Running, fashion_mnist, folder, picture};

/// Four classes of twelve images below `data`, two of each class in a batch, 28 pixels small.
const SETS: [&str; 9] = [
    "data.kind=folder",
    "data.path='data'",
    "data.size=16",
    "sampler.classes=4",
    "sampler.samples=2",
    "epochs=200",
    "evaluation.every=200",
    "run.checkpoint-every=50",
    "name=own",
];

fn own_data() -> Lab {
    let lab = Lab::new(MINED_TRIPLETS);
    folder(&lab.path("data"));
    lab
}

/// A run that was stopped after its first step.
fn stopped(lab: &Lab, sets: &[&str]) -> Run {
    let mut running = Running::start(lab.command(&lab.training(&[SETS.as_slice(), sets].concat())));
    running.wait_for("step");
    running.signal(libc::SIGINT);
    assert_eq!(running.finish().code, Some(130));
    lab.run("own")
}

/// A run that was stopped inside an epoch, but not the first.
fn stopped_inside(lab: &Lab) -> Run {
    let mut run = stopped(lab, &["run.checkpoint-every=1", "data.validation=0.25", "evaluation.every=1"]);
    // A signal may also come at the end of an epoch.
    while run.files("checkpoints").len() < 3 || !run.files("checkpoints").contains(&INSIDE.to_owned()) {
        let mut running = Running::start(lab.command(&resume(&run, &[])));
        for event in ["epoch", "step"] {
            running.wait_for(event);
        }
        running.signal(libc::SIGINT);
        assert_eq!(running.finish().code, Some(130));
        run = lab.run("own");
    }
    run
}

const INSIDE: &str = "interrupted.safetensors";

/// One class more, one image less, one of another size, one in another class.
fn change(lab: &Lab) {
    for number in 0..12 {
        picture(&lab.path(&format!("data/emu/{number:02}.png")), 4, number);
    }
    fs::remove_file(lab.path("data/ant/00.png")).unwrap();
    fs::write(lab.path("data/bee/02.png"), fs::read(lab.path("data/cat/01.jpg")).unwrap()).unwrap();
    fs::rename(lab.path("data/dog/04.png"), lab.path("data/cat/44.png")).unwrap();
}

const NAMED: [&str; 6] = [
    "the data is not what the run was trained on",
    "new classes: emu",
    "new files: cat/44.png, emu/00.png, emu/01.png and 10 more",
    "files that are gone: ant/00.png, dog/04.png",
    "files of another size: bee/02.png",
    "--accept-changes",
];

fn resume<'a>(run: &'a Run, rest: &[&'a str]) -> Vec<&'a str> {
    [&["--json", "train", "--resume", run.name()], rest].concat()
}

fn journal(run: &Run, kind: &str) -> Vec<Value> {
    run.lines("journal.jsonl").into_iter().filter(|entry| entry["event"] == kind).collect()
}

#[test]
fn changed_data_is_named_and_taken_with_consent_only() {
    let lab = own_data();
    let run = stopped(&lab, &[]);
    let before = run.text("journal.jsonl");
    // The signal may come at the end of an epoch.
    let complete = run.rows("epoch").len() as u64;
    change(&lab);
    lab.lossmith(&resume(&run, &[])).fails(5, &NAMED);
    assert_eq!(run.text("journal.jsonl"), before);

    let said = lab.lossmith(&resume(&run, &["--accept-changes"])).ok();
    let warning = said.lines().find(|line| line.contains("goes on with changed data")).unwrap();
    assert!(warning.contains("new classes: emu"), "{warning}");
    let ready: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    let (steps, from) = (ready["steps"].as_u64().unwrap(), ready["from-step"].as_u64().unwrap());
    let [changed] = journal(&run, "data-changed").try_into().unwrap();
    assert_eq!((&changed["epoch"], &changed["step"]), (&complete.into(), &from.into()));
    assert!(changed["changes"].to_string().contains("emu"), "{changed}");

    // The epoch that was begun begins anew, and each has as many steps as the new data gives.
    let epochs: Vec<_> = run.rows("epoch").iter().map(|row| (row["epoch"].as_u64(), row["step"].as_u64())).collect();
    let expected = (complete + 1..=200).map(|epoch| (Some(epoch), Some(from + (epoch - complete) * steps)));
    assert_eq!(epochs[complete as usize..], expected.collect::<Vec<_>>());
    assert_eq!(run.events().last().unwrap(), "finished");
    // From now on this is the run's data.
    lab.lossmith(&["eval", run.name()]).ok();
    // Nobody has the data of before, so the repetition ends where it changed.
    lab.lossmith(&["replay", run.name()]).fails(5, &["the data is not what the run was trained on", "--data PATH"]);
}

#[test]
fn an_epoch_that_was_begun_begins_anew_from_its_start_with_changed_data() {
    let lab = own_data();
    let run = stopped_inside(&lab);
    let files = run.files("checkpoints");
    let last = files.iter().rfind(|name| name.starts_with("epoch-")).unwrap();
    let epoch: u64 = last.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
    let name = last.trim_end_matches(".safetensors");
    let before = run.checkpoint(name);
    change(&lab);
    let epochs = format!("epochs={}", epoch + 1);
    let keep = "run.keep=9";
    let said = lab.lossmith(&resume(&run, &["--accept-changes", "--set", &epochs, "--set", keep])).ok();
    for phrase in [&format!("epoch {} begins anew", epoch + 1), "the parts are drawn anew", "trained on before"] {
        assert!(said.contains(phrase), "`{phrase}` is missing in: {said}");
    }
    // The epoch that is complete keeps its weights.
    assert!(run.checkpoint(name) == before);
    let rows = run.rows("epoch");
    let start = rows.iter().find(|row| row["epoch"] == epoch).unwrap();
    let [changed] = journal(&run, "data-changed").try_into().unwrap();
    assert_eq!((&changed["epoch"], &changed["step"]), (&start["epoch"], &start["step"]));
    assert!(!run.files("checkpoints").contains(&INSIDE.to_owned()));

    // Whoever looks at the run later is told.
    let told = lab.lossmith(&["--json", "eval", run.name(), "--checkpoint", "last"]).json();
    assert!(told["data-warnings"].to_string().contains("trained on before"), "{told}");
    let early = lab.lossmith(&["--json", "eval", run.name(), "--checkpoint", &epoch.to_string()]);
    assert!(early.json()["data-warnings"].to_string().contains("trained on before"));
    assert!(lab.lossmith(&["runs", "show", run.name()]).ok().contains("with changed data"));
    assert!(run.text("report.html").contains("with changed data"));
}

#[test]
fn a_run_with_changed_data_is_stopped_and_goes_on_as_if_it_never_was() {
    let sets = ["data.augmentation.enabled=true", "learning-rate.schedule=cosine"];
    let once = |kills: usize| {
        let lab = own_data();
        // Between two epochs, so that both runs change at the same step.
        let run = lab.train(&[&SETS[..], &sets, &["epochs=2", "run.checkpoint-every=1"]].concat());
        change(&lab);
        let more = ["--accept-changes", "--set", "epochs=8"];
        let mut running = Running::start(lab.command(&resume(&run, &more)));
        for _ in 0..kills {
            running.wait_for("swap");
            running.wait_for("epoch");
            running.signal(libc::SIGKILL);
            running.finish();
            running = Running::start(lab.command(&resume(&run, &[])));
        }
        assert_eq!(running.finish().code, Some(0));
        (run.checkpoint("epoch-0008"), run.rows("step"), lab)
    };
    let (whole, cut) = (once(0), once(1));
    assert!(whole.0 == cut.0);
    assert_eq!(whole.1, cut.1);
}

#[test]
fn a_run_goes_on_with_changed_data_where_its_best_epoch_is_no_longer_kept() {
    let lab = own_data();
    let sets = ["epochs=4", "run.keep=2", "run.checkpoint-every=1", "evaluation.every=1", "data.validation=0.25"];
    // Every epoch measures the same, so the first stays the best.
    let still = ["optimizer.learning-rate=1e-30", "model.freeze-batch-norm=true"];
    let run = lab.train(&[&SETS[..], &sets, &still].concat());
    assert_eq!(run.files("checkpoints"), ["best.safetensors", "epoch-0003.safetensors", "epoch-0004.safetensors"]);
    picture(&lab.path("data/ant/90.png"), 0, 90);
    lab.lossmith(&resume(&run, &["--accept-changes", "--set", "epochs=6"])).ok();
    assert_eq!(run.files("checkpoints"), ["best.safetensors", "epoch-0005.safetensors", "epoch-0006.safetensors"]);
    assert_eq!(run.events().last().unwrap(), "finished");
}

#[test]
fn changed_data_is_measured_with_consent_only() {
    let lab = own_data();
    let run = lab.train(&[SETS.as_slice(), &["epochs=1"]].concat());
    change(&lab);
    for command in [vec!["eval"], vec!["embed", "--output", "e.safetensors"], vec!["retrieve", "--output", "r.png"]] {
        let arguments = [command.as_slice(), &[run.name()]].concat();
        lab.lossmith(&arguments).fails(5, &NAMED);
        lab.lossmith(&[arguments.as_slice(), &["--accept-changes"]].concat()).ok();
    }
    let told = lab.lossmith(&["--json", "eval", run.name(), "--accept-changes"]).json();
    assert!(told["data-changes"].to_string().contains("emu"), "{told}");
}

#[test]
fn a_run_of_a_version_without_a_list_of_files_says_that_it_has_none() {
    let lab = own_data();
    let run = lab.train(&[SETS.as_slice(), &["epochs=1"]].concat());
    fs::remove_file(run.path.join("data.csv")).unwrap();
    lab.lossmith(&["eval", run.name()]).ok();
    change(&lab);
    lab.lossmith(&["eval", run.name()]).fails(5, &["no list of its images"]);
}

/// The same command in another folder.
fn from_another_folder(lab: &Lab, arguments: &[&str]) -> Outcome {
    fs::create_dir_all(lab.path("elsewhere")).unwrap();
    Outcome::of(lab.command(arguments).current_dir(lab.path("elsewhere")))
}

#[test]
fn moved_data_is_found_where_data_says() {
    let lab = own_data();
    let run = stopped(&lab, &[]);
    fs::rename(lab.path("data"), lab.path("moved")).unwrap();
    let moved = lab.path("moved");
    let moved = ["--data", moved.to_str().unwrap()];
    lab.lossmith(&resume(&run, &[])).fails(5, &["the data of", "cannot be opened", "--data PATH"]);
    lab.lossmith(&resume(&run, &["--data", "nowhere"])).fails(5, &["cannot be opened", "nowhere"]);
    from_another_folder(&lab, &resume(&run, &moved)).ok();
    let [entry] = journal(&run, "data-moved").try_into().unwrap();
    assert_eq!(Path::new(entry["path"].as_str().unwrap()), lab.path("moved"));
    assert_eq!(journal(&run, "data-changed").len(), 0);
    // It is remembered.
    let measured = from_another_folder(&lab, &["--json", "eval", run.name()]).json();
    let again = lab.lossmith(&[&["--json", "eval", run.name()], moved.as_slice()].concat()).json();
    assert_eq!(measured, again);
    lab.lossmith(&[&["embed", run.name(), "--output", "e.safetensors"], moved.as_slice()].concat()).ok();
    lab.lossmith(&[&["retrieve", run.name(), "--output", "r.png"], moved.as_slice()].concat()).ok();
    lab.lossmith(&[&["replay", run.name()], moved.as_slice()].concat()).ok();
    from_another_folder(&lab, &["train", "--from", &format!("{}@last", run.name()), "--set", "epochs=201"]).ok();
}

#[test]
fn data_that_is_found_by_its_kind_is_found_again_from_any_folder() {
    let lab = Lab::new(MINED_TRIPLETS);
    fashion_mnist(&lab.path(".data/fashion-mnist"));
    let text = fs::read_to_string(lab.path("experiment.toml")).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("path = ")).collect();
    lab.write("experiment.toml", &without.join("\n"));
    let run = lab.train(&["epochs=1"]);
    let there = lab.lossmith(&["--json", "eval", run.name()]).json();
    assert_eq!(from_another_folder(&lab, &["--json", "eval", run.name()]).json(), there);
}

#[test]
fn a_device_that_is_not_there_is_replaced_by_another() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&["epochs=1"]);
    let measured = lab.lossmith(&["--json", "eval", run.name()]).json();
    // As if it had been made on a machine with many devices.
    for file in ["experiment.toml", "manifest.json"] {
        let text = run.text(file).replace("\"cpu\"", "\"cuda:99\"");
        fs::write(run.path.join(file), text).unwrap();
    }
    lab.lossmith(&["eval", run.name()]).fails(3, &["there is no device cuda:99", "--device cpu"]);
    assert_eq!(lab.lossmith(&["--json", "eval", run.name(), "--device", "cpu"]).json(), measured);
    lab.lossmith(&["embed", run.name(), "--device", "cpu", "--output", "e.safetensors"]).ok();
    lab.lossmith(&["eval", run.name(), "--device", "gpu"]).fails(2, &["`gpu` is not a device"]);
}
