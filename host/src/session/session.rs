//! The session of a training: its messages, the queue of what is asked for, and whether it waits.

// A new request must not be served as another one.
#![deny(clippy::wildcard_enum_match_arm)]

use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lossmith_plugin::candidate::Sample;
use lossmith_plugin::objective::Batch;
use lossmith_plugin::{Progress, Runtime};
use tch::{Device, TchError};

use super::candidate::{Job, Live, Wanted, brought};
use super::command::Command;
use super::control::{ControlError, Request, Response, Server, Snapshot};
use super::error::SessionError;
use super::files::followed;
use super::gate::Gate;
use super::message::Mail;
use super::order::Order;
use super::queue::{Proposal, Queue, Waiting};
use super::reverted_files::left_behind;
use super::watch::{Followed, Seen, Watcher};
use crate::experiment::Experiment;
use crate::objective::{Bound, ObjectiveError};
use crate::run::{Edit, Run, Verdict};
use crate::standard::Standard;
use crate::toolchain::UnderWay;

/// How often a paused training looks for Ctrl-C.
const GLANCE: Duration = Duration::from_millis(100);
/// How many of the last events a status tells.
const EVENTS: usize = 10;

/// The session of a training.
pub struct Session {
    mail: Receiver<Mail>,
    sender: Sender<Mail>,
    gate: Gate,
    watcher: Option<Watcher>,
    /// Answers until it is dropped; none where the file system has no sockets.
    _server: Option<Server>,
    /// Why there is none, until that is told.
    warning: Option<String>,
    snapshot: Arc<Mutex<Snapshot>>,
    standard: Standard,
    /// Whether the training waits.
    paused: bool,
    /// Whether the gate is at work.
    busy: bool,
    /// What the gate builds.
    under_way: UnderWay,
    queue: Queue,
    /// The number of the next candidate.
    number: u64,
    /// A batch of the run; `None` before the first step.
    sample: Option<Sample>,
}

impl Session {
    /// Starts the gate and listens for commands. Bare names of plugins are looked for as `standard` says.
    ///
    /// # Errors
    /// Another process controls the run, or the system refuses something.
    pub fn start(run: &Run, runtime: Arc<Runtime>, device: Device, standard: &Standard) -> Result<Self, SessionError> {
        let (sender, mail) = mpsc::channel();
        let under_way = UnderWay::default();
        let gate = Gate::start(runtime, device, standard.clone(), run.clone(), sender.clone(), under_way.clone());
        let gate = gate.map_err(SessionError::Thread)?;
        let snapshot =
            Arc::new(Mutex::new(Snapshot { run: run.name(), process: std::process::id(), ..Snapshot::default() }));
        let (told, commands) = ((Arc::clone(&snapshot), under_way.clone()), Mutex::new(sender.clone()));
        let server = Server::start(run.path(), move |request| {
            if request == Request::Status {
                return status(&told.0, &told.1);
            }
            let (client, answered) = mpsc::channel();
            let asked = Mail::Command(Command::new(request, client));
            let sent = commands.lock().unwrap_or_else(PoisonError::into_inner).send(asked);
            let answer = sent.ok().and_then(|()| answered.recv().ok());
            answer.unwrap_or_else(|| Response::Refused { text: "the training has ended".into(), help: None })
        });
        let (server, warning) = match server {
            Ok(server) => (Some(server), None),
            Err(error @ ControlError::InUse { .. }) => return Err(error.into()),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                (None, Some(format!("`lossmith session` cannot reach this training: {error}{cause}")))
            }
        };
        Ok(Self {
            mail,
            sender,
            gate,
            watcher: None,
            _server: server,
            warning,
            snapshot,
            standard: standard.clone(),
            paused: false,
            busy: false,
            under_way,
            queue: Queue::default(),
            number: run.next_candidate()?,
            sample: None,
        })
    }

    /// Follows the experiment file and the components from now on, or since they were `seen`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn watch(&mut self, file: &Path, experiment: &Experiment, seen: Option<Seen>) -> Result<(), SessionError> {
        let now = || Seen::now(followed(file, experiment, &self.standard));
        let seen = seen.map_or_else(now, Seen::with_new_locks);
        let quiet = Duration::from_millis(experiment.session.quiet_ms.get());
        let (sender, under_way) = (self.sender.clone(), self.under_way.clone());
        self.watcher = Some(Watcher::start(seen, quiet, move |changed| {
            let (round, of_file) = (under_way.round(), |changed: &Followed| matches!(changed, Followed::File(_)));
            let a_file_changed = changed.iter().any(of_file);
            // Nobody reads when the training has ended.
            let _ = sender.send(Mail::Changed(changed));
            // A build of what is not there any more may never end.
            match a_file_changed {
                true => under_way.abandon(round),
                false => under_way.abandon_if_changed(round),
            }
        })?);
        Ok(())
    }

    /// Whether files are followed.
    #[must_use]
    pub fn watches(&self) -> bool {
        self.watcher.is_some()
    }

    /// Follows the files of this experiment in place of those before.
    pub fn follow_experiment(&self, file: &Path, experiment: &Experiment) {
        self.follow(followed(file, experiment, &self.standard));
    }

    fn follow(&self, followed: Vec<Followed>) {
        if let Some(watcher) = &self.watcher {
            watcher.follow(followed);
        }
    }

    /// Why commands cannot reach the training, if they cannot and that was not told yet.
    #[must_use]
    pub fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// Which files differ from a revision of the run that is live: the experiment `file` with its settings and these
    /// edits by commands, and the components or sources of these strategies.
    #[must_use]
    pub fn left_behind(
        &self,
        run: &Run,
        file: (&Path, &[String]),
        edits: &[Edit],
        experiment: &Experiment,
        bound: &[Bound],
    ) -> Vec<String> {
        left_behind(run, &self.standard, file, edits, experiment, bound)
    }

    /// Whether the training waits.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// The next message; a paused training waits for it a while.
    #[must_use]
    pub fn receive(&self) -> Option<Mail> {
        if !self.paused {
            return self.mail.try_recv().ok();
        }
        self.mail.recv_timeout(GLANCE).ok()
    }

    /// Takes in a message: what the training is to do at once. What asks for a candidate waits until [`Session::next`]
    /// is asked.
    #[must_use]
    pub fn take(&mut self, mail: Mail) -> Option<Order> {
        match mail {
            Mail::Changed(followed) => {
                self.queue.add_files(followed.iter().map(name));
                None
            }
            Mail::Checked(mut checked) => {
                self.busy = false;
                if let Some(followed) = checked.followed.take() {
                    self.follow(followed);
                }
                // The files that changed are looked at first, then the command again.
                if checked.verdict == Verdict::Superseded
                    && let Some(command) = checked.asked.take()
                {
                    self.queue.put_back(command);
                }
                Some(Order::Judge(checked))
            }
            Mail::Command(asked) => self.ask(asked),
        }
    }

    fn ask(&mut self, asked: Command) -> Option<Order> {
        match asked.request() {
            Request::Pause => {
                self.paused = true;
                return Some(Order::Pause(asked));
            }
            Request::Resume => {
                self.paused = false;
                return Some(Order::Resume(asked));
            }
            Request::Stop => {
                self.paused = false;
                return Some(Order::Stop(asked));
            }
            Request::Checkpoint => return Some(Order::Checkpoint(asked)),
            Request::Revert { weights: true } => return Some(Order::GoBack(asked)),
            Request::Status => asked.answer(status(&self.snapshot, &self.under_way)),
            Request::Set { .. } | Request::Promote { .. } | Request::Revert { weights: false } => {
                self.queue.push(asked)
            }
        }
        None
    }

    /// What is asked for next, if the gate is free and there is something: files that have changed, or else the oldest
    /// command. Nothing before there is a sample.
    ///
    /// # Errors
    /// What libtorch says of the copies of what the strategies keep.
    pub fn next(&mut self, live: &Live<'_>) -> Result<Option<Order>, ObjectiveError> {
        let Some(sample) = self.sample.as_ref().filter(|_| !self.busy) else { return Ok(None) };
        let (mut edits, settled) = (live.edits.to_vec(), live.edits.len());
        let (origin, wanted, brought, asked) = match self.queue.take() {
            None => return Ok(None),
            Some(Waiting::Changed(names)) => (names.join(", "), Wanted::Edited(live.base.clone(), edits), None, None),
            Some(Waiting::Command(proposal, asked)) => {
                let (wanted, states) = match proposal {
                    Proposal::Set(sets) => {
                        edits.extend(sets.into_iter().map(Edit::Set));
                        (Wanted::Edited(live.base.clone(), edits), None)
                    }
                    Proposal::Promote(name) => {
                        let shadow = live.strategies.shadows.iter().find(|shadow| shadow.config.name == name);
                        let states = shadow.map(brought).transpose()?;
                        edits.push(Edit::Promote(name));
                        (Wanted::Edited(live.base.clone(), edits), states)
                    }
                    Proposal::Revert => match live.before {
                        Some(revision) => (Wanted::Revision(revision), None),
                        None => {
                            let reason = "the run trains with what it began with".to_owned();
                            return Ok(Some(Order::Refuse { asked, reason }));
                        }
                    },
                };
                (asked.text(), wanted, states, Some(asked))
            }
        };
        let number = self.number;
        self.number += 1;
        let job = Box::new(Job {
            number,
            wanted,
            settled,
            revision: live.revision,
            live: live.experiment.clone(),
            bound: live.strategies.bound.clone(),
            reread: self.watcher.is_some(),
            quarantine: live.quarantine.clone(),
            sample: sample.shallow_clone(),
            states: live.strategies.objectives.copy_states()?,
            brought,
            asked,
            begun: Instant::now(),
        });
        Ok(Some(Order::Check { origin, job }))
    }

    /// Hands a job to the gate. False if its thread is gone.
    pub fn check(&mut self, job: Box<Job>) -> bool {
        self.busy = self.gate.check(job);
        self.busy
    }

    /// Asks for a candidate of the files as they are, as if they had changed. `why` is where it comes from, in words.
    pub fn look_again(&mut self, why: &str) {
        self.queue.add_files([why.to_owned()]);
    }

    /// Keeps handles of a batch for the checks of candidates.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn remember(&mut self, batch: &Batch, progress: &Progress) -> Result<(), TchError> {
        self.sample = Some(Sample { batch: batch.detached()?, progress: progress.clone() });
        Ok(())
    }

    /// The training went back to here. The batch serves for checks as well as another; the steps that led to it were
    /// undone.
    pub fn went_back(&mut self, progress: Progress) {
        if let Some(sample) = &mut self.sample {
            sample.progress = progress;
        }
    }

    /// Renews what a status tells. `staged` is the number of the candidate that waits for the next epoch.
    pub fn report(&self, staged: Option<u64>, change: impl FnOnce(&mut Snapshot)) {
        self.update(|snapshot| {
            snapshot.paused = self.paused;
            snapshot.candidate = match (staged, self.busy) {
                (_, true) => Some(format!("{} is being checked", self.number.saturating_sub(1))),
                (Some(staged), false) => Some(format!("{staged} is accepted")),
                (None, false) => None,
            };
            change(snapshot);
        });
    }

    fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.snapshot.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Adds to the last events that a status tells.
    pub fn tell(&self, text: String) {
        self.update(|snapshot| {
            snapshot.events.push(text);
            let old = snapshot.events.len().saturating_sub(EVENTS);
            snapshot.events.drain(..old);
        });
    }
}

/// The answer to somebody who wants to know how it stands with the training, and with what is built beside it.
fn status(snapshot: &Mutex<Snapshot>, under_way: &UnderWay) -> Response {
    let mut snapshot = snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some((directory, time)) = under_way.building() {
        let candidate = snapshot.candidate.map(|candidate| format!("{candidate}: ")).unwrap_or_default();
        let building = format!("the plugin in {} is being built, for {} s now", directory.display(), time.as_secs());
        snapshot.candidate = Some(candidate + &building);
    }
    Response::Status { snapshot: Box::new(snapshot) }
}

/// The name of what is followed, for people.
fn name(followed: &Followed) -> String {
    let (Followed::File(path) | Followed::Sources(path)) = followed;
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
