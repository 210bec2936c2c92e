//! Trying out a loss that is to take over from another one, as another program than the trainer does it.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use lossmith_plugin::candidate::{CandidateError, Sample, States, copies, cosine, measure, try_out};
use lossmith_plugin::objective::{Batch, ComputedOn, Objective, Objectives};
use lossmith_plugin::{Limits, Params, Plugin, Progress, Role, Runtime, Setting, Slot, Value};
use tch::{Device, Kind, Tensor};

static RUNTIME: LazyLock<Arc<Runtime>> = LazyLock::new(|| Arc::new(Runtime::new().unwrap()));
static PLUGIN: LazyLock<Arc<Plugin>> = LazyLock::new(|| {
    Plugin::load(&RUNTIME, &support::module("lossmith-test-roles"), &Arc::new(Limits::default())).unwrap()
});
/// Where the loss keeps what it keeps.
const PLACE: &str = "objective.0.loss";

fn objectives(loss: &str, params: &[(&str, Value)]) -> Objectives {
    let given: BTreeMap<_, _> = params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let params = Params::new(PLUGIN.strategy(Role::Loss, loss).unwrap(), &given).unwrap();
    let limits = Arc::new(Limits::default());
    let setting = Setting { device: Device::Cpu, float: Kind::Float, seed: 0, slot: 0, limits };
    let slot = Slot::new(Arc::clone(&RUNTIME), Arc::clone(&PLUGIN), Role::Loss, loss, params, setting).unwrap();
    Objectives::new(vec![Objective::of_loss("objective.0".to_owned(), 1.0, ComputedOn::Embedding, slot)], None)
}

/// Four images of two classes with `columns` numbers each.
fn sample(columns: i64) -> Sample {
    let embeddings = Tensor::arange(4 * columns, (Kind::Float, Device::Cpu)).sin().reshape([4, columns]);
    let batch = Batch {
        embeddings,
        labels: Tensor::from_slice(&[0_i64, 0, 1, 1]),
        class_count: 2,
        slice_count: 1,
        feature_map: None,
        teacher: None,
        teacher_feature_map: None,
        tuples: None,
        thresholds: Vec::new(),
        measured: false,
    };
    Sample { batch, progress: Progress::default() }
}

/// What a loss keeps after a batch.
fn kept(loss: &str, sample: &Sample) -> States {
    let mut live = objectives(loss, &[]);
    measure(&mut live, sample, &BTreeMap::new()).unwrap();
    live.take_states()
}

#[test]
fn a_candidate_is_computed_with_copies_of_what_is_kept() {
    let sample = sample(3);
    let states = kept("running-mean", &sample);
    let before = copies(&states).unwrap();
    let mut candidate = objectives("running-mean", &[]);
    let tried = try_out(&mut candidate, &sample, &states, |_, _| false).unwrap();
    assert!(tried.reset.is_empty() && tried.measured.loss.is_finite());
    // It agrees with what is live, which keeps what it has; the candidate keeps nothing.
    let live = measure(&mut objectives("running-mean", &[]), &sample, &states).unwrap();
    assert!((cosine(&tried.measured.gradient, &live.gradient).unwrap().unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(live.loss, tried.measured.loss);
    assert!(states[PLACE].buffers["mean"].equal(&before[PLACE].buffers["mean"]));
    assert!(candidate.take_states().values().all(|state| state.buffers.is_empty()));
}

#[test]
fn what_is_kept_in_another_shape_is_named_or_begins_anew() {
    let states = kept("running-mean", &sample(5));
    let sample = sample(3);
    let refused = try_out(&mut objectives("running-mean", &[]), &sample, &states, |_, _| false);
    let misfit = match refused {
        Err(CandidateError::Misfit(misfit)) => Some(misfit),
        Ok(_) | Err(_) => None,
    };
    let misfit = misfit.unwrap();
    assert_eq!((misfit.place.as_str(), misfit.name.as_str()), (PLACE, "mean"));
    assert!(misfit.to_string().contains('5') && misfit.to_string().contains('3'), "{misfit}");
    let may_reset = |place: &str, name: &str| (place, name) == (PLACE, "mean");
    let tried = try_out(&mut objectives("running-mean", &[]), &sample, &states, may_reset).unwrap();
    assert_eq!(tried.reset, [format!("{PLACE}/mean")]);
}

#[test]
fn what_is_not_finite_is_refused() {
    let after = [("after", Value::Integer(0))];
    let refused = try_out(&mut objectives("failing", &after), &sample(3), &BTreeMap::new(), |_, _| false);
    assert!(matches!(refused, Err(CandidateError::Result { .. })), "{:?}", refused.err());
}
