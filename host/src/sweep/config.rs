//! The keys of a sweep file.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::vary::{OneOrMore, SearchConfig, VaryConfig, one_or_more};

/// A sweep: one experiment in several settings, by several methods, with several seeds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SweepConfig {
    /// Name of the sweep; the names of its runs begin with it.
    pub name: String,
    /// The experiment that all runs start from; relative to this file.
    pub experiment: PathBuf,
    /// The folder of the runs; relative to where the command is started, as `run.directory` is.
    pub directory: PathBuf,
    /// The seeds that every chosen method is trained with.
    pub seeds: Vec<u64>,
    /// How many of the seeds, from the first on, choose the value of `vary`. Default: all.
    #[serde(default)]
    pub selection_seeds: Option<usize>,
    /// Trains each run once for each of so many folds of the subjects, at least 2: with `data.split = "subject-folds"`,
    /// `data.folds` and `data.fold` set. What a seed reached is the mean over its folds. Default: no folds.
    #[serde(default)]
    pub folds: Option<usize>,
    /// A metric of the validation part that is measured for each class, such as `linear-accuracy`: a second curve shows
    /// it class by class for the first method of a setting that varies a number. Default: none.
    #[serde(default)]
    pub per_class: Option<String>,
    /// The metric of the validation part that chooses, of the best checkpoint. Larger is better, but for
    /// `distance-ratio`. Default `map-at-r`.
    #[serde(default = "map_at_r")]
    pub select: String,
    /// Metrics of the test part in the table. Default `precision-at-1`, `r-precision`, `map-at-r`.
    #[serde(default = "reported")]
    pub report: Vec<String>,
    /// Training metrics in the table: their means over the last epoch, as the run's metrics name them. Default: none.
    #[serde(default)]
    pub train_metrics: Vec<String>,
    /// A method; the table has each other method's difference to it, seed by seed. Default: none.
    #[serde(default)]
    pub baseline: Option<String>,
    /// Changes of the experiment in every run but the prepared ones, as those of `--set`; relative paths start beside
    /// this file. A `{NAME}` in a change, here or below, becomes the folder of the prepared run of that name.
    #[serde(default)]
    pub set: Vec<String>,
    /// Runs that are made first, once, such as a teacher.
    #[serde(default)]
    pub prepare: Vec<PrepareConfig>,
    /// Ends each run but the prepared ones after so many evaluations in a row without a better one, at least 1, by the
    /// metric `evaluation.best` of its experiment: it sets `evaluation.patience`. Default: as the experiment says.
    #[serde(default)]
    pub patience: Option<NonZeroUsize>,
    /// What the table is grouped by. Default: one table of all.
    #[serde(default)]
    pub setting: Vec<SettingConfig>,
    /// What is compared.
    pub method: Vec<MethodConfig>,
}

/// A run that is made first.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PrepareConfig {
    /// Its name; `{NAME}` in a change stands for the run's folder.
    pub name: String,
    /// Its experiment; relative to this file. It has its own seed, and measures its test part if its experiment says
    /// so.
    pub experiment: PathBuf,
    /// Changes of the experiment, as those of `--set`; may name runs that are prepared before it.
    #[serde(default)]
    pub set: Vec<String>,
}

/// A setting: a part of the table.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SettingConfig {
    /// Its name.
    pub name: String,
    /// Changes of the experiment, as those of `--set`.
    #[serde(default)]
    pub set: Vec<String>,
}

/// A method: a row of the table in each setting.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MethodConfig {
    /// Its name.
    pub name: String,
    /// Changes of the experiment, as those of `--set`, after those of the setting.
    #[serde(default)]
    pub set: Vec<String>,
    /// The settings in which it takes part. Default: all.
    #[serde(default)]
    pub only: Option<Vec<String>>,
    /// A key of which the best value is chosen on the validation part, in each setting by itself; or a list of keys, of
    /// which the best combination is chosen: every one is tried. Default: nothing varies.
    #[serde(default, deserialize_with = "one_or_more")]
    #[schemars(with = "Option<OneOrMore>")]
    pub vary: Vec<VaryConfig>,
    /// Combinations are drawn at random in place of trying every one. Default: every one is tried.
    #[serde(default)]
    pub search: Option<SearchConfig>,
}

fn map_at_r() -> String {
    "map-at-r".to_owned()
}

fn reported() -> Vec<String> {
    ["precision-at-1", "r-precision", "map-at-r"].map(str::to_owned).to_vec()
}
