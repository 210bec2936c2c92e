//! Checkpoints: named tensors in a safetensors file that is either complete or not there.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use lossmith_run::{About, Revision, Run, RunError};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use super::RecordError;

/// The one key of the metadata of a file. (The format keeps metadata in no particular order; with one key, equal
/// tensors make equal files.)
const METADATA: &str = "lossmith";

/// A state of a training, read back.
#[derive(Debug)]
pub struct Checkpoint {
    /// Epochs that are complete.
    pub epoch: u64,
    /// Steps that are complete, over the whole run.
    pub step: u64,
    /// Tensors by name, on the CPU.
    pub tensors: BTreeMap<String, Tensor>,
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    epoch: u64,
    step: u64,
    /// Of epoch, step and the tensors' names, types, shapes and bytes; see [`digest`].
    sha256: String,
}

/// Writes `checkpoints/epoch-EPOCH.safetensors` of a run and returns its path. `epoch` and `step` count what is
/// complete. Tensors may be on any device and of any float, integer or bool type. Takes twice the size of the tensors
/// in memory.
///
/// # Errors
/// No room or a failing disk (older checkpoints and one of the same name stay complete), a tensor of another type.
pub fn save_checkpoint(
    run: &Run,
    epoch: u64,
    step: u64,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<PathBuf, RecordError> {
    let path = run.checkpoint_path(epoch);
    write(&path, tensors, Some((epoch, step)))?;
    // What an epoch's checkpoint has, the one of an interruption before it had, and more.
    run.forget_interrupted()?;
    Ok(path)
}

/// Writes `checkpoints/interrupted.safetensors` of a run: the state inside an epoch. The next checkpoint of an epoch
/// replaces it.
///
/// # Errors
/// As [`save_checkpoint`].
pub fn save_interrupted(
    run: &Run,
    epoch: u64,
    step: u64,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<PathBuf, RecordError> {
    let path = run.interrupted_checkpoint();
    write(&path, tensors, Some((epoch, step)))?;
    Ok(path)
}

/// Keeps a revision of a run, with the tensors that its strategies begin with; see [`Run::store_revision`].
///
/// # Errors
/// No room, the system refuses to write, or a tensor of a type that safetensors do not have.
pub fn store_revision(
    run: &Run,
    number: u64,
    experiment: &str,
    about: &About,
    state: Option<&BTreeMap<String, Tensor>>,
) -> Result<(), RecordError> {
    let path = run.revision_state(number);
    let state = state.map(|state| serialized(&path, state, CHECKED)).transpose()?;
    Ok(run.store_revision(number, experiment, about, state.as_deref())?)
}

/// The tensors that the strategies of a revision begin with, by name, where it brought some along.
///
/// # Errors
/// As [`load_checkpoint`].
pub fn revision_state(revision: &Revision) -> Result<Option<BTreeMap<String, Tensor>>, RecordError> {
    Ok(revision.state.as_deref().map(load_checkpoint).transpose()?.map(|file| file.tensors))
}

/// Writes tensors by name into a file of their own, as a whole or not at all.
///
/// # Errors
/// No room, a place that cannot be written to, or a tensor of a type that safetensors do not have.
pub fn write_tensors(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<(), RecordError> {
    write(path, tensors, None)
}

/// As [`write_tensors`], with a checksum that [`load_checkpoint`] compares.
///
/// # Errors
/// As for [`write_tensors`].
pub fn write_checked(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<(), RecordError> {
    write(path, tensors, CHECKED)
}

/// Epochs and steps of a file with a checksum that is no checkpoint.
const CHECKED: Option<(u64, u64)> = Some((0, 0));

fn write(path: &Path, tensors: &BTreeMap<String, Tensor>, progress: Option<(u64, u64)>) -> Result<(), RecordError> {
    let bytes = serialized(path, tensors, progress)?;
    Ok(lossmith_files::replace(path, &bytes).map_err(RunError::io("write", path))?)
}

/// The content of a file of tensors, with a checksum if there is a progress; errors name `path`.
fn serialized(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    progress: Option<(u64, u64)>,
) -> Result<Vec<u8>, RecordError> {
    let tensors = tensors.iter().map(|(name, tensor)| Ok((name.as_str(), Bytes::of(name, tensor)?)));
    let tensors = tensors.collect::<Result<BTreeMap<_, _>, RecordError>>()?;
    let views = tensors
        .iter()
        .map(|(name, bytes)| Ok((*name, TensorView::new(bytes.dtype, bytes.shape.clone(), &bytes.data)?)))
        .collect::<Result<BTreeMap<_, _>, safetensors::SafeTensorError>>()
        .map_err(RunError::unwritable(path))?;
    let metadata = progress.map(|(epoch, step)| {
        let metadata = Metadata { epoch, step, sha256: digest(epoch, step, &views) };
        Ok(HashMap::from([(METADATA.to_owned(), serde_json::to_string(&metadata)?)]))
    });
    let metadata = metadata.transpose().map_err(|error: serde_json::Error| RunError::unwritable(path)(error))?;
    Ok(safetensors::serialize(views, metadata).map_err(RunError::unwritable(path))?)
}

/// Reads a checkpoint and compares it with its checksum.
///
/// # Errors
/// The file cannot be read, is no checkpoint, is cut short or has a changed bit.
pub fn load_checkpoint(path: &Path) -> Result<Checkpoint, RecordError> {
    let bytes = lossmith_files::read(path, lossmith_files::WEIGHTS).map_err(RunError::io("read", path))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(RunError::damaged(path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(RunError::damaged(path))?;
    let metadata = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA));
    let metadata = metadata.ok_or_else(|| RunError::damaged(path)("it is no checkpoint of a run"))?;
    let Metadata { epoch, step, sha256 } = serde_json::from_str(metadata).map_err(RunError::damaged(path))?;
    let views: BTreeMap<&str, TensorView<'_>> = file.iter().collect();
    if digest(epoch, step, &views) != sha256 {
        return Err(RunError::damaged(path)("its content does not fit its checksum").into());
    }
    let tensors = views.iter().map(|(name, view)| {
        let shape: Vec<i64> = view.shape().iter().map(|size| *size as i64).collect();
        let kind = kind(view.dtype()).ok_or_else(|| RunError::damaged(path)("unknown element type"))?;
        Ok(((*name).to_owned(), Tensor::f_from_data_size(view.data(), &shape, kind)?))
    });
    Ok(Checkpoint { epoch, step, tensors: tensors.collect::<Result<_, RecordError>>()? })
}

/// A tensor's content on the host.
struct Bytes {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Bytes {
    fn of(name: &str, tensor: &Tensor) -> Result<Self, RecordError> {
        let kind = tensor.f_kind()?;
        let dtype = dtype(kind).ok_or_else(|| RecordError::TensorKind { name: name.to_owned(), kind })?;
        let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let mut data = vec![0; tensor.numel() * kind.elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut data, tensor.numel())?;
        Ok(Self { dtype, shape: tensor.size().iter().map(|size| *size as usize).collect(), data })
    }
}

/// What a checkpoint can hold, with the names that its digest is made with. They never change.
const KINDS: [(Kind, Dtype, &str); 10] = [
    (Kind::Float, Dtype::F32, "F32"),
    (Kind::Double, Dtype::F64, "F64"),
    (Kind::Half, Dtype::F16, "F16"),
    (Kind::BFloat16, Dtype::BF16, "BF16"),
    (Kind::Int64, Dtype::I64, "I64"),
    (Kind::Int, Dtype::I32, "I32"),
    (Kind::Int16, Dtype::I16, "I16"),
    (Kind::Int8, Dtype::I8, "I8"),
    (Kind::Uint8, Dtype::U8, "U8"),
    (Kind::Bool, Dtype::BOOL, "BOOL"),
];

fn dtype(kind: Kind) -> Option<Dtype> {
    KINDS.iter().find(|pair| pair.0 == kind).map(|pair| pair.1)
}

fn kind(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|pair| pair.1 == dtype).map(|pair| pair.0)
}

/// The name of a type in a digest; empty for one that no checkpoint holds, which is refused elsewhere.
fn type_name(dtype: Dtype) -> &'static str {
    KINDS.iter().find(|known| known.1 == dtype).map_or("", |known| known.2)
}

/// SHA-256 (hex) of everything that a checkpoint says. The form never changes.
fn digest(epoch: u64, step: u64, tensors: &BTreeMap<&str, TensorView<'_>>) -> String {
    let mut sha = Sha256::new();
    sha.update(epoch.to_le_bytes());
    sha.update(step.to_le_bytes());
    for (name, view) in tensors {
        // The line before the bytes says how many there are, so no two checkpoints have the same input.
        let shape: Vec<String> = view.shape().iter().map(usize::to_string).collect();
        let (name, kind, bytes) = (lossmith_files::quoted(name), type_name(view.dtype()), view.data().len());
        sha.update(format!("{name} {kind} [{}] {bytes}\n", shape.join(", ")));
        sha.update(view.data());
    }
    lossmith_files::hex(&sha.finalize())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use std::collections::BTreeSet;
    use std::process::Command;

    fn run(folder: &Path) -> Run {
        Run::create(folder, "test").unwrap()
    }

    fn ones(size: i64) -> BTreeMap<String, Tensor> {
        BTreeMap::from([("weight".to_owned(), Tensor::ones([size], (Kind::Float, Device::Cpu)))])
    }

    #[test]
    fn every_type_comes_back_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let values = [0.1, -0.0, f64::NAN, f64::INFINITY, 1e-40, 3.0];
        let mut tensors = BTreeMap::new();
        for (kind, ..) in KINDS {
            // A view that is not contiguous, too.
            let tensor = Tensor::from_slice(&values).view([2, 3]).nan_to_num(7.0, 9.0, -9.0).to_kind(kind).tr();
            tensors.insert(format!("{kind:?}"), tensor);
        }
        tensors.insert("special".into(), Tensor::from_slice(&values));
        tensors.insert("scalar".into(), Tensor::from(5_i64));
        tensors.insert("empty".into(), Tensor::zeros([0, 3], (Kind::Float, Device::Cpu)));
        tensors.insert("trained".into(), Tensor::ones([2], (Kind::Float, Device::Cpu)).set_requires_grad(true));
        let path = save_checkpoint(&run(folder.path()), 3, 1200, &tensors).unwrap();
        assert!(path.ends_with("checkpoints/epoch-0003.safetensors"));
        let loaded = load_checkpoint(&path).unwrap();
        assert_eq!((loaded.epoch, loaded.step), (3, 1200));
        assert_eq!(loaded.tensors.keys().collect::<Vec<_>>(), tensors.keys().collect::<Vec<_>>());
        for (name, tensor) in &tensors {
            let (before, after) = (Bytes::of(name, tensor).unwrap(), Bytes::of(name, &loaded.tensors[name]).unwrap());
            assert_eq!((before.dtype, before.shape, before.data), (after.dtype, after.shape, after.data), "{name}");
        }
    }

    /// The digest was computed by another program, from the bytes that the format says.
    #[test]
    fn the_digest_of_a_checkpoint_never_changes() {
        let one = 1.0_f32.to_le_bytes();
        let floats = [one, (-2.0_f32).to_le_bytes()].concat();
        let views = BTreeMap::from([
            ("a \"b\"", TensorView::new(Dtype::F32, vec![2], &floats).unwrap()),
            ("n", TensorView::new(Dtype::I64, vec![], &[5, 0, 0, 0, 0, 0, 0, 0]).unwrap()),
            ("z", TensorView::new(Dtype::BOOL, vec![1, 0], &[]).unwrap()),
        ]);
        assert_eq!(digest(3, 1200, &views), "6a39227dfef520d49868ff767053ed3c5dcf4e2086bae0356c390fe0a475bcbf");
    }

    #[test]
    fn equal_tensors_make_equal_files() {
        let folder = tempfile::tempdir().unwrap();
        let tensors: BTreeMap<String, Tensor> = (0..20_i64).map(|i| (format!("t{i}"), Tensor::from(i))).collect();
        let bytes = || std::fs::read(save_checkpoint(&run(folder.path()), 1, 2, &tensors).unwrap()).unwrap();
        assert_eq!(bytes(), bytes());
    }

    #[test]
    fn a_changed_bit_and_a_cut_are_noticed_wherever_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = save_checkpoint(&run(folder.path()), 1, 2, &ones(8)).unwrap();
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            // JSON may say the same with another white space.
            let same = load_checkpoint(&path).is_ok_and(|loaded| loaded.tensors["weight"] == ones(8)["weight"]);
            assert!(!same || good[at].is_ascii_whitespace(), "byte {at} of {}", good.len());
        }
        for length in [0, 7, 50, good.len() - 1] {
            std::fs::write(&path, &good[..length]).unwrap();
            let error = load_checkpoint(&path).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{} is damaged", path.display())), "{error}");
        }
    }

    #[test]
    fn another_file_is_no_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let none: BTreeMap<&str, TensorView<'_>> = BTreeMap::new();
        std::fs::write(&path, safetensors::serialize(none, None).unwrap()).unwrap();
        assert!(matches!(load_checkpoint(&path), Err(RecordError::Run(RunError::Damaged { .. }))));
        assert!(matches!(load_checkpoint(&folder.path().join("none")), Err(RecordError::Run(RunError::Io { .. }))));
        let complex = BTreeMap::from([("z".to_owned(), Tensor::zeros([1], (Kind::ComplexFloat, Device::Cpu)))]);
        let error = save_checkpoint(&run(folder.path()), 0, 0, &complex).unwrap_err();
        assert!(matches!(error, RecordError::TensorKind { name, .. } if name == "z"));
    }

    #[test]
    fn the_last_ones_and_the_best_one_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let run = run(folder.path());
        for epoch in 1..=12 {
            save_checkpoint(&run, epoch, 10 * epoch, &ones(1)).unwrap();
            if epoch == 2 || epoch == 4 {
                run.mark_best(epoch).unwrap();
            }
            run.prune_checkpoints(3, &BTreeSet::new()).unwrap();
        }
        assert_eq!(run.checkpoints().unwrap().into_keys().collect::<Vec<_>>(), [10, 11, 12]);
        let best = run.path().join("checkpoints/best.safetensors");
        assert_eq!(load_checkpoint(&best).unwrap().epoch, 4);
        run.mark_best(12).unwrap();
        assert_eq!(load_checkpoint(&best).unwrap().epoch, 12);
        assert_eq!(std::fs::read_dir(run.path().join("checkpoints")).unwrap().count(), 4);
        assert!(run.mark_best(1).is_err());
    }

    /// A full disk without being root: this test starts itself again in a shell that lets no file grow beyond 64 KiB.
    #[test]
    fn a_full_disk_leaves_the_old_checkpoint() {
        const FOLDER: &str = "LOSSMITH_TEST_FULL_DISK";
        if let Some(folder) = std::env::var_os(FOLDER) {
            let run = Run::open(Path::new(&folder)).unwrap();
            let error = save_checkpoint(&run, 1, 99, &ones(1 << 20)).unwrap_err();
            assert!(matches!(error, RecordError::Run(RunError::NoRoom { .. })), "{error:?}");
            println!("refused: {error}");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let run = run(folder.path());
        run.record(lossmith_run::Event::Started { process: None }).unwrap();
        let path = save_checkpoint(&run, 1, 5, &ones(4)).unwrap();
        let limited = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "run::checkpoint::tests::a_full_disk_leaves_the_old_checkpoint", "--nocapture"])
            .env(FOLDER, run.path())
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&limited.stdout);
        assert!(limited.status.success(), "{limited:?}");
        assert!(output.contains(&format!("refused: no room to write {}", path.display())), "{output}");
        assert_eq!(load_checkpoint(&path).unwrap().step, 5);
        assert_eq!(std::fs::read_dir(run.path().join("checkpoints")).unwrap().count(), 1);
    }
}
