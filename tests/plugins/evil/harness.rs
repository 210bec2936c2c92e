//! One misbehaviour between two good calls, with a look at all that it could have touched.

use std::path::PathBuf;
use std::sync::Arc;

use lossmith_plugin::{Cause, Input, Limits, PairLosses, Phase, PluginError, Progress, Role, Setting, Slot};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::fixture::{batch, bits, epoch, kept, setting, slot};

/// Images of a batch.
pub(super) const SIZE: i64 = 12;
/// Slices of its embeddings.
pub(super) const SLICES: i64 = 3;

/// Narrow enough that every runaway call ends in milliseconds.
fn narrow() -> Limits {
    Limits {
        fuel: 50_000_000,
        memory_bytes: 32 << 20,
        host_elements: 20_000_000,
        tensor_bytes: 64 << 20,
        handles: 2000,
        tensor_elements: 4_000_000,
        list_elements: 100_000,
        state_bytes: 1 << 20,
        // The first call makes a buffer and is no program, the others are: they have the same bits so.
        fuse: false,
        ..Limits::default()
    }
}

/// Embeddings whose memory is a mapped file: while anything still refers to them, the file stands among the mappings of
/// this process.
pub(super) struct Watched {
    embeddings: Tensor,
    file: PathBuf,
    _directory: tempfile::TempDir,
}

impl Watched {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("embeddings");
        let numbers: Vec<f64> =
            Vec::try_from(batch(SIZE, 6, Kind::Double).embeddings.unwrap().detach().reshape([-1])).unwrap();
        std::fs::write(&file, numbers.iter().flat_map(|x| x.to_ne_bytes()).collect::<Vec<_>>()).unwrap();
        let options = (Kind::Double, Device::Cpu);
        let mapped = Tensor::from_file(file.to_str().unwrap(), false, SIZE * 6, options).reshape([SIZE, 6]);
        let watched = Self { embeddings: mapped.set_requires_grad(true), file, _directory: directory };
        assert!(watched.is_mapped(), "the embeddings are not in the mapped file");
        watched
    }

    pub(super) fn input(&self) -> Input {
        Input { embeddings: Some(self.embeddings.shallow_clone()), slice_count: SLICES, ..batch(SIZE, 6, Kind::Double) }
    }

    fn is_mapped(&self) -> bool {
        std::fs::read_to_string("/proc/self/maps").unwrap().contains(self.file.to_str().unwrap())
    }

    /// Asserts that nothing refers to the embeddings any more.
    pub(super) fn assert_freed(mut self) {
        self.embeddings = Tensor::new();
        assert!(!self.is_mapped(), "a tensor of the call is still alive");
    }
}

/// Calls a slot in its role and gives the bits of its result.
fn call(slot: &mut Slot, input: Input, progress: &Progress) -> Result<Vec<u64>, PluginError> {
    Ok(match slot.role() {
        Role::Loss => bits(&slot.loss(input, progress)?),
        Role::Miner => slot.mine(input, progress)?.parts().iter().flat_map(bits).collect(),
        Role::Transfer => bits(&slot.transfer(input, progress)?.values),
        Role::Balance => {
            let embeddings = input.embeddings.as_ref().unwrap();
            let pairs = PairLosses::new(embeddings.matmul(&embeddings.tr()), 2.0);
            bits(&slot.balance(pairs, input, progress)?.0)
        }
        Role::Schedule => slot.thresholds(input, progress)?.into_iter().map(f64::to_bits).collect(),
        Role::Fusion => bits(&slot.fuse(Input { labels: None, ..input }, progress)?),
    })
}

/// The cause with which a misbehaviour ends, after it was seen that nothing else changed.
pub(super) fn misbehave(role: Role, how: &str) -> Cause {
    let watched = Watched::new();
    let evil = Setting { limits: Arc::new(narrow()), ..setting() };
    let mut slot_of_evil = slot("lossmith-evil", role, "evil", json!({ "how": how }), evil);
    let mut other = slot("lossmith-test-roles", Role::Loss, "noise", json!({}), setting());
    let good = |slot: &mut Slot, when| {
        call(slot, watched.input(), &epoch(when))
            .unwrap_or_else(|error| panic!("{role}, a good call beside {how}: {error}"))
    };

    let before = good(&mut slot_of_evil, 0);
    let others_before = good(&mut other, 0);
    let kept_before = kept(slot_of_evil.state());
    assert!(kept_before.contains_key("buffer calls"), "{role}: {kept_before:?}");

    let error = call(&mut slot_of_evil, watched.input(), &epoch(1)).err();
    let error = error.unwrap_or_else(|| panic!("{role}: {how} ended well"));
    assert_eq!(error.phase, Phase::Call { role, strategy: "evil".into() }, "{role}, {how}");
    assert_eq!(error.plugin, "evil");
    assert_eq!(kept(slot_of_evil.state()), kept_before, "{role}: {how} changed the state");
    slot_of_evil.take_report();

    assert_eq!(good(&mut slot_of_evil, 0), before, "{role}: the slot after {how}");
    assert_eq!(good(&mut other, 0), others_before, "{role}: another plugin's slot after {how}");
    // Both slots still live.
    watched.assert_freed();
    *error.cause
}
