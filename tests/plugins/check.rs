//! `lossmith plugin check`, `plugin bench` and `plugin build --watch`, by the real binary.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value as Json, json};

use crate::support::guest;

fn plugin(arguments: &[&str]) -> Output {
    // Tests run beside each other.
    Command::new(env!("CARGO_BIN_EXE_lossmith"))
        .arg("plugin")
        .args(arguments)
        .env("OMP_NUM_THREADS", "1")
        .output()
        .unwrap()
}

/// The findings of one strategy, with the exit code.
fn check(package: &str, strategy: &str, more: &[&str]) -> (Vec<(String, String, String)>, i32) {
    let guest = guest(package);
    let output = plugin(&[&["check", guest.to_str().unwrap(), "--strategy", strategy, "--json"], more].concat());
    let report: Json = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let [strategy] = report["strategies"].as_array().unwrap().as_slice() else { panic!("{report}") };
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let finding = |found: &Json| (text(&found["what"]), text(&found["verdict"]), text(&found["detail"]));
    let findings = strategy["findings"].as_array().unwrap().iter().map(finding).collect();
    (findings, output.status.code().unwrap())
}

/// What is not as it should be, with the exit code.
fn wrong(strategy: &str) -> (Vec<(String, String, String)>, i32) {
    let (mut findings, code) = check("lossmith-test-mistakes", strategy, &[]);
    findings.retain(|(_, verdict, _)| verdict != "passed" && verdict != "skipped");
    (findings, code)
}

#[test]
fn a_wrong_gradient_is_caught_and_its_kind_is_said() {
    let cases = [
        ("wrong-sign", "the sign is wrong"),
        ("doubled", "it is 2.0000 times what it should be"),
        ("shifted", "belongs to other images"),
        ("half-lost", "a part is missing"),
        ("anchors-only", "a part is missing"),
        ("parameter-wrong", "`scale`"),
    ];
    for (strategy, guess) in cases {
        let (findings, code) = wrong(strategy);
        assert_eq!(code, 4, "{strategy}");
        let failed: Vec<_> = findings.iter().filter(|(_, verdict, _)| verdict == "failed").collect();
        assert!(!failed.is_empty() && failed.iter().all(|(what, ..)| what == "gradient"), "{strategy}: {findings:?}");
        assert!(failed.iter().all(|(.., detail)| detail.contains(guess)), "{strategy}: {failed:?}");
        let given = failed.iter().all(|(.., detail)| detail.contains("with-gradients"));
        assert_eq!(given, strategy != "half-lost", "{strategy}: {failed:?}");
    }
}

#[test]
fn a_gradient_that_is_given_or_stopped_on_purpose_is_right() {
    for strategy in ["right", "held"] {
        let (findings, code) = wrong(strategy);
        assert_eq!((findings, code), (Vec::new(), 0), "{strategy}");
    }
    let (findings, _) = check("lossmith-test-mistakes", "held", &[]);
    assert!(findings.iter().any(|(what, _, detail)| what == "gradient"
        && detail.contains("1 values without gradient were held, and letting them move changes the slopes")));
}

#[test]
fn a_gradient_made_by_hand_with_detach_is_held_against_the_value_as_a_whole() {
    // Its derivative is in values that went through `detach`, so that holding them alone would judge nothing.
    let (findings, _) = check("lossmith-rankings", "smooth-ap", &[]);
    let gradients = findings.iter().filter(|(what, ..)| what == "gradient").collect::<Vec<_>>();
    assert!(gradients.iter().any(|(.., detail)| detail.contains("letting them move changes nothing")), "{gradients:?}");
}

#[test]
fn what_is_not_a_gradient_is_caught_too() {
    for (strategy, what, verdict, word) in [
        ("counting", "determinism", "failed", "a second call"),
        ("first-image", "order of the batch", "warning", "another order"),
        ("cubic", "cost", "warning", "as B^3.0, memory as B^3.0"),
        ("unguarded", "extreme batches", "failed", "two zero vectors"),
        ("imprecise", "32 bits against 64", "warning", "differ by at most"),
    ] {
        let (findings, code) = wrong(strategy);
        let is_it = |found: &&(String, String, String)| found.0 == what && found.1 == verdict && found.2.contains(word);
        assert!(findings.iter().any(|found| is_it(&found)), "{strategy}: {findings:?}");
        assert_eq!(code == 4, findings.iter().any(|(_, verdict, _)| verdict == "failed"), "{strategy}");
    }
    // A warning fails where that is asked for.
    assert_eq!(check("lossmith-test-mistakes", "cubic", &["--strict"]).1, 4);
}

#[test]
fn what_grows_from_call_to_call_is_told() {
    for (strategy, words) in [
        ("growing", "49152 bytes are kept after 8 calls, 12582912 after 16"),
        ("naming", "160 names of metrics are reported after 8 calls, 320 after 16"),
    ] {
        let (findings, code) = wrong(strategy);
        let [(what, verdict, detail)] = &findings[..] else { panic!("{strategy}: {findings:?}") };
        assert_eq!((what.as_str(), verdict.as_str(), code), ("calls in a row", "warning", 0), "{strategy}");
        assert!(detail.contains(words) && detail.contains("limits.state-bytes"), "{strategy}: {detail}");
    }
    // A memory that is full, and one that no limit lets grow so far.
    let (findings, code) = check("lossmith-test-mistakes", "filling", &[]);
    let words = "after 16 calls 1920 bytes are kept in 1 tensors";
    assert!(findings.iter().any(|(_, _, detail)| detail.contains(words)) && code == 0, "{findings:?}");
    let (findings, code) = check("lossmith-test-mistakes", "naming", &["--params", "{\"names\": 100}"]);
    let of = findings.iter().find(|(what, ..)| what == "calls in a row").unwrap();
    assert!(of.1 == "failed" && of.2.contains("call 11") && of.2.contains("metric-names"), "{findings:?}");
    assert_eq!(code, 4);
}

/// The line of the guest `mistakes` that ends with a comment.
fn line(comment: &str) -> String {
    let source = include_str!("../guests/mistakes/src/lib.rs");
    let number = source.lines().position(|line| line.ends_with(comment)).unwrap() + 1;
    format!("lib.rs:{number}")
}

#[test]
fn what_is_not_finite_is_equal_to_nothing_and_its_operation_is_named() {
    let (findings, code) = check("lossmith-test-mistakes", "root-of-zero", &[]);
    assert_eq!(code, 4);
    let of = |what: &str| findings.iter().filter(|found| found.0 == what).collect::<Vec<_>>();
    let [(_, verdict, detail)] = of("gradient")[..] else { panic!("{findings:?}") };
    assert_eq!(verdict, "failed");
    for words in ["96 of 96", "the embeddings are not finite", "backward pass of operation `sqrt`", "float [12, 12]"] {
        assert!(detail.contains(words), "{words}: {detail}");
    }
    assert!(detail.contains(&line("// the root of 0")), "{detail}");
    // Nothing that was not compared is right, and nothing else is to blame.
    for what in ["determinism", "order of the batch", "32 bits against 64"] {
        assert!(of(what).iter().all(|(_, verdict, _)| verdict == "skipped") && of(what).len() == 1, "{findings:?}");
    }

    let (findings, code) = wrong("dead-parameter");
    assert_eq!(code, 4);
    let [(what, verdict, detail)] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!((what.as_str(), verdict.as_str()), ("gradient", "failed"));
    assert!(detail.contains("`scale`") && detail.contains("operation `sqrt`"), "{detail}");

    let (findings, code) = wrong("root-by-choice");
    assert_eq!(code, 4);
    let of = findings.iter().find(|(what, ..)| what == "parameters").unwrap();
    assert!(of.1 == "failed" && of.2.contains("epsilon = 0") && of.2.contains("operation `sqrt`"), "{findings:?}");

    let (findings, code) = wrong("log-of-zero");
    assert_eq!(code, 4);
    let [(what, _, detail)] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(what, "an ordinary batch");
    for words in ["-inf", "operation `log` (float [12, 8])", &line("// the logarithm of 0")] {
        assert!(detail.contains(words), "{words}: {detail}");
    }
}

#[test]
fn a_given_batch_with_a_gradient_that_is_not_finite_fails() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("batch.json");
    // The generated batches have no zero vector.
    let batch = json!({ "embeddings": [[0.0, 0.0], [3.0, 4.0]], "labels": [0, 1], "expect": { "indices": [] } });
    std::fs::write(&file, batch.to_string()).unwrap();
    let (findings, code) = check("lossmith-test-mistakes", "unguarded", &["--batch", file.to_str().unwrap()]);
    assert_eq!(code, 4);
    let (_, verdict, detail) = findings.iter().find(|(what, ..)| what == "given batch").unwrap();
    assert!(verdict == "failed" && detail.contains("NaN, which is not finite; operation `div`"), "{detail}");
}

#[test]
fn the_gradient_of_both_batches_is_one_line() {
    let (findings, _) = check("lossmith-losses", "triplet", &[]);
    let gradients: Vec<_> = findings.iter().filter(|(what, ..)| what == "gradient").collect();
    assert_eq!(gradients.len(), 1, "{gradients:?}");
    assert!(gradients[0].2.contains("other choices of its parameters"), "{gradients:?}");
}

#[test]
fn what_is_expected_of_another_role_is_not_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("batch.json");
    let batch = json!({ "embeddings": [[1.0, 2.0], [3.0, 4.0]], "labels": [0, 1], "expect": { "indices": [[0]] } });
    std::fs::write(&file, batch.to_string()).unwrap();
    let (findings, _) = check("lossmith-test-mistakes", "right", &["--batch", file.to_str().unwrap()]);
    let told = |found: &&(String, String, String)| found.1 == "warning" && found.2.contains("`indices` is expected");
    assert!(findings.iter().any(|found| told(&found)), "{findings:?}");
}

#[test]
fn every_standard_strategy_passes() {
    let packages =
        ["losses", "proxies", "rankings", "regularizers", "miners", "transfers", "balances", "schedules", "fusions"];
    for package in packages {
        let output = plugin(&["check", guest(&format!("lossmith-{package}")).to_str().unwrap(), "--json"]);
        let report: Json = serde_json::from_slice(&output.stdout).unwrap();
        for strategy in report["strategies"].as_array().unwrap() {
            for found in strategy["findings"].as_array().unwrap() {
                let what = (strategy["name"].as_str().unwrap(), found["what"].as_str().unwrap());
                let known = match what {
                    // These need a list of numbers, one for each slice: below.
                    ("list" | "weighted", "an ordinary batch") => "warning",
                    // It takes the first two images of each class.
                    ("n-pairs", "order of the batch") => "warning",
                    // Angles of three images: its doc says so.
                    ("rkd-angle", "cost") => "warning",
                    (_, "order of the batch") if found["verdict"] == "skipped" => "skipped",
                    _ => "passed",
                };
                assert_eq!(found["verdict"], known, "{what:?}: {}", found["detail"]);
            }
        }
        assert!(output.status.success());
    }
    for (package, strategy, params) in [
        ("lossmith-schedules", "list", r#"{"thresholds": [0.3]}"#),
        ("lossmith-fusions", "weighted", r#"{"weights": [2.0]}"#),
    ] {
        let (findings, code) = check(package, strategy, &["--params", params]);
        assert!(code == 0 && findings.iter().all(|(_, verdict, _)| verdict == "passed"), "{findings:?}");
    }
}

#[test]
fn a_given_batch_is_compared_with_what_is_expected() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("batch.json");
    // The mean of 1, 4, 9, 16 is 7.5; the gradient is x / 2.
    let mut batch = json!({
        "embeddings": [[1.0, 2.0], [3.0, 4.0]], "labels": [0, 1],
        "expect": { "value": 7.5, "gradient": [[0.5, 1.0], [1.5, 2.0]] },
    });
    let given = |batch: &Json| {
        std::fs::write(&file, batch.to_string()).unwrap();
        let (findings, code) = check("lossmith-test-mistakes", "right", &["--batch", file.to_str().unwrap()]);
        let found = findings.into_iter().find(|(what, ..)| what == "given batch").unwrap();
        (found.1, found.2, code)
    };
    assert_eq!(given(&batch), ("passed".into(), "value and gradient as expected, to 1e-6".into(), 0));
    batch["expect"]["gradient"][1][0] = json!(1.25);
    let (verdict, detail, code) = given(&batch);
    assert_eq!((verdict.as_str(), code), ("failed", 4));
    assert!(detail.contains("position 2 is 1.5, 1.25 is expected"), "{detail}");
}

#[test]
fn a_given_batch_is_treated_as_a_generated_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("batch.json");
    let given = |package: &str, strategy: &str, batch: &Json| {
        std::fs::write(&file, batch.to_string()).unwrap();
        let (findings, code) = check(package, strategy, &["--batch", file.to_str().unwrap()]);
        (findings.into_iter().filter(|(what, ..)| what == "given batch").collect::<Vec<_>>(), code)
    };
    // Only this batch shows the mistake.
    let rare = json!({ "embeddings": [[200.0, 2.0], [3.0, 4.0]], "labels": [0, 1] });
    let (findings, code) = given("lossmith-test-mistakes", "rare", &rare);
    assert_eq!(code, 4);
    let wrong = findings.iter().filter(|(_, verdict, _)| verdict == "failed").collect::<Vec<_>>();
    assert!(wrong.len() == 1 && wrong[0].2.contains("gradient: 4 of 4 derivatives are wrong"), "{findings:?}");
    // Tuples follow their images into another order.
    let mined = json!({
        "embeddings": [[1.0, 0.1], [0.9, 0.4], [0.2, 1.0], [0.3, 0.8], [0.7, 0.6]],
        "labels": [0, 0, 1, 1, 0],
        "tuples": [[0, 1, 2], [1, 4, 3], [2, 3, 4]],
    });
    let (findings, code) = given("lossmith-losses", "triplet", &mined);
    assert_eq!(code, 0);
    for what in ["determinism", "order of the batch", "32 bits against 64", "gradient"] {
        let of_it = findings.iter().find(|(.., detail)| detail.starts_with(&format!("{what}: "))).unwrap();
        assert_eq!(of_it.1, "passed", "{findings:?}");
    }
}

#[test]
fn what_cannot_be_checked_is_told() {
    let guest = guest("lossmith-test-mistakes");
    let guest = guest.to_str().unwrap();
    for (arguments, code, words) in [
        (vec!["check", guest, "--strategy", "rigth"], 2, vec!["no strategy `rigth`", "wrong-sign"]),
        (vec!["check", guest, "--strategy", "right", "--params", "{\"a\": 1}"], 2, vec!["no parameter `a`"]),
        (vec!["check", guest, "--strategy", "right", "--batch", "none.json"], 1, vec!["none.json"]),
        (vec!["bench", guest], 2, vec!["--strategy", "wrong-sign"]),
        (
            vec!["bench", guest, "--strategy", "right", "--against", "native"],
            2,
            vec!["contrastive, triplet, multi-similarity"],
        ),
        (
            vec!["bench", guest, "--strategy", "right", "--against", "native", "circle"],
            2,
            vec!["no native loss `circle`"],
        ),
        (
            vec!["bench", guest, "--strategy", "right", "--batch", "32,4"],
            2,
            vec!["invalid value '4'", "--batch", "8.."],
        ),
    ] {
        let output = plugin(&arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        for word in words {
            assert!(text.contains(word), "{word} is not in {text}");
        }
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_bench_shows_what_it_has_when_a_size_fails() {
    let guest = guest("lossmith-test-mistakes");
    let arguments =
        ["bench", guest.to_str().unwrap(), "--strategy", "too-large", "--dimension", "8", "--batch", "16,48,32"];
    let output = plugin(&arguments);
    let (table, text) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(4), "{text}");
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["B", "D", "ms", "quartiles", "step", "by", "step", "MB"]);
    assert_eq!(lines[2], ["48", "8", "not", "measured"], "{table}");
    for row in [&lines[1], &lines[3]] {
        let (low, high) = row[3].split_once('-').unwrap();
        let [low, median, high] = [low, row[2], high].map(|number| number.parse::<f64>().unwrap());
        assert!(low > 0.0 && low <= median && median <= high, "{table}");
    }
    // Why, where in the author's source, and what can be done about it.
    for words in ["B = 48, D = 8: not measured", "tensor-elements", &line("// too large"), "--batch"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let output = plugin(&[&arguments[..], &["--json"]].concat());
    let rows: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(rows[1]["error"].as_str().unwrap().contains("tensor-elements") && rows[1].get("milliseconds").is_none());
    assert!(rows[2]["milliseconds"].as_f64().unwrap() > 0.0 && rows[2].get("error").is_none());
}

#[test]
fn a_bench_measures_both_sides_at_the_sizes_that_are_asked_for_and_draws() {
    let directory = tempfile::tempdir().unwrap();
    let picture = directory.path().join("bench.svg");
    let guest = guest("lossmith-losses");
    let arguments = ["bench", guest.to_str().unwrap(), "--strategy", "contrastive", "--json", "--against", "native"];
    let sizes = ["contrastive", "--batch", "48,30", "--dimension", "16,24", "--plot", picture.to_str().unwrap()];
    let output = plugin(&[&arguments[..], &sizes].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Json = serde_json::from_slice(&output.stdout).unwrap();
    let rows = rows.as_array().unwrap();
    let measured: Vec<_> = rows.iter().map(|row| (row["batch"].as_u64(), row["dimension"].as_u64())).collect();
    assert_eq!(measured, [(48, 16), (30, 16), (48, 24), (30, 24)].map(|(b, d)| (Some(b), Some(d))));
    for row in rows {
        assert!(row["milliseconds"].as_f64().unwrap() > 0.0 && row["against_milliseconds"].as_f64().unwrap() > 0.0);
        assert!(row["ratio"].as_f64().unwrap() > 0.0 && row["step_by_step_milliseconds"].as_f64().unwrap() > 0.0);
    }
    let svg = std::fs::read_to_string(picture).unwrap();
    for text in ["contrastive", "D = 16", "native contrastive, D = 24", "images in the batch"] {
        assert!(svg.contains(text), "{text} is missing");
    }
}

/// A crate that builds in a moment: no plugin, which is an error that a change repairs no more than any other.
fn crate_with(folder: &Path, source: &str) {
    std::fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = "[package]\nname = \"watched\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("src/lib.rs"), source).unwrap();
}

#[test]
fn a_watched_plugin_is_built_again_when_its_source_changes() {
    let directory = tempfile::tempdir().unwrap();
    crate_with(directory.path(), "pub fn broken( {}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
    command.args(["plugin", "build", "--watch"]).arg(directory.path());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut read_until = |word: &str| lines.any(|line| line.unwrap().contains(word));
    assert!(read_until("does not compile") && read_until("waiting for a change"));
    crate_with(directory.path(), "pub fn right() {}");
    assert!(read_until("exports no plugin") && read_until("waiting for a change"));
    child.kill().unwrap();
    child.wait().unwrap();
}
