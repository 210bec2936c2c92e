//! Events of a journal in words.

use std::fmt;

use super::{Canary, Event, PluginEntry, Verdict};

impl fmt::Display for Event {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { .. } => out.write_str("a process began to train"),
            Self::Ranks { size } => write!(out, "{size} processes train together"),
            Self::Checkpoint { epoch, file, .. } => write!(out, "checkpoint {file} after epoch {epoch}"),
            Self::Finished { epoch, .. } => write!(out, "finished after epoch {epoch}"),
            Self::StoppedEarly { epoch, metric, evaluations, .. } => {
                let last =
                    if *evaluations == 1 { "evaluation".to_owned() } else { format!("{evaluations} evaluations") };
                write!(out, "ended early, after epoch {epoch}: {metric} was not better in the last {last}")
            }
            Self::Interrupted { step, .. } => write!(out, "stopped after step {step}"),
            Self::Failed { error } => write!(out, "failed: {error}"),
            Self::Candidate { number, origin } => write!(out, "candidate {number} ({origin})"),
            Self::Verdict { number, verdict } => write!(out, "candidate {number}: {verdict}"),
            Self::Swap { revision, epoch, changes, plugins, .. } => {
                write!(out, "revision {revision} is live from epoch {} on", epoch.saturating_add(1))?;
                for change in changes {
                    write!(out, "\n  {change}")?;
                }
                for PluginEntry { slot, strategy, hash, .. } in plugins {
                    write!(out, "\n  {slot} {strategy} ({})", hash.get(..12).unwrap_or_default())?;
                }
                Ok(())
            }
            Self::Rollback { revision, to, epoch, failed_at, quarantined, .. } if quarantined.is_empty() => write!(
                out,
                "revision {revision} was reverted after step {failed_at}\n  back to the start of epoch {} with \
                 revision {to} and the weights of then",
                epoch + 1
            ),
            Self::Rollback { revision, to, epoch, failed_at, reason, .. } => write!(
                out,
                "revision {revision} failed in step {failed_at}: {reason}\n  back to the start of epoch {} with \
                 revision {to}",
                epoch.saturating_add(1)
            ),
            Self::DataChanged { epoch, changes, .. } => {
                write!(out, "goes on from epoch {} with changed data", epoch.saturating_add(1))?;
                changes.iter().try_for_each(|change| write!(out, "\n  {change}"))
            }
            Self::DataMoved { path } => write!(out, "the data is in {}", path.display()),
            Self::Control { command } => write!(out, "command: {command}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { changes, canary, reset, milliseconds, .. } => {
                write!(out, "accepted after {milliseconds:.0} ms; it is live from the next epoch on\n  {canary}")?;
                for change in changes {
                    write!(out, "\n  {change}")?;
                }
                if reset.is_empty() { Ok(()) } else { write!(out, "\n  begins anew: {}", reset.join(", ")) }
            }
            Self::Refused { reason, help } => {
                write!(out, "refused, what is live stays: {reason}")?;
                help.as_ref().map_or(Ok(()), |help| write!(out, "\n  help: {}", help.replace('\n', "\n  ")))
            }
            Self::Same => out.write_str("nothing changed"),
            Self::Superseded => out.write_str("another one takes its place"),
        }
    }
}

impl fmt::Display for Canary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(loss) = self.loss else {
            return write!(out, "on a batch of the run: tried by itself, {:.1} ms", self.milliseconds);
        };
        write!(out, "on a batch of the run: loss {loss:.4}")?;
        match self.live_loss {
            Some(live) => write!(out, " (live {live:.4})")?,
            None => out.write_str(" (what is live fails on it)")?,
        }
        self.cosine.map_or(Ok(()), |cosine| write!(out, ", cosine of the gradients {cosine:.3}"))?;
        write!(out, ", {:.1} ms", self.milliseconds)?;
        // No check can refuse it: a loss may be meant so.
        if self.points_away() {
            out.write_str("\n  warning: its gradient points away from that of what is live, as with a wrong sign")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gradient_that_points_away_is_warned_about() {
        let canary = |cosine| Canary { loss: Some(0.5), live_loss: Some(0.25), cosine, milliseconds: 1.0 };
        let text = canary(Some(-0.5)).to_string();
        assert!(text.contains("cosine of the gradients -0.500, 1.0 ms\n  warning: its gradient points away"), "{text}");
        assert!([Some(0.0), Some(1.0), None].map(canary).iter().all(|canary| !canary.to_string().contains("warning")));
    }
}
