//! Signs of life, by which a rank that hangs is told from one that is slow.
//!
//! Each rank renews a value in the store; rank 0 watches all others, and they watch it. Both have a connection and a
//! thread of their own: where the host of the store hangs, only the thread waits for it.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lossmith_torch_shim::Store;

/// From one sign to the next.
const EVERY: Duration = Duration::from_secs(1);
/// What a rank's last sign begins with; the reason follows.
const LAST: &str = "failed: ";

/// The signs of the ranks that are watched, until it is dropped.
pub(super) struct Beats {
    seen: Arc<Mutex<BTreeMap<usize, Seen>>>,
    /// The thread that gives signs ends with a last one, or when this is dropped.
    last: Sender<String>,
    /// The one that watches ends when this is dropped.
    _watching: Sender<()>,
}

struct Seen {
    value: Vec<u8>,
    since: Instant,
}

/// What is wrong with a rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ill {
    /// It has given no sign for too long.
    Silent(usize),
    /// It said why it ends.
    Failed(usize, String),
}

fn key(rank: usize) -> String {
    format!("beat/{rank}")
}

impl Beats {
    /// Begins to give signs, and to watch: each of the two with a store of its own.
    pub(super) fn start(rank: usize, size: usize, [giving, watching]: [Store; 2]) -> Self {
        let watched: Vec<_> = if rank == 0 { (1..size).collect() } else { vec![0] };
        let now = Instant::now();
        let seen = watched.iter().map(|rank| (*rank, Seen { value: Vec::new(), since: now }));
        let seen: Arc<Mutex<BTreeMap<usize, Seen>>> = Arc::new(Mutex::new(seen.collect()));
        let (last, ends) = channel::<String>();
        std::thread::spawn(move || {
            for count in 0_u64.. {
                if giving.set(&key(rank), count.to_string().as_bytes()).is_err() {
                    return;
                }
                match ends.recv_timeout(EVERY) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                    Ok(reason) => {
                        // Nobody may listen any more.
                        let _ = giving.set(&key(rank), format!("{LAST}{reason}").as_bytes());
                        return;
                    }
                }
            }
        });
        let (watching_on, watched_on) = channel::<()>();
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            while watched_on.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                for rank in &watched {
                    // One that is not there yet gives no sign.
                    let Ok(value) = watching.get(&key(*rank), EVERY) else { continue };
                    let mut seen = noted.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(seen) = seen.get_mut(rank).filter(|seen| seen.value != value) {
                        *seen = Seen { value, since: Instant::now() };
                    }
                }
            }
        });
        Self { seen, last, _watching: watching_on }
    }

    /// Gives a last sign, which says why this rank ends.
    pub(super) fn end(&self, reason: &str) {
        // After another last sign nobody receives it.
        let _ = self.last.send(reason.to_owned());
    }

    /// The first rank that has given no sign for so long, or said that it ends.
    pub(super) fn ill(&self, timeout: Duration) -> Option<Ill> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().find_map(|(rank, seen)| {
            let text = std::str::from_utf8(&seen.value).ok().and_then(|text| text.strip_prefix(LAST));
            match text {
                Some(reason) => Some(Ill::Failed(*rank, reason.to_owned())),
                None => (seen.since.elapsed() > timeout).then_some(Ill::Silent(*rank)),
            }
        })
    }
}
