//! `lossmith retrieve`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use comfy_table::{Table, presets};
use image::ImageFormat;
use lossmith_plugin::Runtime;
use serde_json::{Value, json};

use super::arguments::SiteArgs;
use crate::cli::error::CliError;
use crate::cli::output;
use crate::cli::written::may_write;
use crate::data::PartName;
use crate::retrieve::{Found, RetrieveError, draw, find, queries, same_part, size};
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
    /// The part of the data.
    #[arg(long, value_enum, default_value_t = PartName::Test)]
    part: PartName,
    /// The checkpoint: `best`, `last`, or an epoch.
    #[arg(long, default_value = "best")]
    checkpoint: String,
    #[command(flatten)]
    site: SiteArgs,
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
    let elsewhere = args.site.elsewhere();
    let open = |run: &Path| Trained::open(run, &args.checkpoint, &elsewhere, Arc::clone(&runtime));
    let mut first = open(&args.run)?;
    let images = first.images(args.part);
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
    let mut names = vec![(&args.run, first.epoch())];
    let mut found = vec![find(&mut first, args.part, &drawn, neighbours)?];
    if let Some(other) = &args.against {
        let mut second = open(other)?;
        same_part(&first, &second, args.part)?;
        names.push((other, second.epoch()));
        found.push(find(&mut second, args.part, &drawn, neighbours)?);
    }
    let picture = draw(first.dataset(), &found)?;
    picture
        .save_with_format(&args.output, ImageFormat::Png)
        .map_err(|source| RetrieveError::Write { path: args.output.clone(), source })?;
    if json {
        let runs = names.iter().zip(&found).map(|((run, epoch), found)| as_json(run, *epoch, found));
        return output::json(&json!({ "output": args.output, "part": args.part, "runs": runs.collect::<Vec<_>>() }));
    }
    for ((run, epoch), found) in names.iter().zip(&found) {
        let (right, of) = counts(found);
        output::line(&format!("{} with the weights of epoch {epoch}: {right} of {of} are right", run.display()))?;
        output::line(&table(found).to_string())?;
    }
    output::line(&format!("wrong ones are in brackets; the picture: {}", args.output.display()))
}

fn counts(found: &[Found]) -> (usize, usize) {
    let hits = || found.iter().flat_map(|found| &found.neighbours);
    (hits().filter(|hit| hit.right).count(), hits().count())
}

fn table(found: &[Found]) -> Table {
    let mut table = output::table(presets::NOTHING);
    for Found { class, neighbours, .. } in found {
        let (right, of) = (neighbours.iter().filter(|hit| hit.right).count(), neighbours.len());
        let classes =
            neighbours.iter().map(|hit| if hit.right { hit.class.clone() } else { format!("[{}]", hit.class) });
        table.add_row([format!("{class}:")].into_iter().chain(classes).chain([format!("{right} of {of}")]));
    }
    table
}

fn as_json(run: &Path, epoch: u64, found: &[Found]) -> Value {
    let (right, of) = counts(found);
    json!({ "run": run, "epoch": epoch, "right": right, "of": of, "queries": found })
}
