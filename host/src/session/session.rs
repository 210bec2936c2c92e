//! What is around a training: the watcher of files, the gate, the commands from outside, and the mail from all of them.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lossmith_plugin::Runtime;
use tch::Device;

use super::candidate::Job;
use super::control::{ControlError, Request, Response, Server, Snapshot};
use super::error::SessionError;
use super::files::followed;
use super::gate::Gate;
use super::left_behind::left_behind;
use super::message::Mail;
use super::watch::{Followed, Seen, Watcher};
use crate::experiment::Experiment;
use crate::objective::Bound;
use crate::run::{Edit, Run};
use crate::standard::Standard;

/// How often a paused training looks for Ctrl-C.
const GLANCE: Duration = Duration::from_millis(100);
/// How many of the last events a status tells.
const EVENTS: usize = 10;

/// The surroundings of a training.
pub struct Session {
    mail: Receiver<Mail>,
    sender: Sender<Mail>,
    gate: Gate,
    watcher: Option<Watcher>,
    /// Answers until it is dropped; none where the file system has no sockets.
    _server: Option<Server>,
    /// Why there is none.
    pub warning: Option<String>,
    snapshot: Arc<Mutex<Snapshot>>,
    standard: Standard,
    /// Whether the training waits.
    pub paused: bool,
    /// Whether the gate is at work.
    pub busy: bool,
    /// Names of files that have changed since they were last read.
    pub changed: BTreeSet<String>,
    /// Edits by commands that wait for the gate.
    pub queue: VecDeque<(Request, Sender<Response>)>,
    /// The number of the next candidate.
    pub next: u64,
}

impl Session {
    /// Starts the gate and listens for commands. Bare names of plugins are looked for as `standard` says.
    ///
    /// # Errors
    /// Another process controls the run, or the system refuses something.
    pub fn start(run: &Run, runtime: Arc<Runtime>, device: Device, standard: &Standard) -> Result<Self, SessionError> {
        let (sender, mail) = mpsc::channel();
        let gate = Gate::start(runtime, device, standard.clone(), run.clone(), sender.clone());
        let gate = gate.map_err(SessionError::Thread)?;
        let snapshot =
            Arc::new(Mutex::new(Snapshot { run: run.name(), process: std::process::id(), ..Snapshot::default() }));
        let (told, asked) = (Arc::clone(&snapshot), Mutex::new(sender.clone()));
        let server = Server::start(run.path(), move |request| {
            if request == Request::Status {
                let snapshot = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
                return Response::Status { snapshot: Box::new(snapshot) };
            }
            let (answer, answered) = mpsc::channel();
            let sent = asked.lock().unwrap_or_else(PoisonError::into_inner).send(Mail::Asked(request, answer));
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
            changed: BTreeSet::new(),
            queue: VecDeque::new(),
            next: run.next_candidate()?,
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
        let sender = self.sender.clone();
        self.watcher = Some(Watcher::start(seen, quiet, move |changed| {
            // Nobody reads when the training has ended.
            let _ = sender.send(Mail::Changed(changed));
        })?);
        Ok(())
    }

    /// Whether files are followed.
    #[must_use]
    pub fn watches(&self) -> bool {
        self.watcher.is_some()
    }

    /// Follows these files in place of those before.
    pub fn follow(&self, followed: Vec<Followed>) {
        if let Some(watcher) = &self.watcher {
            watcher.follow(followed);
        }
    }

    /// Follows the files of this experiment.
    pub fn follow_experiment(&self, file: &Path, experiment: &Experiment) {
        self.follow(followed(file, experiment, &self.standard));
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

    /// The next piece of mail; a paused training waits for it a while.
    #[must_use]
    pub fn next_mail(&self) -> Option<Mail> {
        if !self.paused {
            return self.mail.try_recv().ok();
        }
        self.mail.recv_timeout(GLANCE).ok()
    }

    /// Hands a job to the gate. False if its thread is gone.
    pub fn check(&mut self, job: Job) -> bool {
        self.busy = self.gate.check(job);
        self.busy
    }

    /// Changes what a status tells.
    pub fn update(&self, change: impl FnOnce(&mut Snapshot)) {
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
