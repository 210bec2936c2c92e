//! `lossmith plugin eval` and `plugin inspect`, by the real binary.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value as Json, json};
use tch::{Kind, Tensor};

use crate::fixture::numbers;
use crate::golden::{Case, GOLDEN, difference, losses, miners, sets};
use crate::support::guest;

/// Runs `lossmith plugin` with some arguments.
fn plugin(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lossmith")).arg("plugin").args(arguments).output().unwrap()
}

/// Evaluates a strategy of a guest on a case; the result comes by standard output.
fn eval(package: &str, role: &str, strategy: &str, params: &Json, case: &Json) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("case.json");
    std::fs::write(&input, case.to_string()).unwrap();
    let (guest, params) = (guest(package), params.to_string());
    let (guest, input) = (guest.to_str().unwrap(), input.to_str().unwrap());
    let arguments = [
        "eval",
        guest,
        "--role",
        role,
        "--strategy",
        strategy,
        "--params",
        &params,
        "--input",
        input,
        "--dtype",
        "f64",
    ];
    plugin(&arguments)
}

/// The result of an evaluation that ends well.
fn good(output: Output) -> Json {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Exit code and text of a failure; nothing is on standard output.
fn bad(output: Output) -> (i32, String) {
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn list(json: &Json) -> Vec<f64> {
    match json {
        Json::Array(items) => items.iter().flat_map(list).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn case(case: &Case) -> Json {
    json!({ "embeddings": case.embeddings, "labels": case.labels })
}

#[test]
fn eval_gives_value_gradient_and_parameter_gradients() {
    for name in ["contrastive", "proxy-anchor", "normalized-softmax"] {
        let golden = losses().find(|golden| golden.strategy() == name).unwrap();
        let mut input = case(&GOLDEN.inputs[&golden.input]);
        let parameters =
            golden.parameters.iter().map(|(name, it)| (name.clone(), json!({ "shape": it.shape, "data": it.data })));
        input["parameters"] = Json::Object(parameters.collect());
        let found = good(eval(golden.package().unwrap(), "loss", name, &golden.params, &input));
        let close = |found: &Json, expected: &[f64]| assert!(difference(&list(found), expected) <= 1e-9, "{name}");
        close(&found["value"], &[golden.value]);
        close(&found["gradient"], &golden.gradient.concat());
        assert_eq!(found["gradient"].as_array().unwrap().len(), golden.gradient.len(), "rows as the embeddings");
        for (parameter, gradient) in &golden.parameter_gradients {
            close(&found["parameter_gradients"][parameter], gradient);
        }
        assert!(found.get("indices").is_none());
    }
}

#[test]
fn eval_gives_the_indices_of_a_miner() {
    for name in ["batch-hard", "pair-margin"] {
        let golden = miners().iter().find(|golden| golden.strategy() == name).unwrap();
        let found = good(eval("lossmith-miners", "miner", name, &golden.params, &case(&GOLDEN.inputs[&golden.input])));
        let indices: Vec<Vec<i64>> = serde_json::from_value(found["indices"].clone()).unwrap();
        assert_eq!(sets(&indices), golden.sets());
        assert!(found.get("value").is_none());
    }
}

#[test]
fn eval_takes_tuples_and_writes_its_result_to_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (input, output) = (path("case.json"), path("out.json"));
    // Two unit vectors at a right angle: the one negative pair has distance sqrt(2).
    let case = json!({
        "embeddings": [[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]], "labels": [0, 1, 0], "tuples": [[], [], [0], [1]],
    });
    std::fs::write(&input, case.to_string()).unwrap();
    let guest = guest("lossmith-losses");
    let params = json!({ "negative-margin": 1.75 }).to_string();
    let arguments =
        ["eval", guest.to_str().unwrap(), "--role", "loss", "--strategy", "contrastive", "--params", &params];
    let result = plugin(&[&arguments[..], &["--input", &input, "--dtype", "f64", "--output", &output]].concat());
    assert!(result.status.success() && result.stdout.is_empty(), "{}", String::from_utf8_lossy(&result.stderr));
    let found: Json = serde_json::from_str(&std::fs::read_to_string(&output).unwrap()).unwrap();
    assert!((found["value"].as_f64().unwrap() - (1.75 - 2_f64.sqrt())).abs() < 1e-12, "{found}");
}

/// A student and a teacher of six images in three classes.
fn transfer_case() -> (Json, Tensor, Tensor) {
    let row = |i: i32, scale: f64| (1..4).map(|j| (scale * f64::from(i * 5 + j * 3)).sin()).collect::<Vec<f64>>();
    let rows = |scale: f64| (0..6).map(|i| row(i, scale)).collect::<Vec<_>>();
    let matrix = |rows: &[Vec<f64>]| Tensor::from_slice(&rows.concat()).reshape([6, 3]);
    let (student, teacher) = (rows(0.7), rows(1.3));
    let case = json!({ "embeddings": student, "teacher": teacher, "labels": [0, 1, 0, 2, 1, 0] });
    (case, matrix(&student), matrix(&teacher))
}

#[test]
fn a_transfer_is_evaluated_with_and_without_a_balance() {
    let (case, student, teacher) = transfer_case();
    let cosines = |x: &Tensor| {
        let unit = x / x.square().sum_dim_intlist(1, true, Kind::Double).sqrt();
        unit.matmul(&unit.tr())
    };
    // The diagonal is the rounding error of 1 - 1, and out of the masks anyway.
    let masked = |same: bool| {
        let labels = Tensor::from_slice(&[0_i64, 1, 0, 2, 1, 0]);
        let mask = labels.unsqueeze(0).eq_tensor(&labels.unsqueeze(1));
        if same { mask.logical_xor(&Tensor::eye(6, (Kind::Bool, tch::Device::Cpu))) } else { mask.logical_not() }
    };
    let expected = |alpha: f64| {
        let leaf = student.shallow_clone().detach().copy().set_requires_grad(true);
        let values = (cosines(&leaf) - cosines(&teacher)).abs();
        let part = |same| (&values * masked(same)).sum(Kind::Double);
        let loss = (part(true) * alpha + part(false)) / 36.0;
        loss.backward();
        (loss.double_value(&[]), numbers(&leaf.grad()))
    };
    let evaluate = |balance: Option<f64>| {
        let mut case = case.clone();
        if let Some(alpha) = balance {
            case["balance"] =
                json!({ "plugin": guest("lossmith-test-roles"), "strategy": "sum", "params": { "alpha": alpha } });
        }
        let found = good(eval("lossmith-test-roles", "transfer", "cosine-difference", &json!({}), &case));
        (found["value"].as_f64().unwrap(), list(&found["gradient"]))
    };
    for (balance, alpha) in [(None, 1.0), (Some(1.0), 1.0), (Some(3.5), 3.5), (Some(0.0), 0.0)] {
        let ((value, gradient), (expected, expected_gradient)) = (evaluate(balance), expected(alpha));
        assert!((value - expected).abs() <= 1e-12, "{balance:?}: {value} and {expected}");
        assert!(difference(&gradient, &expected_gradient) <= 1e-9, "{balance:?}");
    }
}

#[test]
fn a_balance_alone_and_a_transfer_without_teacher_are_explained() {
    let (mut case, ..) = transfer_case();
    let (code, text) = bad(eval("lossmith-test-roles", "balance", "sum", &json!({}), &case));
    assert_eq!(code, 2);
    assert!(text.contains("transfer") && text.contains("`balance`"), "{text}");
    case.as_object_mut().unwrap().remove("teacher");
    let (code, text) = bad(eval("lossmith-test-roles", "transfer", "cosine-difference", &json!({}), &case));
    assert_eq!(code, 4);
    assert!(text.contains("this transfer needs a teacher"), "{text}");
}

#[test]
fn a_schedule_gives_a_threshold_for_each_slice() {
    let case = json!({ "embeddings": [[1.0, 2.0, 3.0]], "labels": [0], "thresholds": [0.0, 0.0, 0.0] });
    let params = json!({ "minimum": 0.5, "maximum": 1.5 });
    assert_eq!(
        list(&good(eval("lossmith-test-roles", "schedule", "uniform", &params, &case))["thresholds"]),
        [0.5, 1.0, 1.5]
    );
}

#[test]
fn a_fusion_gives_an_embedding_for_each_image() {
    let case = json!({
        "embeddings": [[3.0, 4.0, 0.0, 2.0], [-1.0, 0.0, 6.0, 8.0]], "labels": [0, 1], "thresholds": [1.0, 1.0],
    });
    let found = good(eval("lossmith-test-roles", "fusion", "concatenation", &json!({}), &case));
    assert!(difference(&list(&found["embedding"]), &[0.6, 0.8, 0.0, 1.0, -1.0, 0.0, 0.6, 0.8]) < 1e-15, "{found}");
}

#[test]
fn metrics_are_in_the_result() {
    let case = json!({ "embeddings": [[3.0, 0.0], [3.0, 8.0]], "labels": [0, 1] });
    let found = good(eval("lossmith-test-roles", "loss", "running-mean", &json!({}), &case));
    // The mean of the two rows is (3, 4).
    assert_eq!(found["metrics"], json!({ "mean-norm": 5.0, "step": 0.0 }));
}

#[test]
fn what_is_not_finite_is_refused_with_its_operation_and_never_null() {
    let case = json!({ "embeddings": [[3.0, 0.0], [3.0, 8.0]], "labels": [0, 1] });
    let mistake = |strategy: &str| eval("lossmith-test-mistakes", "loss", strategy, &json!({}), &case);
    for (strategy, words) in [
        ("root-of-zero", ["4 of 4 derivatives", "the embeddings are not finite, the first, NaN, at [0, 0]", "`sqrt`"]),
        ("dead-parameter", ["2 of 2 derivatives", "`scale`", "`sqrt`"]),
        ("log-of-zero", ["returned -inf", "operation `log` (float [2, 2])", "lib.rs:"]),
    ] {
        let (code, text) = bad(mistake(strategy));
        let text = text.replace("│", " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(code, 4, "{text}");
        assert!(words.iter().all(|words| text.contains(words)), "{strategy}: {text}");
    }
    assert_eq!(good(mistake("odd-metric"))["metrics"], json!({ "odd": "NaN" }));
}

#[test]
fn labels_that_are_no_classes_are_refused() {
    let embeddings = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]];
    let case = |labels: [i64; 4]| json!({ "embeddings": embeddings, "labels": labels });
    let run = |case: &Json| eval("lossmith-losses", "loss", "contrastive", &json!({}), case);
    let low = good(run(&case([0, 0, 1, 1])));
    // The largest two that floats of 32 bits tell apart; in 32 bits, as a training.
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("case.json");
    std::fs::write(&input, case([16_777_214, 16_777_214, 16_777_215, 16_777_215]).to_string()).unwrap();
    let guest = guest("lossmith-losses");
    let high = good(plugin(&[
        "eval",
        guest.to_str().unwrap(),
        "--strategy",
        "contrastive",
        "--input",
        input.to_str().unwrap(),
    ]));
    assert!(difference(&list(&high["value"]), &list(&low["value"])) < 1e-6, "{high} {low}");
    for labels in [[16_777_216, 16_777_216, 16_777_217, 16_777_217], [-1, -1, 0, 0], [0, 0, 1, i64::MAX]] {
        let (code, text) = bad(run(&case(labels)));
        assert!(code == 2 && text.contains("labels are classes, from 0 to 16777215"), "{labels:?}: {text}");
    }
    let with = |name: &str, value: Json| {
        let mut case = case([0, 0, 1, 1]);
        case[name] = value;
        case
    };
    for (case, words) in [
        (with("class-count", json!(1)), "`class-count` is 1"),
        (with("class-count", json!(i64::MAX)), "`class-count` is 9223372036854775807"),
        (with("tuples", json!([[0], [1], [4]])), "4 is no position in the batch, from 0 to 3"),
        (with("tuples", json!([[0], [1], [2, 3]])), "lists of one length"),
        (json!({ "embeddings": [], "labels": [] }), "at least one image"),
        (json!({ "embeddings": [[], []], "labels": [0, 1] }), "at least one number"),
    ] {
        let (code, text) = bad(run(&case));
        let text = text.replace("│", " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(code == 2 && text.contains(words), "{case}: {text}");
    }
}

#[test]
fn a_name_that_is_given_twice_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("case.json");
    let guest = guest("lossmith-losses");
    let run = |case: &str, params: &str| {
        std::fs::write(&input, case).unwrap();
        let fixed = ["eval", guest.to_str().unwrap(), "--strategy", "contrastive", "--input", input.to_str().unwrap()];
        bad(plugin(&[&fixed[..], &["--params", params]].concat()))
    };
    let good = r#"{ "embeddings": [[1, 0]], "labels": [0] }"#;
    for (case, params, words) in [
        (good, r#"{ "positive-margin": 0.1, "positive-margin": 0.2 }"#, "`positive-margin` is given twice"),
        (r#"{ "embeddings": [[1, 0]], "labels": [0], "labels": [1] }"#, "{}", "duplicate field `labels`"),
        (
            r#"{ "embeddings": [[1, 0]], "labels": [0],
                "parameters": { "a": { "shape": [], "data": [1] }, "a": { "shape": [], "data": [2] } } }"#,
            "{}",
            "`a` is given twice",
        ),
    ] {
        let (code, text) = run(case, params);
        assert!(code == 2 && text.contains(words), "{text}");
    }
}

#[test]
fn role_and_strategy_are_found_where_there_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("case.json");
    let case = json!({ "embeddings": [[1.0, 0.0], [0.0, 1.0]], "labels": [0, 0] });
    std::fs::write(&input, case.to_string()).unwrap();
    let run = |package: &str, more: &[&str]| {
        let guest = guest(package);
        plugin(&[&["eval", guest.to_str().unwrap(), "--input", input.to_str().unwrap()], more].concat())
    };
    // The name says the role; `triplet` is a miner there.
    assert!(good(run("lossmith-miners", &["--strategy", "triplet"])).get("indices").is_some());
    // Of one role there is one strategy only.
    assert!(good(run("lossmith-test-roles", &["--role", "fusion"])).get("embedding").is_some());
    for (package, more, words) in [
        (
            "lossmith-losses",
            vec![],
            "name one of the plugin's strategies with --strategy: loss `contrastive`, loss `triplet`",
        ),
        ("lossmith-losses", vec!["--strategy", "triplt"], "did you mean `triplet`?"),
        ("lossmith-losses", vec!["--role", "miner"], "has no miner"),
        ("lossmith-transfers", vec!["--role", "loss"], "loss `rkd-angle`"),
    ] {
        let (code, text) = bad(run(package, &more));
        let text = text.replace("│", " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(code == 2 && text.contains(words), "{more:?}: {text}");
    }
}

#[test]
fn inspect_tells_each_strategy_with_its_parameters() {
    let guest = guest("lossmith-test-operations");
    let found = good(plugin(&["inspect", guest.to_str().unwrap(), "--json"]));
    assert_eq!(found["contract"], "0.1.4");
    assert_eq!(found["name"], "test-operations");
    assert_eq!(found["hash"].as_str().unwrap().len(), 64);
    let told = found["strategies"].as_array().unwrap().iter().find(|it| it["name"] == "told").unwrap();
    let expected = json!({
        "role": "loss",
        "name": "told",
        "summary": "Reports all that it is told.",
        "params": [
            {
                "name": "number", "summary": "A number.",
                "type": "number", "default": 0.5, "minimum": 0.0, "maximum": 2.0,
            },
            {
                "name": "integer", "summary": "An integer.",
                "type": "integer", "default": 3, "minimum": 1, "maximum": 9,
            },
            { "name": "switch", "summary": "A switch.", "type": "boolean", "default": false },
            { "name": "text", "summary": "A text.", "type": "text", "default": "text" },
            { "name": "numbers", "summary": "A list.", "type": "numbers", "default": [0.25, 0.75] },
            { "name": "distance", "summary": "A choice.", "type": "text", "default": "cosine",
              "choices": ["euclidean", "squared-euclidean", "lp", "cosine", "dot", "snr"] },
        ],
    });
    assert_eq!(*told, expected);
}

#[test]
fn inspect_prints_a_table_for_people() {
    let guest = guest("lossmith-losses");
    let output = plugin(&["inspect", guest.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    for word in ["contrastive", "triplet", "margin", "lossmith:plugin@0.1.4", "0.07", "above 0"] {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
}

#[test]
fn faults_go_to_standard_error_with_their_exit_code() {
    let case = json!({ "embeddings": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], "labels": [0, 1, 0] });
    let losses = "lossmith-losses";

    let (code, text) = bad(eval(losses, "loss", "triplett", &json!({}), &case));
    assert!(code == 4 && text.contains("`triplett`") && text.contains("did you mean `triplet`?"), "{code}: {text}");

    let (code, text) = bad(eval(losses, "loss", "triplet", &json!({ "margn": 0.1 }), &case));
    assert!(code == 2 && text.contains("`margn`") && text.contains("did you mean `margin`?"), "{code}: {text}");

    let (code, text) = bad(eval(losses, "loss", "nt-xent", &json!({ "temperature": 0 }), &case));
    assert!(code == 2 && text.contains("`temperature`") && text.contains("above 0"), "{code}: {text}");

    let (code, text) =
        bad(eval(losses, "loss", "triplet", &json!({}), &json!({ "embeddings": [[1.0]], "labels": [0, 1] })));
    assert!(code == 2 && text.contains("`embeddings`") && text.contains("2 labels"), "{code}: {text}");

    let missing = Path::new("no-such-plugin.wasm");
    let (code, text) = bad(plugin(&["inspect", missing.to_str().unwrap()]));
    assert!(code == 4 && text.contains("no-such-plugin.wasm"), "{code}: {text}");
}

#[test]
fn a_component_that_is_not_there_is_told_with_what_is() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("mine/target/plugins")).unwrap();
    std::fs::write(folder.path().join("mine/plugin.toml"), "").unwrap();
    std::fs::copy(guest("lossmith-test-roles"), folder.path().join("roles.wasm")).unwrap();
    let said = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
        command.current_dir(folder.path()).env("LOSSMITH_PLUGINS", folder.path().join("standard")).arg("plugin");
        let (code, text) = bad(command.args(arguments).output().unwrap());
        assert_eq!(code, 4, "{text}");
        text.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (component, words) in [
        ("mine/target/plugins/mine.wasm", "build it first: `lossmith plugin build mine`"),
        ("mine", "`lossmith plugin build mine` makes a component of it"),
        ("mine.wasm", "build it first: `lossmith plugin build mine`"),
        ("rolse.wasm", "did you mean ./roles.wasm?"),
        ("something-else.wasm", "there are roles in ."),
        (".", "there are roles in ."),
    ] {
        for command in ["check", "inspect", "bench"] {
            let text = said(&[command, component]);
            assert!(text.contains(words), "{command} {component}: {text}");
        }
    }
    std::fs::copy(guest("lossmith-test-roles"), folder.path().join("mine/target/plugins/mine.wasm")).unwrap();
    assert!(said(&["check", "mine"]).contains("its component is mine/target/plugins/mine.wasm"));
    std::fs::write(folder.path().join("case.json"), "{}").unwrap();
    let eval = said(&["eval", "rolse.wasm", "--role", "loss", "--strategy", "x", "--input", "case.json"]);
    assert!(eval.contains("did you mean ./roles.wasm?"), "{eval}");
}

#[test]
fn a_failed_operation_is_told_in_one_message() {
    let case = json!({ "embeddings": [[1.0, 2.0], [3.0, 4.0]], "labels": [0, 1] });
    // Its error passes through a destructor of the library that calls libtorch.
    let (code, text) =
        bad(eval("lossmith-test-operations", "loss", "misuse", &json!({ "case": "masked-fill" }), &case));
    assert_eq!(code, 4);
    for word in ["masked-fill", "[2, 2]", "not boolean", "misuse.rs"] {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn a_compiled_component_is_kept_and_does_without_a_place_to_be_kept_in() {
    let home = tempfile::tempdir().unwrap();
    let run = |cache: &Path, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
        // The configuration of whoever runs the tests may name another folder.
        command.env("XDG_CONFIG_HOME", home.path()).env("XDG_CACHE_HOME", cache);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let guest = guest("lossmith-regularizers");
    let inspect = ["plugin", "inspect", guest.to_str().unwrap()];
    let cache = home.path().join("cache");
    let first = run(&cache, &inspect);
    assert!(std::fs::read_dir(cache.join("wasmtime/modules")).unwrap().next().is_some());
    assert_eq!(run(&cache, &inspect), first);
    assert!(run(&cache, &["doctor", "--json"]).contains("kept in "));
    // A file is where the folder should be.
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(run(&file, &inspect), first);
    assert!(run(&file, &["doctor", "--json"]).contains("each start compiles anew"));
}
