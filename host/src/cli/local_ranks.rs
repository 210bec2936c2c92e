//! Several processes of this command on this machine, as ranks.

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::os::fd::IntoRawFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use lossmith_torch_shim::Store;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use super::error::CliError;

/// How long the other ranks may take to end after rank 0, or rank 0 after all others.
const REST: Duration = Duration::from_secs(15);

/// The ranks, and where they meet.
pub(super) struct LocalRanks {
    ranks: Vec<Rank>,
    signals: Receiver<i32>,
    /// Kept until all ranks have ended.
    _store: Store,
}

struct Rank {
    child: Child,
    status: Option<ExitStatus>,
}

impl LocalRanks {
    /// Starts a command as often. Only rank 0 writes to the standard output.
    pub(super) fn start(size: NonZeroUsize, command: impl Fn() -> io::Result<Command>) -> Result<Self, CliError> {
        let machine = |what: &str, error: &dyn std::fmt::Display| CliError::Machine(format!("{what}: {error}"));
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| machine("no port is free", &error))?;
        let port = listener.local_addr().map_err(|error| machine("no port is free", &error))?.port();
        let store = Store::join("127.0.0.1", port, Some(listener.into_raw_fd()), "lossmith/0", REST)
            .map_err(|error| machine("the ranks have no place to meet", &lossmith_plugin::brief(&error)))?;
        let signals = hear().map_err(|error| machine("signals cannot be caught", &error))?;
        let mut ranks = Self { ranks: Vec::new(), signals, _store: store };
        for rank in 0..size.get() {
            let spawned = command().and_then(|command| as_rank(command, rank, size, port).spawn());
            match spawned {
                Ok(child) => ranks.ranks.push(Rank { child, status: None }),
                Err(error) => {
                    ranks.ranks.iter_mut().for_each(Rank::kill);
                    return Err(machine("a rank cannot be started", &error));
                }
            }
        }
        Ok(ranks)
    }

    /// Waits until all have ended, hands signals on to rank 0, and kills those that do not end after the others.
    ///
    /// # Errors
    /// One did not end well. Rank 0 has said what there is to say, if it ended by itself.
    pub(super) fn wait(mut self) -> Result<(), CliError> {
        let mut last = None;
        loop {
            let ended: Vec<bool> = self.ranks.iter_mut().map(Rank::has_ended).collect();
            if ended.iter().all(|ended| *ended) {
                return self.outcome();
            }
            let first = ended.first().copied().unwrap_or_default();
            let others = ended.iter().skip(1).all(|ended| *ended);
            let failed = self.ranks.iter().skip(1).any(|rank| rank.status.is_some_and(|status| !status.success()));
            if (first || others && failed) && last.get_or_insert_with(Instant::now).elapsed() > REST {
                self.ranks.iter_mut().filter(|rank| rank.status.is_none()).for_each(Rank::kill);
                let left = ended.iter().zip(0..).filter(|(ended, _)| !**ended);
                let left = left.map(|(_, rank): (_, usize)| rank.to_string()).collect::<Vec<_>>().join(", ");
                let text = format!("did not end with the others and was killed: rank {left}");
                return Err(CliError::Rank { text, code: 1 });
            }
            if let (Ok(signal), Some(first)) =
                (self.signals.recv_timeout(Duration::from_millis(50)), self.ranks.first())
            {
                // The standard library sends no signal but one; a shell has all.
                let words = format!("kill -{signal} {}", first.child.id());
                let _ = Command::new("sh").args(["-c", &words]).status();
            }
        }
    }

    fn outcome(&self) -> Result<(), CliError> {
        let failed = self.ranks.iter().enumerate().find_map(|(number, rank)| match rank.status {
            Some(status) if status.success() => None,
            Some(status) => {
                let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
                Some(CliError::Rank { text: format!("rank {number} ended with {status}"), code })
            }
            None => Some(CliError::Rank { text: format!("rank {number} is lost"), code: 1 }),
        });
        failed.map_or(Ok(()), Err)
    }
}

impl Rank {
    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.status = self.child.wait().ok();
    }

    fn has_ended(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status.is_some()
    }
}

fn as_rank(mut command: Command, rank: usize, size: NonZeroUsize, port: u16) -> Command {
    let variables = [
        ("WORLD_SIZE", size.to_string()),
        ("RANK", rank.to_string()),
        ("LOCAL_RANK", rank.to_string()),
        ("LOCAL_WORLD_SIZE", size.to_string()),
        ("MASTER_ADDR", "127.0.0.1".to_owned()),
        ("MASTER_PORT", port.to_string()),
        // The store is hosted here.
        ("TORCHELASTIC_USE_AGENT_STORE", "True".to_owned()),
        ("TORCHELASTIC_RESTART_COUNT", "0".to_owned()),
    ];
    command.envs(variables).stdin(Stdio::null());
    if rank > 0 {
        command.stdout(Stdio::null());
    }
    command
}

/// The signals that this process gets from now on.
fn hear() -> io::Result<Receiver<i32>> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2])?;
    let (sender, receiver) = channel();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if sender.send(signal).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}
