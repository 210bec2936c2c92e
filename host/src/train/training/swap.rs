//! A revision takes over: the accepted candidate, or the one that a journal has for this step.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Training;
use crate::run::{self, Verdict};
use crate::session::{Staged, entries};
use crate::train::event::TrainingEvent;
use crate::train::training_error::TrainingError;

impl Training {
    /// The accepted candidate takes over.
    pub(super) fn take(&mut self, watch: &mut dyn FnMut(TrainingEvent<'_>)) -> Result<(), TrainingError> {
        let Some(staged) = self.revisions.take_staged() else { return Ok(()) };
        if let Some(reason) = self.lead.as_ref().map_or(Ok(None), |lead| lead.refusal(&staged))? {
            let verdict = Verdict::Refused { reason, help: Some("all ranks must be able to take it".into()) };
            self.note(run::Event::Verdict { number: staged.number, verdict }, watch);
            return Ok(());
        }
        self.way_back()?;
        let swap = run::Event::Swap {
            revision: staged.number,
            epoch: self.state.epoch(),
            step: self.state.step(),
            changes: staged.changes.clone(),
            plugins: staged.about.plugins.clone(),
        };
        let begun = Instant::now();
        if let Err(error) = self.run().record(swap.clone()) {
            // A revision that the journal does not have could not be resumed. What is at work goes on.
            let reason = format!("it cannot be recorded: {error}");
            let verdict =
                Verdict::Refused { reason, help: Some("make room on that disk and save the file again".into()) };
            self.note(run::Event::Verdict { number: staged.number, verdict }, watch);
            return Ok(());
        }
        self.swap(staged)?;
        self.tell(&swap, Some(begun.elapsed().as_secs_f64() * 1e3), watch);
        Ok(())
    }

    /// A revision takes over as it did in the run that scripts this one.
    pub(super) fn follow(
        &mut self,
        number: u64,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<(), TrainingError> {
        self.way_back()?;
        let from = self.revisions.scripted_by().clone();
        let mut revision = from.revision(number)?;
        let mut state = run::revision_state(&revision)?;
        let (source, experiment, mut strategies) = self.revisions.load(&from, number, &self.state, &self.runtime)?;
        let mut brought = None;
        if self.revisions.is_known(number) {
            // On the way back nothing begins anew: what is kept is what it had.
            state = None;
            revision.about.reset.clear();
        }
        if let Some(state) = &state {
            strategies.objectives.load_state(state)?;
            let places: BTreeSet<_> =
                state.keys().filter_map(|name| name.split('/').next()).map(str::to_owned).collect();
            let mut states = strategies.objectives.take_states();
            states.retain(|place, _| places.contains(place));
            brought = Some(states);
        }
        let about = revision.about;
        let plugins = entries(&strategies.bound);
        if from != *self.run() {
            for bound in &strategies.bound {
                bound.keep_in(self.run())?;
            }
            self.run().copy_sources(&from, strategies.bound.iter().map(|bound| bound.plugin.hash.as_str()))?;
            run::store_revision(self.run(), number, &experiment.to_toml()?, &about, state.as_ref())?;
            let (epoch, step, changes) = (self.state.epoch(), self.state.step(), Vec::new());
            let swap = run::Event::Swap { revision: number, epoch, step, changes, plugins };
            self.run().record(swap.clone())?;
            watch(TrainingEvent::Session { event: &swap, milliseconds: None });
        }
        let (live, changes) = (self.revisions.revision(), Vec::new());
        self.swap(Staged { number, revision: live, source, experiment, strategies, about, changes, brought })
    }

    /// Exchanges experiment and strategies. What the slots keep, the optimizer's memory and the random streams go on.
    fn swap(&mut self, staged: Staged) -> Result<(), TrainingError> {
        let Staged { number, source, experiment, strategies, about, brought, .. } = staged;
        self.revisions.edited(&about.edits, &source);
        let previous = self.state.exchange(experiment, strategies, &about.reset, brought)?;
        let (step, epoch) = (self.state.step(), self.state.epoch());
        self.revisions.took(number, epoch, previous);
        if let Some(lead) = &mut self.lead {
            lead.leave_behind();
        }
        self.follow_files();
        self.revisions.begin_probation(step, self.state.experiment().session.probation_steps);
        Ok(())
    }
}
