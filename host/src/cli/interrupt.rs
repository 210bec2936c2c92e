//! Signals: SIGINT (Ctrl-C), SIGTERM and SIGHUP end a training, SIGUSR1 and SIGUSR2 make it save its state.
//!
//! A thread receives them. Nothing here unwinds or runs exit handlers while other threads compute.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::{Handle, Signals};

use super::error::CliError;
use super::exit_code::LOST;
use crate::train::Interrupts;

const STOP: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];
const SAVE: [i32; 2] = [SIGUSR1, SIGUSR2];

/// A second signal to end within this time belongs to the first: a terminal that closes and a service that stops send
/// several.
const ONE_SHUTDOWN: Duration = Duration::from_secs(2);

/// The answer to a signal to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The step is finished, the state is saved.
    Stop,
    /// It is being saved already.
    Wait,
    /// The process ends now.
    Leave,
}

/// The signals that were heard.
pub(super) struct Ear {
    handle: Handle,
    interrupts: Arc<Interrupts>,
}

impl Ear {
    /// Receives the signals to save from now on. Those to end still end the process at once: nothing is trained yet.
    pub(super) fn open() -> Result<Self, CliError> {
        let interrupts = Arc::new(Interrupts::default());
        let signals = Signals::new(heeded(&SAVE)).map_err(uncaught)?;
        let handle = signals.handle();
        let heard = Arc::clone(&interrupts);
        let thread = std::thread::Builder::new().name("signals".into());
        thread.spawn(move || hear(signals, &heard)).map_err(uncaught)?;
        Ok(Self { handle, interrupts })
    }

    /// Receives the signals to end, too.
    pub(super) fn ready(&self) -> Result<Arc<Interrupts>, CliError> {
        heeded(&STOP).try_for_each(|signal| self.handle.add_signal(*signal)).map_err(uncaught)?;
        Ok(Arc::clone(&self.interrupts))
    }
}

fn uncaught(error: io::Error) -> CliError {
    CliError::Machine(format!("signals cannot be caught: {error}"))
}

/// The signals that were not ignored when the process began, as `nohup` ignores SIGHUP: those stay ignored.
fn heeded(signals: &'static [i32]) -> impl Iterator<Item = &'static i32> + Clone {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored(&status);
    signals.iter().filter(move |signal| ignored & (1 << (**signal - 1)) == 0)
}

/// The mask of ignored signals in the text of `/proc/self/status`; the first bit is signal 1.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

fn hear(mut signals: Signals, interrupts: &Interrupts) {
    let mut first = None;
    let mut count = 0;
    for signal in signals.forever() {
        if SAVE.contains(&signal) {
            interrupts.save();
            continue;
        }
        count += 1;
        let elapsed = first.get_or_insert_with(Instant::now).elapsed();
        match answer(count, elapsed) {
            Answer::Stop => {
                interrupts.stop();
                say("stopping after this step; its state is saved (a third signal ends at once, without saving)");
            }
            Answer::Wait => say("the state is being saved; another signal ends at once, without saving"),
            Answer::Leave => {
                let steps = interrupts.unsaved();
                say(&format!(
                    "ended at once: the step at work is lost, and {steps} steps since the last checkpoint; `lossmith \
                     train --resume RUN` goes on from there"
                ));
                signal_hook::low_level::exit(LOST.into());
            }
        }
    }
}

/// The answer to the signal to end with this number, counted from 1, so long after the first one.
fn answer(count: usize, elapsed: Duration) -> Answer {
    match count {
        1 => Answer::Stop,
        2 if elapsed <= ONE_SHUTDOWN => Answer::Wait,
        _ => Answer::Leave,
    }
}

/// Nobody may read it: the terminal may be gone.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "\n{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_signal_waits_only_if_it_belongs_to_the_first() {
        let at = |count, seconds| answer(count, Duration::from_secs(seconds));
        assert_eq!([at(1, 0), at(2, 0), at(2, 2)], [Answer::Stop, Answer::Wait, Answer::Wait]);
        assert_eq!([at(2, 3), at(3, 0), at(3, 3)], [Answer::Leave; 3]);
    }

    #[test]
    fn the_first_bit_of_the_mask_is_signal_1() {
        let status = "Name:\tcat\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000000001\nSigCgt:\t0000000000000002\n";
        assert_eq!((ignored(status), ignored(""), ignored("SigIgn:\tx")), (1, 0, 0));
    }
}
