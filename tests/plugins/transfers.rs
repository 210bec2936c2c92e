//! The transfers and the losses of `plugins/transfers` against slow formulas, and where there is little or nothing to
//! learn from.

use lossmith_plugin::{Cause, Input, PairLosses, PluginError, Role, Setting, Slot};
use serde_json::{Value as Json, json};
use tch::{Device, Kind, Tensor};

use crate::fixture::{epoch, numbers, plugin, setting, slot};
use crate::golden::{GOLDEN, difference};
use crate::slow::{self, Case, Matrix};

pub(crate) const PACKAGE: &str = "lossmith-transfers";

/// An input of the reference.
pub(crate) fn case(name: &str) -> Case {
    let input = &GOLDEN.inputs[name];
    Case { student: input.embeddings.clone(), teacher: input.teacher.clone(), labels: input.labels.clone() }
}

/// The teacher with as many numbers as the student has.
fn of_one_dimension(mut case: Case) -> Case {
    let dimension = case.student[0].len();
    case.teacher.iter_mut().for_each(|row| row.truncate(dimension));
    case
}

/// A case that fits any transfer of this name.
pub(crate) fn case_for(transfer: &str, name: &str) -> Case {
    if transfer == "absolute-teacher" { of_one_dimension(case(name)) } else { case(name) }
}

pub(crate) fn tensor(rows: &Matrix, kind: Kind) -> Tensor {
    Tensor::from_slice(&rows.concat()).reshape([rows.len() as i64, -1]).to_kind(kind)
}

pub(crate) fn input(case: &Case, kind: Kind) -> Input {
    Input {
        embeddings: Some(tensor(&case.student, kind).set_requires_grad(true)),
        teacher: Some(tensor(&case.teacher, kind)),
        labels: Some(Tensor::from_slice(&case.labels)),
        class_count: case.labels.iter().max().unwrap() + 1,
        slice_count: 1,
        ..Input::default()
    }
}

pub(crate) fn of(kind: Kind) -> Setting {
    Setting { float: kind, device: Device::Cpu, ..setting() }
}

pub(crate) fn json(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

/// The names of all strategies of a role.
pub(crate) fn names(package: &str, role: Role) -> Vec<String> {
    let strategies = &plugin(package).strategies;
    strategies.iter().filter(|strategy| strategy.role == role).map(|strategy| strategy.name.clone()).collect()
}

/// The pair losses of a transfer.
pub(crate) fn transfer(name: &str, params: Json, input: Input) -> Result<PairLosses, PluginError> {
    let kind = input.embeddings.as_ref().unwrap().kind();
    slot(PACKAGE, Role::Transfer, name, params, of(kind)).transfer(input, &epoch(0))
}

fn loss_slot(name: &str, params: Json, kind: Kind) -> Slot {
    slot(PACKAGE, Role::Loss, name, params, of(kind))
}

/// Asserts that both agree to `tolerance`, relative to the largest.
pub(crate) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    let worst = difference(found, expected);
    assert!(worst <= tolerance, "{what} differs by {worst:e}");
}

/// The text with which a strategy refused.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, PluginError>) -> String {
    match *result.unwrap_err().cause {
        Cause::Refused(text) => text,
        other => panic!("not refused: {other}"),
    }
}

#[test]
fn transfers_are_the_slow_formulas() {
    for name in ["lcg12x6", "lcg16x8_imbalanced"] {
        for (transfer_name, params, formula) in slow::TRANSFERS {
            let what = format!("{transfer_name} {params} on {name}");
            let (case, params) = (case_for(transfer_name, name), json(params));
            let input = input(&case, Kind::Double);
            let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
            let found = transfer(transfer_name, params.clone(), input).unwrap();
            let expected = formula(&case, &params);
            assert!((found.divisor - expected.divisor).abs() <= 1e-12 * expected.divisor, "{what}");
            assert_close(&numbers(&found.values), &expected.values.concat(), 1e-9, &what);
            let parts: Vec<_> = found.parts.keys().map(String::as_str).collect();
            let of_a_divergence = ["pkt", "row-softmax"].contains(&transfer_name);
            match &expected.parts {
                None => assert!(parts.is_empty(), "{what} has {parts:?}"),
                Some([first, second]) => {
                    let names = if of_a_divergence { ["teacher-rows", "student-rows"] } else { ["pull", "push"] };
                    assert_eq!(parts.len(), 2, "{what}");
                    assert_close(&numbers(&found.parts[names[0]]), &first.concat(), 1e-9, &what);
                    assert_close(&numbers(&found.parts[names[1]]), &second.concat(), 1e-9, &what);
                }
            }
            found.total().unwrap().backward();
            let total = |student: &Matrix| formula(&Case { student: student.clone(), ..case.clone() }, &params).total();
            let gradient = slow::gradient(&case.student, total);
            assert_close(&numbers(&embeddings.grad()), &gradient, 1e-6, &format!("the gradient of {what}"));
        }
    }
}

#[test]
fn every_transfer_has_a_slow_formula() {
    let mut tested: Vec<_> = slow::TRANSFERS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    tested.dedup();
    assert_eq!(tested, names(PACKAGE, Role::Transfer));
}

#[test]
fn defaults_are_those_of_the_sources() {
    let case = case("lcg12x6");
    for (name, params, formula) in [slow::TRANSFERS[0], slow::TRANSFERS[2], slow::TRANSFERS[4], slow::TRANSFERS[12]] {
        let found = transfer(name, json!({}), input(&case, Kind::Double)).unwrap();
        assert_close(&numbers(&found.values), &formula(&case, &json(params)).values.concat(), 1e-9, name);
    }
}

/// Asserts that a loss and its gradient with respect to `leaf`, whose numbers are `rows`, are those of a slow formula.
fn assert_loss(
    slot: &mut Slot,
    input: Input,
    leaf: &Tensor,
    rows: &Matrix,
    what: &str,
    formula: impl Fn(&Matrix) -> f64,
) {
    let loss = slot.loss(input, &epoch(0)).unwrap();
    assert_close(&numbers(&loss), &[formula(rows)], 1e-9, what);
    loss.backward();
    assert_close(&numbers(&leaf.grad()), &slow::gradient(rows, formula), 1e-6, &format!("the gradient of {what}"));
}

#[test]
fn angles_weigh_triples_by_their_classes() {
    let case = case("lcg12x6");
    for [all_same, two_same, all_different] in [[1.0, 1.0, 1.0], [3.0, 0.5, 0.25], [0.0, 0.0, 2.0]] {
        let params = json!({ "all-same": all_same, "two-same": two_same, "all-different": all_different });
        let input = input(&case, Kind::Double);
        let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
        let formula = |student: &Matrix| slow::rkd_angle(&Case { student: student.clone(), ..case.clone() }, &params);
        let mut slot = loss_slot("rkd-angle", params.clone(), Kind::Double);
        assert_loss(&mut slot, input, &leaf, &case.student, &format!("rkd-angle {params}"), formula);
    }
}

#[test]
fn dark_rank_is_the_likelihood_of_the_teachers_order() {
    let case = case("lcg12x6");
    for params in [
        json!({ "alpha": 3.0, "beta": 3.0, "length": 4.0 }),
        json!({ "alpha": 0.7, "beta": 1.5, "length": 11.0 }),
        json!({ "alpha": 2.0, "beta": 2.0, "length": 2.0 }),
    ] {
        let input = input(&case, Kind::Double);
        let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
        let formula = |student: &Matrix| slow::dark_rank(&Case { student: student.clone(), ..case.clone() }, &params);
        let mut given = params.clone();
        given["length"] = json!(params["length"].as_f64().unwrap() as i64);
        let mut slot = loss_slot("dark-rank", given, Kind::Double);
        assert_loss(&mut slot, input, &leaf, &case.student, &format!("dark-rank {params}"), formula);
    }
}

#[test]
fn fit_net_learns_a_map() {
    let case = case("lcg12x6");
    let mut slot = loss_slot("fit-net", json!({ "learning-rate-multiplier": 7.0 }), Kind::Double);
    drop(slot.loss(input(&case, Kind::Double), &epoch(0)).unwrap());
    let map = &slot.state().parameters["W"];
    assert_eq!((map.tensor.size(), map.learning_rate_multiplier), (vec![9, 6], 7.0));
    let map = map.tensor.shallow_clone();
    let weights = numbers(&map);
    // Uniform numbers fill their range: of 54 the chance that none is in an outer tenth is 0.3 %, and the seed is
    // fixed.
    assert!(weights.iter().all(|w| w.abs() <= 0.005) && weights.iter().any(|w| w.abs() > 0.004), "{weights:?}");
    let rows: Matrix = weights.chunks(6).map(<[f64]>::to_vec).collect();

    let input = input(&case, Kind::Double);
    let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
    let formula = |student: &Matrix| slow::fit_net(&Case { student: student.clone(), ..case.clone() }, &rows);
    assert_loss(&mut slot, input, &leaf, &case.student, "fit-net", formula);
    let gradient = slow::gradient(&rows, |rows| slow::fit_net(&case, rows));
    assert_close(&numbers(&map.grad()), &gradient, 1e-6, "the gradient of the map");
}

/// Feature maps of the images of a case: channels, height and width.
fn maps(case: &Case, [channels, height, width]: [i64; 3], phase: f64) -> Tensor {
    let size = case.student.len() as i64;
    let count = size * channels * height * width;
    let values: Vec<f64> = (0..count).map(|i| (phase + 1.7 * i as f64).sin()).collect();
    Tensor::from_slice(&values).reshape([size, channels, height, width])
}

fn with_maps(case: &Case, student: Option<Tensor>, teacher: Option<Tensor>) -> Input {
    Input { feature_map: student, teacher_feature_map: teacher, ..input(case, Kind::Double) }
}

#[test]
fn attention_compares_feature_maps() {
    let case = case("lcg12x6");
    let student = maps(&case, [3, 2, 4], 0.3).set_requires_grad(true);
    let teacher = maps(&case, [5, 2, 4], 1.1);
    let rows = |map: &Tensor| -> Matrix {
        let flat = numbers(map);
        flat.chunks(flat.len() / case.student.len()).map(<[f64]>::to_vec).collect()
    };
    let input = with_maps(&case, Some(student.shallow_clone()), Some(teacher.shallow_clone()));
    let target = rows(&teacher);
    let formula = |student: &Matrix| slow::attention(student, &target, 8);
    let mut slot = loss_slot("attention", json!({}), Kind::Double);
    assert_loss(&mut slot, input, &student, &rows(&student), "attention", formula);
}

#[test]
fn attention_says_which_feature_map_is_missing() {
    let case = case("lcg12x6");
    let refused = |student: Option<[i64; 3]>, teacher: Option<[i64; 3]>| {
        let student = student.map(|shape| maps(&case, shape, 0.0).set_requires_grad(true));
        let input = with_maps(&case, student, teacher.map(|shape| maps(&case, shape, 0.0)));
        refusal(loss_slot("attention", json!({}), Kind::Double).loss(input, &epoch(0)))
    };
    let text = refused(None, Some([5, 2, 4]));
    assert!(text.contains("student's feature map") && text.contains("TorchScript"), "{text}");
    let text = refused(Some([3, 2, 4]), None);
    assert!(text.contains("`cache = false` under `[teacher]`"), "{text}");
    let text = refused(Some([3, 2, 4]), Some([5, 4, 2]));
    assert!(text.contains("2 x 4") && text.contains("4 x 2"), "{text}");
}

#[test]
fn without_a_teacher_each_says_what_to_add() {
    let alone = || Input { teacher: None, ..input(&case("lcg12x6"), Kind::Double) };
    let transfers = names(PACKAGE, Role::Transfer);
    let texts = transfers.iter().map(|name| refusal(transfer(name, json!({}), alone())));
    let losses = names(PACKAGE, Role::Loss);
    let losses = losses.iter().map(|name| refusal(loss_slot(name, json!({}), Kind::Double).loss(alone(), &epoch(0))));
    let texts: Vec<_> = texts.chain(losses).collect();
    assert_eq!(texts.len(), 9 + 4);
    assert!(texts.iter().all(|text| text.contains("add a table `[teacher]`")), "{texts:?}");
}

#[test]
fn what_does_not_fit_the_batch_is_named() {
    let case = case("lcg12x6");
    let text = refusal(transfer("absolute-teacher", json!({}), input(&case, Kind::Double)));
    assert!(text.contains("6 numbers") && text.contains("9") && text.contains("relative-teacher"), "{text}");
    let text = refusal(transfer("contextual-contrastive", json!({ "neighbours": 13 }), input(&case, Kind::Double)));
    assert!(text.contains("`neighbours` is 13") && text.contains("12 images"), "{text}");
    let mut slot = loss_slot("dark-rank", json!({ "length": 12 }), Kind::Double);
    let text = refusal(slot.loss(input(&case, Kind::Double), &epoch(0)));
    assert!(text.contains("`length` is 12") && text.contains("11 others"), "{text}");
}

/// Batches in which something is 0: distances, row means, norms.
pub(crate) fn degenerate() -> Vec<(&'static str, Case)> {
    let case = of_one_dimension(case("lcg12x6"));
    let size = case.student.len();
    let with = |student: Matrix, teacher: Matrix| Case { student, teacher, ..case.clone() };
    let equal = |rows: &Matrix| vec![rows[0].clone(); size];
    let mut two_equal = case.student.clone();
    two_equal[5] = two_equal[2].clone();
    let mut one_zero = case.student.clone();
    one_zero[4].fill(0.0);
    vec![
        ("equal students", with(equal(&case.student), case.teacher.clone())),
        ("equal teachers", with(case.student.clone(), equal(&case.teacher))),
        ("all equal", with(equal(&case.student), equal(&case.teacher))),
        ("two equal students", with(two_equal, case.teacher.clone())),
        ("a student of 0", with(one_zero, case.teacher.clone())),
        ("students of 0", with(vec![vec![0.0; 6]; size], case.teacher.clone())),
        ("the student is the teacher", with(case.teacher.clone(), case.teacher.clone())),
    ]
}

pub(crate) fn assert_finite(loss: &Tensor, leaf: &Tensor, what: &str) {
    loss.backward();
    for (of, tensor) in [("value", loss), ("gradient", &leaf.grad())] {
        assert!(numbers(tensor).iter().all(|x| x.is_finite()), "{what}: the {of} is not finite");
    }
}

#[test]
fn degenerate_embeddings_give_finite_values_and_gradients() {
    for kind in [Kind::Double, Kind::Float] {
        for (of, case) in degenerate() {
            for name in names(PACKAGE, Role::Transfer) {
                let input = input(&case, kind);
                let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
                let pairs = transfer(&name, json!({}), input).unwrap();
                assert_finite(&pairs.total().unwrap(), &leaf, &format!("{name} with {of} in {kind:?}"));
            }
            for name in ["rkd-angle", "dark-rank", "fit-net"] {
                let input = input(&case, kind);
                let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
                let loss = loss_slot(name, json!({}), kind).loss(input, &epoch(0)).unwrap();
                assert_finite(&loss, &leaf, &format!("{name} with {of} in {kind:?}"));
            }
        }
    }
}

#[test]
fn equal_images_are_not_thrown_apart_by_a_gradient_without_bound() {
    // Two students are one point and the teacher tells them apart: the direction between them is not known.
    let (_, case) = degenerate().swap_remove(3);
    for name in ["rkd-angle", "dark-rank"] {
        let input = input(&case, Kind::Double);
        let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
        loss_slot(name, json!({}), Kind::Double).loss(input, &epoch(0)).unwrap().backward();
        assert!(numbers(&leaf.grad()).iter().all(|x| x.abs() < 100.0), "{name}");
    }
}

#[test]
fn one_image_or_feature_maps_of_0_are_no_fault() {
    let case = of_one_dimension(case("lcg12x6"));
    let one = Case { student: vec![case.student[0].clone()], teacher: vec![case.teacher[0].clone()], labels: vec![0] };
    for name in names(PACKAGE, Role::Transfer) {
        let params = if name == "contextual-contrastive" { json!({ "neighbours": 1 }) } else { json!({}) };
        let input = input(&one, Kind::Double);
        let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
        let pairs = transfer(&name, params, input).unwrap();
        assert_finite(&pairs.total().unwrap(), &leaf, &format!("{name} of one image"));
    }
    let zero = maps(&case, [3, 2, 4], 0.0).zeros_like().set_requires_grad(true);
    let input = with_maps(&case, Some(zero.shallow_clone()), Some(maps(&case, [5, 2, 4], 1.1)));
    let loss = loss_slot("attention", json!({}), Kind::Double).loss(input, &epoch(0)).unwrap();
    assert_finite(&loss, &zero, "attention of 0");
}

#[test]
fn distances_and_rows_do_not_see_the_scale_of_the_student() {
    // Relative distances and cosines: a student ten times as large has the same loss and a tenth of the gradient.
    let case = case("lcg12x6");
    for (name, params, _) in slow::TRANSFERS.iter().filter(|(name, ..)| *name != "absolute-teacher") {
        let of = |scale: f64| {
            let student = case.student.iter().map(|row| row.iter().map(|x| x * scale).collect()).collect();
            let input = input(&Case { student, ..case.clone() }, Kind::Double);
            let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
            let total = transfer(name, json(params), input).unwrap().total().unwrap();
            total.backward();
            (numbers(&total), numbers(&(leaf.grad() * scale)))
        };
        let ((value, gradient), (scaled, scaled_gradient)) = (of(1.0), of(10.0));
        assert_close(&scaled, &value, 1e-9, name);
        assert_close(&scaled_gradient, &gradient, 1e-9, name);
    }
}
