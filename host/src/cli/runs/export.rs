//! `lossmith export`: the network as files for other programs.

use std::path::{Path, PathBuf};

use clap::Args;
use lossmith_torch_shim::pickle_state;
use serde::Serialize;
use serde_json::json;
use tch::TchError;

use crate::cli::error::CliError;
use crate::cli::output;
use crate::cli::output_path::not_of_a_run;
use crate::run::{self, RunError};
use crate::train::{Description, TrainedNetwork, TrainingError};

/// Write the network of a run as files for PyTorch, which need neither this program nor the run.
///
/// `model.ts.pt` is the network as a program, in evaluation mode: `torch.jit.load` of Python and of C++ read it, and it
/// can be a `model.path` or a `teacher.module` of an experiment. `model.pt` is its state dict for `torch.load`, with
/// torchvision's names after `backbone.`, and `head.weight` and `head.bias`; `model.safetensors` is the same in that
/// format. `model.json` says what must be known to use it: the preparation of images, the slices, the distance. A
/// fusion is a plugin and in none of them.
#[derive(Args, Debug)]
pub(in crate::cli) struct ExportArgs {
    /// The run's folder.
    run: PathBuf,
    /// The checkpoint: `best`, `last`, or an epoch.
    #[arg(long, default_value = "best")]
    checkpoint: String,
    /// The folder to write into, which is made. Files that are there are not replaced. Default: in the current folder,
    /// the name of the run's with `-export`.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

const PROGRAM: &str = "model.ts.pt";
const STATE: &str = "model.pt";
const TENSORS: &str = "model.safetensors";
const ABOUT: &str = "model.json";
/// The files in the order in which they are written, and what each is. The last one is there if all are.
const FILES: [(&str, &str); 4] = [
    (PROGRAM, "the network: torch.jit.load"),
    (STATE, "its state dict: torch.load"),
    (TENSORS, "the same as safetensors"),
    (ABOUT, "the preparation of images, the slices, the distance"),
];

/// `model.json`. Whoever changes its form gives it another version.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct About<'a> {
    format: &'static str,
    version: u32,
    #[serde(flatten)]
    network: &'a Description,
}

impl<'a> About<'a> {
    fn new(network: &'a Description) -> Self {
        Self { format: "lossmith-export", version: 1, network }
    }
}

pub(in crate::cli) fn export(args: &ExportArgs, as_json: bool) -> Result<(), CliError> {
    let mut network = TrainedNetwork::open(&args.run, &args.checkpoint)?;
    let model = network.model()?;
    let folder = args.output.clone().unwrap_or_else(|| format!("{}-export", network.description.run).into());
    free(&folder)?;
    // The file is inside the program, and where it was is of no use elsewhere.
    network.description.model.path = None;
    let about = serde_json::to_vec_pretty(&About::new(&network.description)).map_err(CliError::json)?;
    let tensors: Vec<_> = model.tensors().collect();
    let script = model.script().map_err(TrainingError::from)?;
    let (program, state) = (script.save().map_err(machine)?, pickle_state(&tensors).map_err(machine)?);

    std::fs::create_dir_all(&folder).map_err(RunError::io("make", &folder)).map_err(run::RecordError::from)?;
    put(&folder.join(PROGRAM), &program)?;
    put(&folder.join(STATE), &state)?;
    run::write_tensors(&folder.join(TENSORS), &network.state)?;
    put(&folder.join(ABOUT), &about)?;

    let Description { run, epoch, fusion, .. } = &network.description;
    if as_json {
        let files: Vec<_> = FILES.iter().map(|(name, _)| folder.join(name)).collect();
        return output::json(&json!({ "output": folder, "files": files, "epoch": epoch, "fusion": fusion }));
    }
    output::line(&format!("the network of {run} with the weights of epoch {epoch}, in {}", folder.display()))?;
    for (name, what) in FILES {
        output::line(&format!("  {name:<18} {what}"))?;
    }
    match fusion {
        None => Ok(()),
        Some(fusion) => output::line(&format!(
            "the fusion `{fusion}` is a plugin and in none of them: the network gives all slices, one after the other; \
             `lossmith embed` writes what the fusion makes of them"
        )),
    }
}

/// Checks that none of the files is there already, and that they damage no run.
fn free(folder: &Path) -> Result<(), CliError> {
    for (name, _) in FILES {
        let path = folder.join(name);
        not_of_a_run("--output", &path)?;
        if path.symlink_metadata().is_ok() {
            let folder = folder.display();
            return Err(CliError::Usage(format!(
                "--output {folder}: {name} is there already; choose another folder, or remove it"
            )));
        }
    }
    Ok(())
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), run::RecordError> {
    Ok(lossmith_files::replace(path, bytes).map_err(RunError::io("write", path))?)
}

fn machine(error: TchError) -> CliError {
    CliError::Machine(error.to_string())
}
