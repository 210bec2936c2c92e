//! `lossmith retrieve`.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use comfy_table::{Table, presets};
use image::ImageFormat;
use lossmith_plugin::Runtime;
use serde_json::{Value, json};

use super::arguments::{CheckpointArgs, data_remarks};
use crate::cli::error::CliError;
use crate::cli::output;
use crate::cli::output_path::may_write;
use crate::retrieve::{QueryResult, RetrieveError, draw, find, queries, same_part, size};
use crate::train::Trained;

/// Draw queries and their nearest neighbours: right ones framed green, wrong ones red.
///
/// A row is a query, framed grey, and what it found, nearest first, by the distance and the fusion of the run's
/// evaluation. With `--against` each query has two rows: RUN above, OTHER below.
#[derive(Args, Debug)]
pub(in crate::cli) struct RetrieveArgs {
    /// The run's folder.
    run: PathBuf,
    /// Another run of the same data and split, to compare with: its rows are drawn below those of RUN.
    #[arg(long, value_name = "OTHER")]
    against: Option<PathBuf>,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
    /// How many queries, at most; of different classes as far as there are.
    #[arg(long, default_value = "8")]
    queries: NonZeroUsize,
    /// How many neighbours of each, at most.
    #[arg(long, default_value = "5")]
    neighbours: NonZeroUsize,
    /// Which queries are drawn.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The picture to write: NAME.png.
    #[arg(long)]
    output: PathBuf,
}

pub(in crate::cli) fn retrieve(args: &RetrieveArgs, json: bool) -> Result<(), CliError> {
    may_write("--output", &args.output, &["png"])?;
    let runtime = Arc::new(Runtime::new().map_err(CliError::engine)?);
    let part = args.checkpoint.part;
    let open = |run: &Path| args.checkpoint.open(run, Arc::clone(&runtime));
    let mut first = open(&args.run)?;
    let images = first.images(part);
    let drawn = queries(images.labels(), images.queries_and_gallery(), args.queries.get(), args.seed);
    if drawn.is_empty() {
        return Err(RetrieveError::NothingToFind.into());
    }
    let runs = 1 + usize::from(args.against.is_some());
    let there = images
        .queries_and_gallery()
        .map_or(images.len().saturating_sub(1), |(_, gallery)| gallery.iter().filter(|inside| **inside).count());
    let neighbours = args.neighbours.get().min(there);
    // Before anything is computed for it.
    size(runs, drawn.len(), neighbours)?;
    let mut found = vec![find(&mut first, part, &drawn, neighbours)?];
    let mut second = None;
    if let Some(other) = &args.against {
        let mut trained = open(other)?;
        same_part(&first, &trained, part)?;
        found.push(find(&mut trained, part, &drawn, neighbours)?);
        second = Some((other.as_path(), trained));
    }
    let picture = draw(first.dataset(), &found)?;
    picture
        .save_with_format(&args.output, ImageFormat::Png)
        .map_err(|source| RetrieveError::Write { path: args.output.clone(), source })?;
    let opened: Vec<(&Path, Trained)> = std::iter::once((args.run.as_path(), first)).chain(second).collect();
    if json {
        let runs = opened.iter().zip(&found).map(|((run, trained), found)| as_json(run, trained, found));
        return output::json(&json!({ "output": args.output, "part": part, "runs": runs.collect::<Vec<_>>() }));
    }
    let mut told = BTreeSet::new();
    for ((run, trained), found) in opened.iter().zip(&found) {
        // Two runs of the same data have the same remarks.
        for remark in data_remarks(trained) {
            if !told.contains(&remark) {
                output::line(&remark)?;
                told.insert(remark);
            }
        }
        let ((right, of), epoch) = (counts(found), trained.epoch());
        output::line(&format!("{} with the weights of epoch {epoch}: {right} of {of} are right", run.display()))?;
        output::line(&table(found).to_string())?;
    }
    output::line(&format!("wrong ones are in brackets; the picture: {}", args.output.display()))
}

fn counts(found: &[QueryResult]) -> (usize, usize) {
    let hits = || found.iter().flat_map(|found| &found.neighbours);
    (hits().filter(|hit| hit.right).count(), hits().count())
}

fn table(found: &[QueryResult]) -> Table {
    let mut table = output::table(presets::NOTHING);
    for QueryResult { class, neighbours, .. } in found {
        let (right, of) = (neighbours.iter().filter(|hit| hit.right).count(), neighbours.len());
        let classes =
            neighbours.iter().map(|hit| if hit.right { hit.class.clone() } else { format!("[{}]", hit.class) });
        table.add_row([format!("{class}:")].into_iter().chain(classes).chain([format!("{right} of {of}")]));
    }
    table
}

fn as_json(run: &Path, trained: &Trained, found: &[QueryResult]) -> Value {
    let (right, of) = counts(found);
    json!({
        "run": run, "epoch": trained.epoch(), "right": right, "of": of, "queries": found,
        "data-changes": trained.data_changes(), "data-warnings": trained.data_warnings(),
    })
}
