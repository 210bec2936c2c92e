//! `lossmith session`: look at a running training and change it.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::error::CliError;
use super::output;
use crate::experiment::rooted;
use crate::session::control::{self, Request, Response, Snapshot};

const KEYS: &str = "\
Everything is checked before it becomes live: the values, the strategies, and their loss on a batch of the run. \
The command waits for the verdict. What is accepted is live from the next epoch on; when it is refused, the training \
goes on as before.

  lossmith session set runs/cub-20250131-140502 optimizer.learning-rate=0.01
  lossmith session set runs/cub-20250131-140502 objective.0.loss.params.margin=0.3 epochs=40";

/// Look at a running training and change it. Only the user who started it can do that.
#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// Show where the training is, what is live in it, and what happened last.
    Status {
        /// The run's folder.
        run: PathBuf,
    },
    /// Let the training wait after the step that is being computed.
    Pause {
        /// The run's folder.
        run: PathBuf,
    },
    /// Let a paused training go on. A training that has ended goes on with `lossmith train --resume RUN`.
    Resume {
        /// The run's folder.
        run: PathBuf,
    },
    /// Save the state and end the training, as Ctrl-C does; `lossmith train --resume RUN` goes on with it.
    Stop {
        /// The run's folder.
        run: PathBuf,
    },
    /// Change keys of the experiment while it is trained.
    #[command(after_help = KEYS)]
    Set {
        /// The run's folder.
        run: PathBuf,
        /// A key of the experiment file and its value. What one command gives is checked and becomes live together.
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = setting)]
        sets: Vec<String>,
    },
    /// Put a shadow in place of the objective that it stands beside, after the same checks as `set`.
    Promote {
        /// The run's folder.
        run: PathBuf,
        /// Name of the `[[shadow]]`.
        name: String,
    },
    /// Go back to the revision before the one that is live. Under `--watch` it says which files still have what was
    /// reverted.
    Revert {
        /// The run's folder.
        run: PathBuf,
        /// Go back to the weights before the live revision, too: to the checkpoint of the epoch in which it was taken.
        /// What was trained since is undone. The checkpoints before the last five revisions are kept until the run
        /// ends.
        #[arg(long)]
        weights: bool,
    },
    /// Save the state and go on.
    Checkpoint {
        /// The run's folder.
        run: PathBuf,
    },
}

impl SessionCommand {
    /// Whom to ask, and what.
    fn request(&self) -> (&Path, Request) {
        match self {
            Self::Status { run } => (run, Request::Status),
            Self::Pause { run } => (run, Request::Pause),
            Self::Resume { run } => (run, Request::Resume),
            Self::Stop { run } => (run, Request::Stop),
            Self::Set { run, sets } => {
                (run, Request::Set { sets: sets.iter().map(|set| rooted(set, Path::new(""))).collect() })
            }
            Self::Promote { run, name } => (run, Request::Promote { name: name.clone() }),
            Self::Revert { run, weights } => (run, Request::Revert { weights: *weights }),
            Self::Checkpoint { run } => (run, Request::Checkpoint),
        }
    }
}

pub(super) fn session(command: &SessionCommand, json: bool) -> Result<(), CliError> {
    let (run, request) = command.request();
    let response = control::ask(run, &request)?;
    if json {
        output::json(&response)?;
    }
    match response {
        Response::Refused { text, help } => Err(CliError::Refused { text, help }),
        _ if json => Ok(()),
        Response::Done { text } => output::line(&text),
        Response::Status { snapshot } => output::line(&status(&snapshot)),
    }
}

fn setting(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((key, _)) if !key.trim().is_empty() => Ok(text.to_owned()),
        _ => Err("expected KEY=VALUE, for instance optimizer.learning-rate=0.01".into()),
    }
}

fn status(snapshot: &Snapshot) -> String {
    let Snapshot { run, epoch, epochs, step, step_in_epoch, steps_per_epoch, revision, process, .. } = snapshot;
    let state = if snapshot.paused { "paused" } else { "running" };
    let mut lines = vec![format!("{run}: {state} in process {process}")];
    lines.push(if epoch < epochs {
        format!("epoch     {} of {epochs}, step {step_in_epoch} of {steps_per_epoch}; {step} steps in all", epoch + 1)
    } else {
        format!("epoch     all {epochs} are complete; {step} steps in all")
    });
    lines.push(format!("loss      {}", snapshot.loss.map_or("none yet".to_owned(), |loss| format!("{loss:.4}"))));
    let begun = if *revision == 0 { ", what the run began with" } else { "" };
    lines.push(format!("revision  {revision}{begun}"));
    lines.extend(snapshot.plugins.iter().map(|live| format!("{:<18} {} ({})", live.slot, live.strategy, live.hash)));
    lines.extend(snapshot.candidate.iter().map(|candidate| format!("candidate {}", indented(candidate))));
    if !snapshot.events.is_empty() {
        lines.push("last events".to_owned());
        lines.extend(snapshot.events.iter().map(|event| format!("  {}", indented(event))));
    }
    lines.join("\n")
}

/// Lines after the first one stand further to the right.
fn indented(text: &str) -> String {
    text.replace('\n', "\n  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::control::LivePlugin;

    #[test]
    fn a_status_is_readable() {
        let live =
            LivePlugin { slot: "objective.0.loss".into(), strategy: "triplet".into(), hash: "0123456789ab".into() };
        let snapshot = Snapshot {
            run: "runs/a".into(),
            epoch: 3,
            epochs: 20,
            step: 377,
            step_in_epoch: 17,
            steps_per_epoch: 120,
            paused: true,
            loss: Some(0.25),
            revision: 2,
            plugins: vec![live],
            candidate: Some("3 (files)".into()),
            events: vec!["candidate 2: accepted\n  epochs: 9 -> 20".into(), "command: pause".into()],
            process: 12,
        };
        let expected = "\
runs/a: paused in process 12
epoch     4 of 20, step 17 of 120; 377 steps in all
loss      0.2500
revision  2
objective.0.loss   triplet (0123456789ab)
candidate 3 (files)
last events
  candidate 2: accepted
    epochs: 9 -> 20
  command: pause";
        assert_eq!(status(&snapshot), expected);
    }

    #[test]
    fn a_training_that_began_or_is_complete_says_so() {
        let begun =
            Snapshot { run: "runs/a".into(), epochs: 2, steps_per_epoch: 9, process: 12, ..Snapshot::default() };
        let lines =
            "epoch     1 of 2, step 0 of 9; 0 steps in all\nloss      none yet\nrevision  0, what the run began with";
        assert_eq!(status(&begun), format!("runs/a: running in process 12\n{lines}"));
        let complete = status(&Snapshot { epoch: 2, step: 18, ..begun });
        assert!(complete.contains("\nepoch     all 2 are complete; 18 steps in all\n"), "{complete}");
    }

    #[test]
    fn a_setting_has_a_key_and_a_value() {
        assert_eq!(setting("name=a=b").as_deref(), Ok("name=a=b"));
        assert!(setting("name=").is_ok());
        assert!(setting("name").is_err() && setting("=1").is_err());
    }
}
