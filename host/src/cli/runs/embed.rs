//! `lossmith embed`: embeddings as a file for other programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tch::{Device, Kind, TchError, Tensor};

use super::arguments::{TrainedArgs, print_data_remarks};
use crate::cli::error::CliError;
use crate::cli::output;
use crate::cli::output_path::not_of_a_run;
use crate::run::{self, RunError};
use crate::train::Image;

/// Write the embeddings of a part of a run's data, with the file and the class of each image.
///
/// The ending of the file says what is written. `.csv`: one row for each image, with the columns image, class, label,
/// e0, e1 and so on. `.npy`: the embeddings (N x D, 32-bit). `.safetensors`: `embeddings` and `labels` (N, 64-bit
/// integers). Beside the last two, NAME.images.csv has the columns image, class and label, in the order of the rows.
/// `image` is the path of the file, or the number of the image where the data is not in image files.
#[derive(Args, Debug)]
pub(in crate::cli) struct EmbedArgs {
    #[command(flatten)]
    trained: TrainedArgs,
    /// The file to write: NAME.csv, NAME.npy or NAME.safetensors.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

/// The format of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EmbeddingFormat {
    Csv,
    Npy,
    Safetensors,
}

impl EmbeddingFormat {
    fn of(path: &Path) -> Result<Self, CliError> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::Safetensors),
            _ => Err(CliError::Usage(format!(
                "--output {}: the ending says what is written; it must be .csv, .npy or .safetensors",
                path.display()
            ))),
        }
    }
}

pub(in crate::cli) fn embed(args: &EmbedArgs, as_json: bool) -> Result<(), CliError> {
    let format = EmbeddingFormat::of(&args.output)?;
    let names = args.output.with_extension("images.csv");
    for path in [&args.output, &names] {
        not_of_a_run("--output", path)?;
    }
    let (mut trained, part) = args.trained.open()?;
    let (embeddings, labels) = trained.embed(part)?;
    let rows = trained.listed(part);
    let (count, dimension) = embeddings.size2().map_err(|error| CliError::Machine(error.to_string()))?;
    let names = match format {
        EmbeddingFormat::Csv => {
            put(&args.output, &table(&rows, Some((floats(&embeddings)?.as_slice(), dimension))))?;
            None
        }
        EmbeddingFormat::Npy => {
            put(&args.output, &npy(&floats(&embeddings)?, [count, dimension]))?;
            Some(names)
        }
        EmbeddingFormat::Safetensors => {
            let tensors = BTreeMap::from([("embeddings".to_owned(), embeddings), ("labels".to_owned(), labels)]);
            run::write_tensors(&args.output, &tensors)?;
            Some(names)
        }
    };
    if let Some(names) = &names {
        put(names, &table(&rows, None))?;
    }
    if as_json {
        return output::json(&json!({
            "output": args.output, "images": names, "part": part, "shape": [count, dimension],
            "data-changes": trained.data_changes(), "data-warnings": trained.data_warnings(),
        }));
    }
    print_data_remarks(&trained)?;
    let told = format!("{count} embeddings of {dimension} numbers, of the {part} part: {}", args.output.display());
    let beside = names.map(|names| format!("\ntheir images and classes: {}", names.display()));
    output::line(&(told + &beside.unwrap_or_default()))
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    lossmith_files::replace(path, bytes).map_err(RunError::io("write", path))
}

fn floats(embeddings: &Tensor) -> Result<Vec<f32>, CliError> {
    let flat = || -> Result<Vec<f32>, TchError> {
        Vec::try_from(&embeddings.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_reshape([-1])?)
    };
    flat().map_err(|error| CliError::Machine(error.to_string()))
}

/// One row for each image; with the numbers of its embedding where they are given with their count.
fn table(rows: &[Image], embeddings: Option<(&[f32], i64)>) -> Vec<u8> {
    let dimension = usize::try_from(embeddings.map_or(0, |(_, dimension)| dimension)).unwrap_or(0);
    let mut numbers = embeddings.map(|(numbers, _)| numbers.chunks(dimension.max(1))).into_iter().flatten();
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = ["image", "class", "label"].map(str::to_owned).into_iter();
    let mut records = vec![header.chain((0..dimension).map(|column| format!("e{column}"))).collect::<Vec<_>>()];
    for Image { name, class, label } in rows {
        let embedding = numbers.next().unwrap_or_default().iter().map(f32::to_string);
        records.push([name.clone(), class.clone(), label.to_string()].into_iter().chain(embedding).collect());
    }
    for record in records {
        // Writing to memory cannot fail.
        let _ = writer.write_record(record);
    }
    writer.into_inner().unwrap_or_default()
}

/// NumPy's format, version 1.0: a line that describes the array, then its numbers.
fn npy(numbers: &[f32], shape: [i64; 2]) -> Vec<u8> {
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    let [rows, columns] = shape;
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    // Magic, the header's length in two bytes, and the header with its line break are a multiple of 64.
    while !(MAGIC.len() + 2 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).unwrap_or_default();
    let mut bytes = [MAGIC, &length.to_le_bytes(), header.as_bytes()].concat();
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_the_format() {
        for (name, format) in [
            ("a.csv", EmbeddingFormat::Csv),
            ("b/c.npy", EmbeddingFormat::Npy),
            ("d.e.safetensors", EmbeddingFormat::Safetensors),
        ] {
            assert_eq!(EmbeddingFormat::of(Path::new(name)).ok(), Some(format));
        }
        for name in ["a", "a.pt", "npy", "a.npz"] {
            assert!(
                matches!(EmbeddingFormat::of(Path::new(name)), Err(CliError::Usage(text)) if text.contains(".npy")),
                "{name}"
            );
        }
    }
}
