//! The balance `gradient-share`: the share that it gives, what it measures and what it keeps.

use lossmith_plugin::{PairLosses, Slot};
use serde_json::json;
use tch::{Kind, Tensor};

use super::{balance_slot, metrics};
use crate::fixture::{epoch, numbers};
use crate::slow::{self, Case};
use crate::transfers::{self, assert_close, input, json, transfer};

/// Norms of the gradients of the two halves, by the host's own autograd.
fn halves(pairs: &PairLosses, leaf: &Tensor, case: &Case) -> [f64; 2] {
    let intra = transfers::tensor(&slow::intra(case, None), Kind::Double);
    let inter = 1.0 - &intra - Tensor::eye(12, (Kind::Double, tch::Device::Cpu));
    [intra, inter].map(|half| {
        let sum = (&pairs.values * half).sum(Kind::Double);
        Tensor::run_backward(&[sum], &[leaf], true, false)[0].norm().double_value(&[])
    })
}

/// One call of `gradient-share` on a case; the weight that it reports.
fn share(slot: &mut Slot, name: &str, case: &Case) -> f64 {
    let input = input(case, Kind::Double);
    let pairs = transfer(name, json!({}), input.shallow_clone()).unwrap();
    slot.balance(pairs, input, &epoch(0)).unwrap().0.backward();
    metrics(slot)["weight"]
}

#[test]
fn gradient_share_gives_the_intra_half_its_share() {
    for name in ["relaxed-contrastive", "rkd-distance", "row-softmax"] {
        for rho in [0.5, 0.8] {
            let case = transfers::case("lcg12x6");
            let input = input(&case, Kind::Double);
            let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
            let pairs = transfer(name, json!({}), input.shallow_clone()).unwrap();
            let [intra, inter] = halves(&pairs, &leaf, &case);
            // The averages begin with another batch and must forget it.
            let other = Case { student: case.teacher.clone(), ..case.clone() };
            let mut slot = balance_slot("gradient-share", json!({ "rho": rho, "momentum": 0.5 }), Kind::Double);
            share(&mut slot, "relative-teacher", &other);
            let mut alpha = 0.0;
            for _ in 0..100 {
                alpha = share(&mut slot, name, &case);
            }
            let achieved = alpha * intra / (alpha * intra + inter);
            assert!((achieved - rho).abs() < 1e-9, "{name}: {achieved} where {rho} is wanted");
            // And it is the loss of `sum` with this alpha.
            let loss = slot.balance(pairs, input, &epoch(0)).unwrap().0;
            let params = json(slow::TRANSFERS.iter().find(|(it, ..)| *it == name).unwrap().1);
            let formula = slow::TRANSFERS.iter().find(|(it, ..)| *it == name).unwrap().2;
            let expected = slow::sum(&formula(&case, &params), &slow::intra(&case, None), alpha);
            assert_close(&numbers(&loss), &[expected], 1e-9, name);
        }
    }
}

#[test]
fn gradient_share_measures_both_halves_once_and_then_one_in_turns() {
    let first = transfers::case("lcg12x6");
    // Another student moves both norms.
    let second = Case { student: first.teacher.clone(), ..first.clone() };
    let of = |case: &Case| {
        let input = input(case, Kind::Double);
        let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
        halves(&transfer("rkd-distance", json!({}), input).unwrap(), &leaf, case)
    };
    let ([intra, inter], [other_intra, other_inter]) = (of(&first), of(&second));
    let mut slot = balance_slot("gradient-share", json!({ "momentum": 0.75 }), Kind::Double);
    let mut norms = |case: &Case| {
        share(&mut slot, "rkd-distance", case);
        numbers(&slot.state().buffers["norms"])
    };
    let average = |before: f64, now: f64| 0.75 * before + 0.25 * now;
    assert_close(&norms(&first), &[intra, inter], 1e-12, "the first call");
    assert_close(&norms(&second), &[average(intra, other_intra), inter], 1e-12, "the second call");
    let expected = [average(intra, other_intra), average(inter, other_inter)];
    assert_close(&norms(&second), &expected, 1e-12, "the third call");
}

#[test]
fn gradient_share_leaves_out_what_says_nothing() {
    let case = transfers::case("lcg12x6");
    let alone = Case { labels: (0..12).collect(), ..case.clone() };
    let mut slot = balance_slot("gradient-share", json!({}), Kind::Double);
    // Nothing is known of the intra half.
    for _ in 0..3 {
        assert_eq!(share(&mut slot, "rkd-distance", &alone), 1.0);
        assert_eq!(numbers(&slot.state().buffers["norms"])[0], 0.0);
    }
    // Then both halves are.
    let known = (0..2).map(|_| share(&mut slot, "rkd-distance", &case)).last().unwrap();
    assert!(known != 1.0 && known.is_finite());
    // A batch whose norms are 0 does not move them.
    let norms = numbers(&slot.state().buffers["norms"]);
    let equal = Case { student: vec![case.student[0].clone(); 12], ..case.clone() };
    for _ in 0..2 {
        assert_eq!(share(&mut slot, "rkd-distance", &equal), known);
    }
    let mut broken = case.clone();
    broken.student[0][0] = f64::NAN;
    // Nor does one that is refused.
    let input = input(&broken, Kind::Double);
    let pairs = transfer("rkd-distance", json!({}), input.shallow_clone()).unwrap();
    let error = slot.balance(pairs, input, &epoch(0)).unwrap_err();
    assert!(error.to_string().contains("NaN"), "{error}");
    assert_eq!(numbers(&slot.state().buffers["norms"]), norms);
}

#[test]
fn gradient_share_keeps_alpha_inside_its_bound() {
    let case = transfers::case("lcg12x6");
    let mut slot = balance_slot("gradient-share", json!({ "rho": 0.999, "bound": 3.0 }), Kind::Double);
    assert_eq!(share(&mut slot, "rkd-distance", &case), 3.0);
    let mut slot = balance_slot("gradient-share", json!({ "rho": 0.001, "bound": 4.0 }), Kind::Double);
    assert_eq!(share(&mut slot, "rkd-distance", &case), 0.25);
}

#[test]
fn what_gradient_share_knows_moves_to_a_new_slot() {
    let case = transfers::case("lcg12x6");
    let other = Case { student: case.teacher.clone(), ..case.clone() };
    let new = || balance_slot("gradient-share", json!({}), Kind::Double);
    let (mut stays, mut first) = (new(), new());
    for slot in [&mut stays, &mut first] {
        share(slot, "rkd-distance", &other);
        share(slot, "rkd-distance", &other);
    }
    let mut second = new();
    second.state_mut().buffers = std::mem::take(&mut first.state_mut().buffers);
    for _ in 0..3 {
        assert_eq!(share(&mut second, "rkd-distance", &case), share(&mut stays, "rkd-distance", &case));
    }
    assert_ne!(share(&mut second, "rkd-distance", &case), share(&mut new(), "rkd-distance", &case));
}
