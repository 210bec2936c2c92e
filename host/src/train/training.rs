//! A training from its first step to its last: the loop over epochs and steps.
//!
//! What is at work are its parts, each with an invariant of its own; here they only meet. What is done after a step or
//! between two epochs is one [`Decision`], made in `decide.rs`.

mod begin;
mod decide;
mod evaluation;
mod orders;
mod reconfigure;
mod rollback;
mod swap;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use lossmith_plugin::{Level, Role, Runtime};

use super::assembly::device_name;
use super::checkpoints::{Checkpoints, best_metric};
use super::decision::{Decision, Moment, Reason};
use super::event::{End, TrainingEvent};
use super::interrupts::Interrupts;
use super::lead::Lead;
use super::metrics::Metrics;
use super::revisions::Revisions;
use super::state::{Looks, TrainingState};
use super::training_error::TrainingError;
use crate::data::SamplerConfig;
use crate::ranks::{Ranks, Wish};
use crate::run::{self, RowKind, Run};
use crate::session::{Command, Seen, Session};
use crate::teacher::Teacher;

pub(super) use begin::teacher;

pub use begin::Origin;
pub use reconfigure::extends;

/// A training that is loaded and ready to go.
pub struct Training {
    runtime: Arc<Runtime>,
    teacher: Option<Teacher>,
    state: TrainingState,
    checkpoints: Checkpoints,
    revisions: Revisions,
    metrics: Metrics,
    session: Option<Session>,
    /// What the other ranks are told, where several train together.
    lead: Option<Lead>,
    /// The command that waits for a checkpoint.
    checkpoint_asked: Option<Command>,
    /// The command that waits for the weights before the revision at work.
    rollback_asked: Option<Command>,
    /// The files as they were before the first build of the plugins; `None` of a run that goes on.
    seen: Option<Seen>,
    /// Whether it goes on with a run: files may have changed since that began.
    resumed: bool,
    /// To be told when the next epoch begins.
    warnings: Vec<String>,
    /// Whether it was told that nothing trains the fusion.
    fusion_told: bool,
}

/// How the loop goes on after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// With what is next.
    On,
    /// With the state before the revision at work.
    Back,
    /// Not at all.
    End(End),
}

impl Training {
    /// The run's folder.
    #[must_use]
    pub fn run(&self) -> &Run {
        self.checkpoints.run()
    }

    /// Trains together with others from now on, as rank 0.
    ///
    /// # Errors
    /// The experiment cannot be trained by so many.
    pub fn lead(&mut self, ranks: &Arc<Ranks>) -> Result<(), TrainingError> {
        self.state.join(ranks)?;
        self.run().record(run::Event::Ranks { size: ranks.share().size() })?;
        self.lead = Some(Lead::new(ranks));
        Ok(())
    }

    /// Trains until the last epoch, or until a signal stops it: then the step is finished and the state is saved.
    ///
    /// # Errors
    /// What went wrong. The state before the failing step is saved, as far as the disk allows.
    pub fn train(
        &mut self,
        interrupts: &Interrupts,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<End, TrainingError> {
        self.run().record(run::Event::Started { process: run::Process::current() })?;
        self.checkpoints.claim();
        self.tell_start(watch);
        self.state.start_clock();
        let ended = self.epochs(interrupts, watch);
        interrupts.set_unsaved(self.unsaved());
        self.drop_staged(watch);
        match ended {
            Ok(end) => {
                if let Some(lead) = &self.lead {
                    lead.dismiss();
                }
                let (epoch, step) = (self.state.epoch(), self.state.step());
                self.run().record(match end {
                    End::Finished => run::Event::Finished { epoch, step },
                    End::Interrupted => run::Event::Interrupted { epoch, step },
                })?;
                self.metrics.sync()?;
                watch(TrainingEvent::Ended(end));
                Ok(end)
            }
            Err(error) => {
                // The first error is the one to tell; saving is tried, and a full disk may refuse it. Weights that may
                // have learned from a loss that is not finite are not worth it, and a checkpoint of this very step is
                // better: the failed step has updated running means. Where the record could not be written, it lacks
                // what the state has. With a rank lost in the middle of a step the last checkpoint is the one that goes
                // on to the same bits.
                let unsaved = !self.checkpoints.has(self.state.step());
                let good =
                    !matches!(error, TrainingError::Loss { .. } | TrainingError::Run(_) | TrainingError::Ranks(_));
                if good && unsaved {
                    let _ = self.checkpoint();
                }
                let _ = self.run().record(run::Event::Failed { error: error.to_string() });
                Err(error)
            }
        }
    }

    /// Tells what is trained, and what somebody should know of it.
    fn tell_start(&mut self, watch: &mut dyn FnMut(TrainingEvent<'_>)) {
        let assembly = self.state.assembly();
        watch(TrainingEvent::Ready {
            run: self.run().path().to_owned(),
            data: Box::new(assembly.dataset.summary()),
            device: device_name(assembly.device),
            parameters: assembly.model.parameter_count(),
            // Later the weights are those of a checkpoint.
            weights: assembly.model.loaded().filter(|_| self.state.step() == 0).map(str::to_owned),
            bound: self.state.bound(),
            teacher: self.teacher.as_ref().map(Teacher::summary),
            epochs: assembly.experiment.epochs,
            steps: self.state.steps(),
            from_step: self.state.step(),
        });
        for slot in self.empty_halves() {
            let text = "a batch has one image of each class, so there are no pairs of one class to learn from; raise \
                `sampler.samples` or `sampler.views`";
            watch(TrainingEvent::Line { slot, level: Level::Warn, text: text.to_owned() });
        }
        let images = self.state.batch_size();
        if self.state.experiment().training.micro_batch.is_some_and(|most| images <= most.get()) {
            let text = format!("a batch has {images} images: it is not divided");
            watch(TrainingEvent::Line { slot: "training.micro-batch".to_owned(), level: Level::Warn, text });
        }
        self.warn(watch);
        for text in self.state.assembly().data_warnings() {
            watch(TrainingEvent::Line { slot: "data".to_owned(), level: Level::Warn, text });
        }
    }

    fn epochs(
        &mut self,
        interrupts: &Interrupts,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<End, TrainingError> {
        self.make_up(watch)?;
        loop {
            let course = match self.between_epochs(interrupts, watch)? {
                Course::On => match self.epoch(interrupts, watch) {
                    Ok(course) => course,
                    Err(error) => {
                        self.roll_back(error, watch)?;
                        Course::On
                    }
                },
                course @ (Course::Back | Course::End(_)) => course,
            };
            match course {
                Course::On => {}
                Course::Back => self.revert_weights(watch)?,
                Course::End(end) => return Ok(end),
            }
        }
    }

    fn between_epochs(
        &mut self,
        interrupts: &Interrupts,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<Course, TrainingError> {
        if self.state.inside() != 0 {
            return self.proceed(Moment::Inside, interrupts, watch);
        }
        self.warn(watch);
        self.proceed(Moment::Boundary, interrupts, watch)
    }

    /// The steps of an epoch that are not complete yet, and what it came to.
    fn epoch(
        &mut self,
        interrupts: &Interrupts,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<Course, TrainingError> {
        let begun = Instant::now();
        let epoch = self.state.epoch();
        let steps = self.state.steps();
        let skipped = self.state.done(epoch, steps);
        if let Some(lead) = &mut self.lead {
            lead.epoch(&self.state, self.checkpoints.run())?;
        }
        if skipped == 0 {
            self.metrics.begin_epoch();
        }
        let mut logged = skipped - skipped % self.state.experiment().run.log_every.get() as u64;
        for batch in self.state.load(epoch, skipped, self.teacher.as_ref())? {
            let batch = batch?;
            if let Some(lead) = &mut self.lead {
                lead.step(epoch, self.state.done(epoch, steps), self.metrics.last())?;
            }
            let Self { state, teacher, revisions, session, metrics, .. } = self;
            let progress = state.progress(epoch, steps, metrics.last());
            let looks = Looks { revisions: Some(revisions), session: session.as_mut() };
            let mut wish = Wish::default();
            let measured = state.train(&batch, &progress, teacher.as_ref(), looks, &mut wish, watch)?;
            // Signals that other ranks got.
            if wish.stop {
                interrupts.stop();
            }
            if wish.save {
                interrupts.save();
            }
            // The last values are written to where nobody else holds them.
            drop(progress);
            self.metrics.add(&measured)?;
            interrupts.set_unsaved(self.unsaved());
            let (step, done) = (self.state.step(), self.state.done(epoch, steps));
            let mut loss = None;
            if self.state.logs(done, steps) {
                loss = self.metrics.end_interval(epoch, step, done - logged)?;
                logged = done;
            }
            self.revisions.end_probation(step, done == steps);
            let epochs = self.state.experiment().epochs;
            let images = self.state.batch_size();
            watch(TrainingEvent::Step { epoch, epochs, step: done, images, loss });
            self.report(loss);
            if done < steps {
                match self.proceed(Moment::Step(done), interrupts, watch)? {
                    Course::On => {}
                    course @ (Course::Back | Course::End(_)) => return Ok(course),
                }
            }
        }
        if let Some(lead) = &self.lead {
            let text = lead.cost(steps - skipped, begun.elapsed());
            watch(TrainingEvent::Line { slot: "ranks".to_owned(), level: Level::Info, text });
        }
        self.end_epoch(begun, watch)?;
        Ok(Course::On)
    }

    /// Does what is decided at a moment, until the training goes on, goes back or ends.
    fn proceed(
        &mut self,
        mut moment: Moment,
        interrupts: &Interrupts,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<Course, TrainingError> {
        loop {
            match self.decide(moment, interrupts, watch)? {
                Decision::GoOn => return Ok(Course::On),
                Decision::Pause => {}
                Decision::Checkpoint(Reason::Interval) => drop(self.checkpoint()?),
                Decision::Checkpoint(Reason::Signal) => self.save_for_signal(interrupts, watch),
                Decision::Checkpoint(Reason::Command) => self.save_for_command(watch),
                Decision::Follow(revision) => {
                    self.follow(revision, watch)?;
                    moment = Moment::Swapped;
                }
                Decision::Take => {
                    self.take(watch)?;
                    moment = Moment::Swapped;
                }
                Decision::GoBack => return Ok(Course::Back),
                Decision::Stop => {
                    match moment {
                        Moment::Step(_) => drop(self.checkpoint()?),
                        Moment::Boundary | Moment::Swapped | Moment::Inside => self.way_back()?,
                    }
                    return Ok(Course::End(End::Interrupted));
                }
                Decision::Leave => return Ok(Course::End(End::Interrupted)),
                Decision::StopEarly => {
                    self.stop_early(watch)?;
                    return self.finish(watch);
                }
                Decision::Finish => return self.finish(watch),
            }
        }
    }

    /// Writes down what an epoch came to, and measures it.
    fn end_epoch(&mut self, begun: Instant, watch: &mut dyn FnMut(TrainingEvent<'_>)) -> Result<(), TrainingError> {
        let means = self.metrics.end_epoch()?;
        let loss = means.get("loss").copied().unwrap_or(f64::NAN);
        if means.get("gradient-norm") == Some(&0.0) {
            let text = "the gradient was 0 in every step of this epoch: nothing was learned";
            watch(TrainingEvent::Line { slot: "training".to_owned(), level: Level::Warn, text: text.to_owned() });
        }
        self.write(RowKind::Epoch, self.state.epoch(), means)?;
        self.measure(loss, begun, watch)
    }

    /// Says why the training ends before its last epoch.
    fn stop_early(&self, watch: &mut dyn FnMut(TrainingEvent<'_>)) -> Result<(), TrainingError> {
        let event = run::Event::StoppedEarly {
            epoch: self.state.epoch(),
            step: self.state.step(),
            metric: best_metric(&self.state.experiment().evaluation),
            evaluations: self.checkpoints.stale() as u64,
        };
        let line =
            TrainingEvent::Line { slot: "evaluation.patience".to_owned(), level: Level::Info, text: event.to_string() };
        watch(line);
        Ok(self.run().record(event)?)
    }

    /// Measures the test part, and keeps no checkpoints to go back to.
    fn finish(&mut self, watch: &mut dyn FnMut(TrainingEvent<'_>)) -> Result<Course, TrainingError> {
        self.test(watch)?;
        self.checkpoints.prune(self.state.experiment())?;
        Ok(Course::End(End::Finished))
    }

    /// Writes everything that a later process needs to go on.
    fn checkpoint(&mut self) -> Result<PathBuf, TrainingError> {
        self.checkpoints.save(&self.state, &self.metrics, &self.revisions)
    }

    /// Writes the checkpoint of an epoch. `best` is its metric if that is the best so far.
    fn save_epoch(&mut self, best: Option<f64>) -> Result<(), TrainingError> {
        let warning = self.checkpoints.save_epoch(best, &self.state, &self.metrics, &self.revisions)?;
        self.warnings.extend(warning);
        Ok(())
    }

    /// Makes sure that this moment can be gone back to.
    fn way_back(&mut self) -> Result<(), TrainingError> {
        if self.checkpoints.has(self.state.step()) { Ok(()) } else { self.save_epoch(None) }
    }

    /// Steps that no checkpoint has.
    fn unsaved(&self) -> u64 {
        self.checkpoints.unsaved(self.state.step())
    }

    /// Writes a row of metrics of the present step.
    fn write(&mut self, kind: RowKind, epoch: u64, values: BTreeMap<String, f64>) -> Result<(), TrainingError> {
        Ok(self.metrics.write(kind, epoch, self.state.step(), values)?)
    }

    /// Tells what is to be told.
    fn warn(&mut self, watch: &mut dyn FnMut(TrainingEvent<'_>)) {
        for text in std::mem::take(&mut self.warnings) {
            watch(TrainingEvent::Line { slot: "session".to_owned(), level: Level::Warn, text });
        }
    }

    /// The transfers whose intra-class half is empty in every batch.
    fn empty_halves(&self) -> Vec<String> {
        let transfers = self.state.bound().iter().filter(|bound| bound.role == Role::Transfer);
        let SamplerConfig { samples, views, .. } = self.state.experiment().sampler;
        let empty = samples * views == 1;
        transfers.filter(|_| empty).map(|bound| bound.slot.clone()).collect()
    }

    /// Writes an event into the journal and tells it. A journal that cannot be written does not end the training:
    /// nothing that it goes on from is only there.
    fn note(&mut self, event: run::Event, watch: &mut dyn FnMut(TrainingEvent<'_>)) {
        self.tell(&event, None, watch);
        if let Err(error) = self.run().record(event) {
            let text = format!("this is not in the journal: {error}");
            watch(TrainingEvent::Line { slot: "session".to_owned(), level: Level::Warn, text });
        }
    }

    /// Tells an event of the journal, also to those who ask for the status. `milliseconds` is how long it took.
    fn tell(&self, event: &run::Event, milliseconds: Option<f64>, watch: &mut dyn FnMut(TrainingEvent<'_>)) {
        watch(TrainingEvent::Session { event, milliseconds });
        if let Some(session) = &self.session {
            session.tell(event.to_string());
        }
    }
}
