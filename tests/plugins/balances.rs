//! The balances of `plugins/balances` against slow formulas, and what they promise for every transfer.

mod gradient_share;

use std::collections::BTreeMap;

use lossmith_plugin::{Input, Metric, PairLosses, ParameterError, Params, PluginError, Role, Slot, Value};
use serde_json::{Value as Json, json};
use tch::{Kind, Tensor};

use crate::fixture::{batch, bits, epoch, numbers, plugin, slot};
use crate::slow::{self, Case, Matrix};
use crate::transfers::{
    self, assert_close, assert_finite, case_for, degenerate, input, json, names, of, refusal, transfer,
};

const PACKAGE: &str = "lossmith-balances";
const ROLES: &str = "lossmith-test-roles";

fn balance_slot(name: &str, params: Json, kind: Kind) -> Slot {
    slot(PACKAGE, Role::Balance, name, params, of(kind))
}

/// The loss of pair losses with a balance, in a slot of its own.
fn balanced(name: &str, params: Json, pairs: PairLosses, input: Input) -> Result<Tensor, PluginError> {
    let kind = input.embeddings.as_ref().unwrap().kind();
    Ok(balance_slot(name, params, kind).balance(pairs, input, &epoch(0))?.0)
}

/// The metrics that a slot reported.
fn metrics(slot: &mut Slot) -> BTreeMap<String, f64> {
    let number = |metric| match metric {
        Metric::Number(number) => number,
        Metric::Tensor(tensor) => tensor.double_value(&[]),
    };
    slot.take_report().metrics.into_iter().map(|(name, metric)| (name, number(metric))).collect()
}

/// A new leaf with the embeddings of an input.
fn leaf(input: &mut Input) -> Tensor {
    let leaf = input.embeddings.take().unwrap().detach().set_requires_grad(true);
    input.embeddings = Some(leaf.shallow_clone());
    leaf
}

/// Asserts that a balance of a transfer is a slow formula in value and gradient.
fn assert_balanced(
    transfer_of: usize,
    input_name: &str,
    balance: (&str, Json),
    formula: impl Fn(&slow::Pairs, &Case) -> f64,
) {
    let (name, params, pairs_of) = slow::TRANSFERS[transfer_of];
    let what = format!("{} {} of {name} {params} on {input_name}", balance.0, balance.1);
    let (case, params) = (case_for(name, input_name), json(params));
    let input = input(&case, Kind::Double);
    let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
    let pairs = transfer(name, params.clone(), input.shallow_clone()).unwrap();
    let loss = balanced(balance.0, balance.1, pairs, input).unwrap();
    let total = |student: &Matrix| {
        let moved = Case { student: student.clone(), ..case.clone() };
        // Its pairs have the gradient of their own part of the row's term, not of their share of its value.
        let pairs = if name == "relaxed-multi-similarity" {
            slow::relaxed_multi_similarity_near(&moved, &params, &case.student)
        } else {
            pairs_of(&moved, &params)
        };
        formula(&pairs, &moved)
    };
    assert_close(&numbers(&loss), &[total(&case.student)], 1e-9, &what);
    loss.backward();
    let gradient = slow::gradient(&case.student, total);
    assert_close(&numbers(&leaf.grad()), &gradient, 1e-6, &format!("the gradient of {what}"));
}

/// The transfers whose rows are divergences, among the slow ones.
fn divergences() -> impl Iterator<Item = usize> {
    (0..slow::TRANSFERS.len()).filter(|&index| ["pkt", "row-softmax"].contains(&slow::TRANSFERS[index].0))
}

/// The transfers with pull and push, among the slow ones.
fn relaxed() -> impl Iterator<Item = usize> {
    let names = ["relaxed-contrastive", "relaxed-multi-similarity", "contextual-contrastive"];
    (0..slow::TRANSFERS.len()).filter(move |&index| names.contains(&slow::TRANSFERS[index].0))
}

/// A split as parameters, and the sigma of the slow formula.
fn splits() -> [(Json, Option<f64>); 2] {
    [(json!({}), None), (json!({ "split": "teacher", "sigma": 0.7 }), Some(0.7))]
}

fn with(mut params: Json, name: &str, value: f64) -> Json {
    params[name] = json!(value);
    params
}

#[test]
fn balances_of_the_halves_are_the_slow_formulas() {
    for transfer in 0..slow::TRANSFERS.len() {
        for (split, sigma) in splits() {
            let params = with(split.clone(), "alpha", 16.3);
            assert_balanced(transfer, "lcg12x6", ("sum", params), |pairs, case| {
                slow::sum(pairs, &slow::intra(case, sigma), 16.3)
            });
            for lambda in [0.0, 0.3, 1.0] {
                let params = with(split.clone(), "lambda", lambda);
                assert_balanced(transfer, "lcg16x8_imbalanced", ("mean", params), |pairs, case| {
                    slow::mean(pairs, &slow::intra(case, sigma), lambda)
                });
            }
        }
        assert_balanced(transfer, "lcg12x6", ("none", json!({})), |pairs, _| pairs.total());
    }
}

#[test]
fn pull_push_weighs_the_terms_of_a_relaxed_loss() {
    for transfer in relaxed() {
        for [pull, push] in [[4.5, 0.3], [0.0, 1.0], [1.0, 0.0]] {
            assert_balanced(transfer, "lcg12x6", ("pull-push", json!({ "pull": pull, "push": push })), |pairs, _| {
                slow::pull_push(pairs, [pull, push])
            });
        }
    }
}

#[test]
fn row_wise_weighs_the_divergence_inside_the_intra_half() {
    for transfer in divergences() {
        // The logarithms of `pkt` have 1e-7 in them, which the chain rule does not know.
        if slow::TRANSFERS[transfer].0 == "pkt" {
            continue;
        }
        for (split, sigma) in splits() {
            for alpha in [0.0, 9.5] {
                let params = with(split.clone(), "alpha", alpha);
                assert_balanced(transfer, "lcg16x8_imbalanced", ("row-wise", params), |pairs, case| {
                    let inside = slow::chain(pairs, &slow::intra(case, sigma))[2];
                    pairs.total() + (alpha - 1.0) * inside / pairs.divisor
                });
            }
        }
    }
}

#[test]
fn the_chain_rule_of_row_wise_holds() {
    for transfer_of in divergences() {
        let (name, params, pairs_of) = slow::TRANSFERS[transfer_of];
        for (split, sigma) in splits() {
            let (case, params) = (transfers::case("lcg12x6"), json(params));
            let pairs = pairs_of(&case, &params);
            let [of_the_groups, itself, intra, inter] = slow::chain(&pairs, &slow::intra(&case, sigma));
            let input = input(&case, Kind::Double);
            let component = |alpha: f64| {
                let losses = transfer(name, params.clone(), input.shallow_clone()).unwrap();
                let params = with(split.clone(), "alpha", alpha);
                let loss = balanced("row-wise", params, losses, input.shallow_clone()).unwrap();
                loss.double_value(&[]) * pairs.divisor
            };
            // 1e-7 in each logarithm of `pkt`.
            let tolerance = if name == "pkt" { 1e-5 } else { 1e-12 };
            let close = |found: f64, expected: f64, what: &str| {
                assert!((found - expected).abs() <= tolerance, "{name}: {what} is {found}, not {expected}");
            };
            close(component(1.0), of_the_groups + itself + intra + inter, "the whole");
            close(component(0.0), of_the_groups + itself + inter, "all but the intra half");
            close(component(1.0) - component(0.0), intra, "the intra half");
            assert!(itself.abs() < 1e-15 && intra > 0.0 && inter > 0.0);
        }
    }
}

/// Bits of value and gradient.
fn outcome(loss: &Tensor, leaf: &Tensor) -> [Vec<u64>; 2] {
    loss.backward();
    [bits(loss), bits(&leaf.grad())]
}

/// What the loss of a transfer is without a balance and with one.
fn with_and_without(name: &str, balance: &str, params: &Json, input: &Input) -> [[Vec<u64>; 2]; 2] {
    let unbalanced = {
        let mut input = input.shallow_clone();
        let leaf = leaf(&mut input);
        outcome(&transfer(name, json!({}), input).unwrap().total().unwrap(), &leaf)
    };
    let mut input = input.shallow_clone();
    let leaf = leaf(&mut input);
    let pairs = transfer(name, json!({}), input.shallow_clone()).unwrap();
    let loss = balanced(balance, params.clone(), pairs, input).unwrap();
    [unbalanced, outcome(&loss, &leaf)]
}

#[test]
fn weights_of_1_are_the_unbalanced_loss() {
    let split = |split: &str, name: &str| with(json!({ "split": split }), name, 1.0);
    let (mut compared, relaxed) = (0, ["relaxed-contrastive", "relaxed-multi-similarity", "contextual-contrastive"]);
    for kind in [Kind::Float, Kind::Double] {
        for name in names(transfers::PACKAGE, Role::Transfer) {
            let mut neutral =
                vec![("none", json!({})), ("sum", split("label", "alpha")), ("sum", split("teacher", "alpha"))];
            if relaxed.contains(&name.as_str()) {
                neutral.push(("pull-push", json!({})));
            }
            if ["pkt", "row-softmax"].contains(&name.as_str()) {
                neutral.extend([("row-wise", split("label", "alpha")), ("row-wise", split("teacher", "alpha"))]);
            }
            for input_name in ["lcg12x6", "lcg16x8_imbalanced"] {
                let input = input(&case_for(&name, input_name), kind);
                for (balance, params) in &neutral {
                    let [unbalanced, balanced] = with_and_without(&name, balance, params, &input);
                    let within = if kind == Kind::Float { 1e-6 } else { 1e-14 };
                    let near = |a: &u64, b: &u64| {
                        let [a, b] = [*a, *b].map(f64::from_bits);
                        (a - b).abs() <= within * b.abs().max(1.0)
                    };
                    let same = balanced.iter().flatten().zip(unbalanced.iter().flatten()).all(|(a, b)| near(a, b));
                    assert!(same, "{balance} {params} of {name} on {input_name} in {kind:?}");
                    compared += 1;
                }
            }
        }
    }
    // Three for each of 9 transfers, one more for 3, two more for 2, on 2 inputs in 2 precisions.
    assert_eq!(compared, (3 * 9 + 3 + 2 * 2) * 2 * 2);
}

/// Parameters with which a balance does something.
fn at_work() -> [(&'static str, Json); 7] {
    [
        ("none", json!({})),
        ("sum", json!({ "alpha": 5 })),
        ("sum", json!({ "alpha": 5, "split": "teacher" })),
        ("mean", json!({})),
        ("gradient-share", json!({})),
        ("pull-push", json!({ "pull": 3 })),
        ("row-wise", json!({ "alpha": 5 })),
    ]
}

#[test]
fn every_balance_is_at_work_in_these_tests() {
    let mut tested: Vec<_> = at_work().into_iter().map(|(name, _)| name.to_owned()).collect();
    tested.dedup();
    assert_eq!(tested, names(PACKAGE, Role::Balance));
}

#[test]
fn batches_with_an_empty_half_and_degenerate_embeddings_give_finite_values_and_gradients() {
    let case = case_for("absolute-teacher", "lcg12x6");
    let labels = |labels: Vec<i64>| Case { labels, ..case.clone() };
    let mut cases = degenerate();
    cases.extend([("no pair of one class", labels((0..12).collect())), ("one class", labels(vec![3; 12]))]);
    for kind in [Kind::Double, Kind::Float] {
        for (of, case) in &cases {
            for name in names(transfers::PACKAGE, Role::Transfer) {
                for (balance, params) in at_work() {
                    let input = input(case, kind);
                    let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
                    let pairs = transfer(&name, json!({}), input.shallow_clone()).unwrap();
                    let what = format!("{balance} {params} of {name} with {of} in {kind:?}");
                    let mut slot = balance_slot(balance, params, kind);
                    match slot.balance(pairs, input, &epoch(0)) {
                        Ok((loss, _)) => assert_finite(&loss, &leaf, &what),
                        Err(error) => assert!(error.to_string().contains("does not have"), "{what}: {error}"),
                    }
                    let metrics = metrics(&mut slot);
                    assert!(metrics.values().all(|x| x.is_finite()), "{what}: {metrics:?}");
                }
            }
        }
    }
}

#[test]
fn an_empty_half_adds_nothing() {
    let case = |labels: Vec<i64>| Case { labels, ..transfers::case("lcg12x6") };
    let of = |case: &Case, params: Json| {
        let input = input(case, Kind::Double);
        let pairs = transfer("rkd-distance", json!({}), input.shallow_clone()).unwrap();
        let mean = numbers(&pairs.values).iter().sum::<f64>() / (12.0 * 11.0);
        (balanced("mean", params, pairs, input).unwrap().double_value(&[]), mean)
    };
    let (found, mean) = of(&case((0..12).collect()), json!({ "lambda": 0.25 }));
    assert!((found - 0.75 * mean).abs() < 1e-15, "{found}");
    let (found, mean) = of(&case(vec![0; 12]), json!({ "lambda": 0.25 }));
    assert!((found - 0.25 * mean).abs() < 1e-15, "{found}");
}

#[test]
fn a_balance_needs_no_transfer_that_it_knows_unless_it_says_so() {
    let teacher = batch(9, 5, Kind::Double).embeddings.unwrap().detach();
    let input = || Input { teacher: Some(teacher.shallow_clone()), ..batch(9, 4, Kind::Double) };
    for (balance, params) in at_work() {
        let input = input();
        let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
        let mut foreign = slot(ROLES, Role::Transfer, "cosine-difference", json!({}), of(Kind::Double));
        let pairs = foreign.transfer(input.shallow_clone(), &epoch(0)).unwrap();
        let found = balanced(balance, params, pairs, input);
        match balance {
            "pull-push" => {
                let text = refusal(found);
                assert!(text.contains("`pull` and `push`") && text.contains("`relaxed-contrastive`"), "{text}");
            }
            "row-wise" => {
                let text = refusal(found);
                assert!(text.contains("`teacher-rows`") && text.contains("`row-softmax`"), "{text}");
            }
            _ => assert_finite(&found.unwrap(), &leaf, balance),
        }
    }
}

#[test]
fn a_refusal_names_every_transfer_with_the_parts() {
    let input = input(&case_for("absolute-teacher", "lcg12x6"), Kind::Double);
    let pairs = |name: &str| transfer(name, json!({}), input.shallow_clone()).unwrap();
    for (balance, part) in [("pull-push", "pull"), ("row-wise", "student-rows")] {
        let text = refusal(balanced(balance, json!({}), pairs("rkd-distance"), input.shallow_clone()));
        for name in names(transfers::PACKAGE, Role::Transfer) {
            let named = text.contains(&format!("`{name}`"));
            assert_eq!(named, pairs(&name).parts.contains_key(part), "{name}: {text}");
        }
    }
}

#[test]
fn a_balance_of_another_author_weighs_any_transfer() {
    for (index, (name, params, pairs_of)) in slow::TRANSFERS.into_iter().enumerate() {
        let (case, params) = (case_for(name, "lcg12x6"), json(params));
        let input = input(&case, Kind::Double);
        let pairs = transfer(name, params.clone(), input.shallow_clone()).unwrap();
        let mut foreign = slot(ROLES, Role::Balance, "sum", json!({ "alpha": 4 }), of(Kind::Double));
        let found = foreign.balance(pairs, input, &epoch(0)).unwrap().0.double_value(&[]);
        let pairs = pairs_of(&case, &params);
        // That one leaves the diagonal out.
        let diagonal = (0..12).map(|i| pairs.values[i][i]).sum::<f64>() / pairs.divisor;
        let expected = slow::sum(&pairs, &slow::intra(&case, None), 4.0) - diagonal;
        assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1e-6), "{index} {name}: {found}, {expected}");
    }
}

#[test]
fn no_balance_changes_a_loss_without_pairs() {
    let case = case_for("absolute-teacher", "lcg12x6");
    for (balance, params) in at_work().into_iter().filter(|(name, _)| !["pull-push", "row-wise"].contains(name)) {
        let input = input(&case, Kind::Double);
        let pairs = transfer("absolute-teacher", json!({}), input.shallow_clone()).unwrap();
        let total = pairs.total().unwrap().double_value(&[]);
        let found = balanced(balance, params, pairs, input).unwrap().double_value(&[]);
        assert!((found - total).abs() <= 1e-12 * total, "{balance}: {found}, {total}");
    }
}

#[test]
fn the_teachers_split_needs_a_teacher_and_no_labels() {
    let input = Input { labels: None, ..input(&transfers::case("lcg12x6"), Kind::Double) };
    for name in ["sum", "mean", "gradient-share", "row-wise"] {
        let params = json!({ "split": "teacher" });
        let pairs = || transfer("row-softmax", json!({}), input.shallow_clone()).unwrap();
        assert!(balanced(name, params.clone(), pairs(), input.shallow_clone()).is_ok(), "{name}");
        let untaught = Input { teacher: None, ..input.shallow_clone() };
        let text = refusal(balanced(name, params, pairs(), untaught));
        assert!(text.contains("add a table `[teacher]`") && text.contains("\"label\""), "{name}: {text}");
    }
}

#[test]
fn parameters_outside_their_range_are_refused_before_a_run() {
    for (balance, parameter, value, range) in [
        ("sum", "alpha", -1.0, "at least 0"),
        ("mean", "lambda", 1.5, "at least 0 and at most 1"),
        ("gradient-share", "rho", 0.0, "above 0"),
        ("gradient-share", "rho", 1.0, "below 1"),
        ("gradient-share", "momentum", 1.0, "below 1"),
        ("gradient-share", "bound", 0.5, "at least 1"),
        ("pull-push", "push", -0.5, "at least 0"),
        ("row-wise", "alpha", -1.0, "at least 0"),
        ("sum", "sigma", 0.0, "above 0"),
    ] {
        let given = BTreeMap::from([(parameter.to_owned(), Value::Number(value))]);
        let error = Params::new(plugin(PACKAGE).strategy(Role::Balance, balance).unwrap(), &given).unwrap_err();
        assert!(matches!(error, ParameterError::Range { .. }), "{error}");
        let text = error.to_string();
        for word in [balance, parameter, range, &value.to_string()] {
            assert!(text.contains(word), "{word} is not in: {text}");
        }
    }
    let given = BTreeMap::from([("split".to_owned(), Value::Text("labels".into()))]);
    let error = Params::new(plugin(PACKAGE).strategy(Role::Balance, "sum").unwrap(), &given).unwrap_err();
    assert_eq!(error.help().unwrap(), "did you mean \"label\"?");
}

#[test]
fn the_weight_is_reported() {
    // 4 classes of 3: 24 intra pairs, 108 inter pairs.
    let case = transfers::case("lcg12x6");
    let reported = |balance: &str, params: Json| {
        let input = input(&case, Kind::Double);
        let pairs = transfer("relaxed-contrastive", json!({}), input.shallow_clone()).unwrap();
        let mut slot = balance_slot(balance, params, Kind::Double);
        drop(slot.balance(pairs, input, &epoch(0)).unwrap());
        metrics(&mut slot)
    };
    let weight = |weight: f64| BTreeMap::from([("weight".to_owned(), weight)]);
    assert_eq!(reported("none", json!({})), weight(1.0));
    assert_eq!(reported("sum", json!({ "alpha": 7.5 })), weight(7.5));
    assert!((reported("mean", json!({ "lambda": 0.2 }))["weight"] - 0.2 * 108.0 / (0.8 * 24.0)).abs() < 1e-12);
    let expected = BTreeMap::from([("pull".to_owned(), 3.0), ("push".to_owned(), 1.0)]);
    assert_eq!(reported("pull-push", json!({ "pull": 3 })), expected);
}
