//! `lossmith plugin eval`: results, and what it refuses.

use serde_json::{Value as Json, json};
use tch::{Kind, Tensor};

use super::{bad, eval, good, plugin};
use crate::fixture::numbers;
use crate::golden::{Case, GOLDEN, difference, losses, miners, sets};
use crate::support::guest;

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
