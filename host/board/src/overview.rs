//! A run in short, kept up to date as its files grow.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lossmith_run::{
    Curves, Entry, Event, Leaves, Manifest, PluginEntry, Point, RowKind, Run, RunEdit, RunError, Status, Steps, Tail,
    best_of, leaves, reached,
};

/// What the list shows of a run.
#[derive(Debug)]
pub(crate) struct Overview {
    pub(crate) run: Run,
    pub(crate) status: Status,
    /// Epochs and steps that are complete.
    pub(crate) reached: (u64, u64),
    /// The keys of its experiment; none as long as that cannot be read.
    pub(crate) leaves: Option<Leaves>,
    /// The metric that marks its best checkpoint.
    pub(crate) metric: String,
    /// What could not be read of it.
    pub(crate) problem: Option<String>,
    pub(crate) curves: Curves,
    journal: Tail<Entry>,
    /// What its journal says.
    pub(crate) entries: Vec<Entry>,
    /// What it was begun with; none as long as that cannot be read.
    pub(crate) manifest: Option<Manifest>,
}

impl Overview {
    /// Of a run of which nothing was read yet.
    pub(crate) fn new(run: Run) -> Self {
        Self {
            status: Status::Unknown,
            reached: (0, 0),
            leaves: None,
            metric: String::new(),
            problem: None,
            curves: run.curves(Steps::Last),
            journal: run.follow_journal(),
            entries: Vec::new(),
            manifest: None,
            run,
        }
    }

    /// Reads what is new, and says whether something shown changed.
    pub(crate) fn look(&mut self) -> bool {
        let before = (self.status, self.problem.clone());
        let read = self.read();
        self.problem = read.as_ref().err().map(|error| chain(error));
        self.status = Status::of(&self.entries);
        read.unwrap_or_default() || before != (self.status, self.problem.clone())
    }

    fn read(&mut self) -> Result<bool, RunError> {
        let news = self.journal.read()?;
        let mut changed = news.anew || !news.lines.rows.is_empty();
        if news.anew {
            self.entries.clear();
        }
        self.entries.extend(news.lines.rows);
        changed |= self.curves.read()?;
        self.reached = reached(&self.entries, [self.curves.reached()]);
        // They come with the start of a training and stay.
        if self.leaves.is_none()
            && let Ok(text) = self.run.experiment()
        {
            self.leaves = leaves(&text);
            self.metric = self.run.best_metric();
            changed = true;
        }
        if self.manifest.is_none() {
            self.manifest = self.run.manifest().ok();
            changed |= self.manifest.is_some();
        }
        Ok(changed)
    }

    /// The edits while it ran.
    pub(crate) fn edits(&self) -> Vec<RunEdit> {
        let plugins = self.manifest.as_ref().map(|manifest| manifest.plugins.as_slice());
        RunEdit::all(&self.entries, plugins.unwrap_or_default())
    }

    /// Whether its files may still grow.
    pub(crate) fn goes_on(&self) -> bool {
        matches!(self.status, Status::Running | Status::Unknown)
    }

    /// When it began.
    pub(crate) fn started(&self) -> Option<Timestamp> {
        self.entries.first().map(|entry| entry.time)
    }

    /// The components that are at work, or were last.
    pub(crate) fn plugins(&self) -> &[PluginEntry] {
        let last = self.entries.iter().rev().find_map(|entry| match &entry.event {
            Event::Swap { plugins, .. } | Event::Rollback { plugins, .. } => Some(plugins.as_slice()),
            _ => None,
        });
        last.or_else(|| self.manifest.as_ref().map(|manifest| manifest.plugins.as_slice())).unwrap_or_default()
    }

    /// What else can differ between runs: the data, the machine, the versions.
    pub(crate) fn facts(&self) -> BTreeMap<&'static str, String> {
        let Some(manifest) = &self.manifest else { return BTreeMap::new() };
        let versions = &manifest.versions;
        BTreeMap::from([
            ("data", manifest.data.clone()),
            ("device", format!("{}, {} threads", manifest.device, manifest.threads)),
            ("commit", manifest.commit.clone().unwrap_or_default()),
            ("versions", format!("lossmith {}, libtorch {}", versions.lossmith, versions.libtorch)),
        ])
    }

    /// How often an edit became live.
    pub(crate) fn swaps(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.event, Event::Swap { .. })).count()
    }

    /// The values of a metric over the epochs; of the loss, the means of the epochs.
    pub(crate) fn points(&self, metric: &str) -> &[Point] {
        let kinds = [RowKind::Evaluation, RowKind::Epoch];
        kinds
            .map(|kind| self.curves.get(kind, metric))
            .into_iter()
            .find(|points| !points.is_empty())
            .unwrap_or_default()
    }

    /// The last value of a metric; of what only steps have, the one of the last step.
    pub(crate) fn last(&self, metric: &str) -> Option<f64> {
        let step = || self.curves.get(RowKind::Step, metric).last();
        self.points(metric).last().or_else(step).map(|point| point.value)
    }

    /// The best value of a metric, with the epochs that were complete.
    pub(crate) fn best(&self, metric: &str) -> Option<(u64, f64)> {
        best_of(metric, self.points(metric).iter().map(|point| (point.epoch, point.value)))
    }
}

/// An error with what caused it, in a line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
