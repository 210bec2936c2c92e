//! `lossmith data`: lists the kinds of data, and fetches those that can be fetched.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::error::CliError;
use super::output;
use crate::data::fetch::{FetchEmoji, FetchError, FetchEvent, fetch_emoji, fetch_fashion_mnist};
use crate::data::{DataConfig, DataError, DataKind, Dataset, places};

#[derive(Debug, Subcommand)]
pub(super) enum DataCommand {
    /// List the kinds of data: what of them is there, what they are good for, and how to get them.
    #[command(after_long_help = OWN_DATA)]
    List,
    /// Fetch data that a package manager offers.
    #[command(subcommand)]
    Fetch(FetchCommand),
}

/// How images of one's own must lie.
const OWN_DATA: &str = "\
Data of your own:
  A `folder` has one sub-folder for each class with .jpg, .jpeg, .png and .webp files, directly or in the folders
  `train`, `val` (or `valid`, `validation`) and `test`, of which one of the last two may be missing. Hidden files are
  ignored; whatever else is not read is named.

  A `manifest` is a CSV file (commas, semicolons or tabs; UTF-8; blanks around values do not count). Its first line
  names the columns:
    path                    the image, relative to the file
    class or label          its class
    subject                 whom it shows (optional, as all that follow)
    split                   `train`, `validation` (or `val`, `valid`) or `test`; or the number of a fold, from 0
    is_query, is_gallery    in the validation and the test part, queries are searched for in the gallery
    x_1, x_2, y_1, y_2      left, right, top and bottom, in pixels, of what is cut out of the image
  Other columns are named in a warning.

  Parts that the data gives are used as they are, also if they share no class; `data.split` asks for another split.
  The content of a file says what it is, not its name. Images are turned as their EXIF orientation says; transparent
  pixels become white; of an animation the first frame is used.";

#[derive(Debug, Subcommand)]
pub(super) enum FetchCommand {
    Emoji(EmojiArgs),
    FashionMnist(FashionMnistArgs),
}

/// Fetch emoji, each drawn by several vendors, by the npm client (215 MB).
///
/// An interrupted fetch goes on when the command is run again. LICENCES.md in the folder says what the images may be
/// used for.
#[derive(Args, Debug)]
pub(super) struct EmojiArgs {
    /// Vendors whose images are not free, for private use: apple, facebook, emojione, messenger.
    #[arg(long, value_name = "VENDORS", value_delimiter = ',')]
    with: Vec<String>,
    /// The folder to put them into; $LOSSMITH_DATA/emoji or else .data/emoji when left out.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// Keep the downloaded packages.
    #[arg(long)]
    keep_packages: bool,
}

/// Fetch Fashion-MNIST by apt (30 MB); root is not needed.
#[derive(Args, Debug)]
pub(super) struct FashionMnistArgs {
    /// The folder to put it into; $LOSSMITH_DATA/fashion-mnist or else .data/fashion-mnist when left out.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

pub(super) fn data(command: &DataCommand, json: bool) -> Result<(), CliError> {
    match command {
        DataCommand::List => list(json),
        DataCommand::Fetch(FetchCommand::Emoji(args)) => emoji(args, json),
        DataCommand::Fetch(FetchCommand::FashionMnist(args)) => {
            tell(json, |show| fetch_fashion_mnist(args.directory.as_deref(), show))
        }
    }
}

fn emoji(args: &EmojiArgs, json: bool) -> Result<(), CliError> {
    let default = || places(DataKind::Emoji).into_iter().next().unwrap_or_default();
    let directory = args.directory.clone().unwrap_or_else(default);
    let vendors = FetchEmoji::select(&args.with)?;
    let npm = Path::new("npm");
    let request = FetchEmoji { directory: &directory, vendors: &vendors, npm, keep_packages: args.keep_packages };
    tell(json, |show| fetch_emoji(&request, show))
}

/// Prints each event of a fetch as a line.
fn tell(json: bool, fetch: impl FnOnce(&mut dyn FnMut(FetchEvent)) -> Result<(), FetchError>) -> Result<(), CliError> {
    let mut printed = Ok(());
    let fetched = fetch(&mut |event| {
        if printed.is_ok() {
            printed = print(json, &event);
        }
    });
    fetched?;
    printed
}

fn print(json: bool, event: &FetchEvent) -> Result<(), CliError> {
    output::line(&if json { serde_json::to_string(event).map_err(CliError::json)? } else { event.to_string() })
}

/// A kind of data in the list, and whether it is installed.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct KindSummary {
    kind: DataKind,
    /// Where it is, if it is there.
    path: Option<PathBuf>,
    images: Option<usize>,
    classes: Option<usize>,
    /// What is wrong with what is there.
    error: Option<String>,
    purpose: &'static str,
    remedy: &'static str,
}

impl KindSummary {
    fn new(kind: DataKind) -> Self {
        let (purpose, remedy) = (kind.purpose(), kind.remedy());
        let mut entry = Self { kind, path: None, images: None, classes: None, error: None, purpose, remedy };
        match crate::data::find(kind) {
            Ok(path) => {
                entry.path = Some(path);
                match Dataset::open(&DataConfig::new(kind), 0) {
                    Ok(dataset) => {
                        entry.images = Some(dataset.images());
                        entry.classes = Some(dataset.class_names().len());
                    }
                    Err(error) => entry.error = Some(error.to_string()),
                }
            }
            Err(DataError::NoPath { .. } | DataError::NotInstalled { .. }) => {}
            Err(error) => entry.error = Some(error.to_string()),
        }
        entry
    }

    fn state(&self) -> String {
        match (&self.path, &self.error) {
            (_, Some(error)) => error.clone(),
            (Some(path), None) => {
                let count = |count: Option<usize>| count.unwrap_or_default();
                format!("{} images of {} classes in {}", count(self.images), count(self.classes), path.display())
            }
            (None, None) => "not there".to_owned(),
        }
    }
}

fn list(json: bool) -> Result<(), CliError> {
    let entries: Vec<KindSummary> = DataKind::ALL.into_iter().map(KindSummary::new).collect();
    if json {
        return output::json(&entries);
    }
    for entry in &entries {
        let user_given = places(entry.kind).is_empty();
        let state = if user_given { "given by `data.path`".to_owned() } else { entry.state() };
        output::line(&format!("{:<24} {state}", entry.kind.name()))?;
        output::line(&format!("{:<24} good for: {}", "", entry.purpose))?;
        if entry.images.is_none() {
            output::line(&format!("{:<24} to get it: {}", "", entry.remedy))?;
        }
    }
    Ok(())
}
