//! The files of a run with lines and bytes that nobody wrote: an error that names the file, or the run as it is, never
//! a crash.

use std::fs;
use std::path::Path;

use crate::support::{Lab, MINED_TRIPLETS, Run, Running};

/// Copies a run's folder, without its sockets.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// A text in many wrong forms.
fn mutations(text: &str) -> Vec<String> {
    let middle = (text.len() / 2..).find(|at| text.is_char_boundary(*at)).unwrap();
    let mut numbers = String::new();
    let mut digits = false;
    for character in text.chars() {
        if character.is_ascii_digit() && !digits {
            numbers.push_str("18446744073709551615");
        } else if !character.is_ascii_digit() {
            numbers.push(character);
        }
        digits = character.is_ascii_digit();
    }
    let lines: Vec<&str> = text.lines().collect();
    let reversed = lines.iter().rev().map(|line| format!("{line}\n")).collect();
    vec![
        text[..middle].to_owned(),
        format!("{text}{text}"),
        reversed,
        numbers,
        text.replace(": 1", ": -1").replace(":1", ":-1"),
        text.replace('"', "'"),
        text.replace('{', "["),
        "null\n".to_owned(),
        String::new(),
        "\u{0}\u{feff}\n".to_owned(),
        text.replace("\"epoch\":1", "\"epoch\":1e300"),
    ]
}

/// Every command that reads a run ends with one of the codes of the help.
#[track_caller]
fn ends_well(lab: &Lab, run: &str, what: &str) {
    let from = format!("{run}@last");
    for command in [
        vec!["runs", "show", run],
        vec!["runs", "list", "copies"],
        vec!["eval", run],
        vec!["train", "--resume", run],
        vec!["train", "--resume", run, "--set", "epochs=3", "--accept-changes"],
        vec!["train", "--from", &from, "--print-config"],
    ] {
        let outcome = lab.lossmith(&command);
        let known = matches!(outcome.code, Some(0..=5 | 130));
        assert!(known && !outcome.stderr.contains("panicked"), "{what}, {command:?}: {outcome:?}");
    }
}

#[test]
fn no_mutation_of_a_text_file_crashes_a_command() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&["epochs=2", "model.width=2"]);
    for file in ["journal.jsonl", "manifest.json", "metrics.jsonl", "experiment.toml"] {
        let text = run.text(file);
        for (number, mutation) in mutations(&text).into_iter().enumerate() {
            let copied = lab.path("copies/run");
            let _ = fs::remove_dir_all(&copied);
            copy(&run.path, &copied);
            fs::write(copied.join(file), mutation).unwrap();
            ends_well(&lab, copied.to_str().unwrap(), &format!("{file}, mutation {number}"));
        }
    }
}

/// A run that was stopped goes on to the same end, whatever of these stands in its journal besides.
#[test]
fn lines_that_say_impossible_things_do_not_crash_a_run_that_goes_on() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut running = Running::start(lab.command(&lab.training(&["epochs=12", "name=cut"])));
    running.wait_for("epoch");
    running.signal(libc::SIGKILL);
    running.finish();
    let run = lab.run("cut");
    let most = u64::MAX;
    let time = "\"time\":\"2026-01-01T00:00:00Z\"";
    for line in [
        format!("{{{time},\"event\":\"candidate\",\"number\":{most},\"origin\":\"x\"}}"),
        format!(
            "{{{time},\"event\":\"swap\",\"revision\":9,\"epoch\":{most},\"step\":{most},\"changes\":[],\
             \"plugins\":[]}}"
        ),
        format!("{{{time},\"event\":\"data-changed\",\"epoch\":{most},\"step\":{most},\"data\":\"x\",\"changes\":[]}}"),
        format!("{{{time},\"event\":\"data-moved\",\"path\":\"/nowhere\"}}"),
        format!(
            "{{{time},\"event\":\"checkpoint\",\"epoch\":{most},\"step\":{most},\"file\":\"../../x\",\"best\":true}}"
        ),
        format!("{{{time},\"event\":\"of-a-later-version\",\"epoch\":{most}}}"),
    ] {
        let copied = lab.path("copies/run");
        let _ = fs::remove_dir_all(&copied);
        copy(&run.path, &copied);
        fs::write(copied.join("journal.jsonl"), format!("{}{line}\n", run.text("journal.jsonl"))).unwrap();
        ends_well(&lab, copied.to_str().unwrap(), &line);
    }
}

#[test]
fn no_byte_of_a_checkpoint_crashes_a_command() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&["epochs=1", "model.width=2"]);
    let file = "checkpoints/epoch-0001.safetensors";
    let good = fs::read(run.path.join(file)).unwrap();
    let huge = [&u64::MAX.to_le_bytes()[..], &good[8..]].concat();
    let nothing = [&0_u64.to_le_bytes()[..], &good[8..]].concat();
    let mut header = good.clone();
    header[20] = b'9';
    for (number, bytes) in
        [huge, nothing, header, good[..9].to_vec(), Vec::new(), vec![b'{'; 4096]].into_iter().enumerate()
    {
        for name in [file, "checkpoints/best.safetensors"] {
            let copied = lab.path("copies/run");
            let _ = fs::remove_dir_all(&copied);
            copy(&run.path, &copied);
            fs::write(copied.join(name), &bytes).unwrap();
            ends_well(&lab, copied.to_str().unwrap(), &format!("{name}, mutation {number}"));
        }
    }
}

#[test]
fn a_run_is_resumed_by_one_process_at_a_time() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut running = Running::start(lab.command(&lab.training(&["epochs=12"])));
    running.wait_for("epoch");
    running.signal(libc::SIGKILL);
    running.finish();
    let run = lab.run("tiny");
    // What another process does that is about to go on, and has not said so in the journal yet.
    let claim = fs::File::open(run.path.join("journal.jsonl")).unwrap();
    claim.lock().unwrap();
    let before = run.files("");
    lab.lossmith(&["train", "--resume", run.name()]).fails(1, &["another process is training this run"]);
    assert_eq!(run.files(""), before);
    drop(claim);
    resumed(&lab, &run);
}

#[track_caller]
fn resumed(lab: &Lab, run: &Run) {
    lab.lossmith(&["train", "--resume", run.name()]).ok();
    assert_eq!(run.events().last().unwrap(), "finished");
}
