//! The ranks, joined.

use std::net::TcpListener;
use std::os::fd::IntoRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use lossmith_torch_shim::{Group, Store};
use tch::{TchError, Tensor};

use super::beats::{Beats, Ill};
use super::error::RanksError;
use super::place::Place;
use super::share::Share;

/// How long the last words of ranks are waited for, when something ended.
const LAST_WORDS: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(365 * 24 * 3600);

const FAILED: i64 = 1;
const STOP: i64 = 2;
const SAVE: i64 = 4;

/// What a rank was asked by a signal, which rank 0 decides about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// That the training stops.
    pub stop: bool,
    /// That it writes a checkpoint.
    pub save: bool,
}

/// This process among those that train one run. All its operations but the ends are called by all ranks in the same
/// order.
pub struct Ranks {
    place: Place,
    store: Store,
    group: Group,
    timeout: Duration,
    beats: Beats,
    /// How often the ranks have agreed.
    agreed: AtomicU64,
    /// Whether this rank has said that it ends.
    ended: AtomicBool,
}

impl Ranks {
    /// Meets all others. A rank that does not come within `timeout` is an error, as is one that does not answer later.
    ///
    /// # Errors
    /// Who is missing, or has another program.
    pub fn join(place: Place, timeout: Duration) -> Result<Self, RanksError> {
        let Place { rank, size, port, .. } = place;
        let address = format!("{}:{port}", place.host);
        let listener = if rank == 0 && !place.hosted { Some(listen(&place)?) } else { None };
        let host = if place.is_loopback() { "127.0.0.1" } else { place.host.as_str() };
        let prefix = format!("lossmith/{}", place.attempt);
        let connect = |listener| {
            Store::join(host, port, listener, &prefix, timeout).map_err(|error| RanksError::Nobody {
                rank,
                address: address.clone(),
                seconds: timeout.as_secs(),
                cause: lossmith_plugin::brief(&error),
            })
        };
        let store = connect(listener)?;
        greet(&store, rank, size, timeout)?;
        let group = Group::join(&store, rank as u32, size as u32, place.is_loopback(), timeout);
        let group = group.map_err(|error| {
            let cause = lossmith_plugin::brief(&error);
            // The last number of the key that it waited for.
            let missing = cause.rsplit('/').next().and_then(|rest| {
                rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<usize>().ok()
            });
            RanksError::Lost { ranks: missing.filter(|missing| *missing < size).into_iter().collect(), cause }
        })?;
        let beats = Beats::start(rank, size, [connect(None)?, connect(None)?]);
        let (agreed, ended) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Self { place, store, group, timeout, beats, agreed, ended })
    }

    /// Which rank this is, and where.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether this is rank 0.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.place.rank == 0
    }

    /// This rank's part of each batch.
    #[must_use]
    pub fn share(&self) -> Share {
        Share::new(self.place.rank, self.place.size)
    }

    /// The group of all ranks.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Sets a contiguous tensor to the sum of those of all ranks.
    ///
    /// # Errors
    /// A rank is lost.
    pub fn sum(&self, tensor: &Tensor) -> Result<(), RanksError> {
        self.explained(self.group.sum(tensor))
    }

    /// Whether what each rank did went well on all of them: `failure` says that it did not here, and `wish` what this
    /// rank was asked by a signal. Returns what any rank was asked.
    ///
    /// # Errors
    /// What failed on another rank, if nothing did here; a rank is lost.
    pub fn agree(&self, failure: Option<&str>, wish: Wish) -> Result<Wish, RanksError> {
        let Place { rank, size, .. } = self.place;
        let number = self.agreed.fetch_add(1, Ordering::Relaxed);
        let key = |rank: usize| format!("fault/{number}/{rank}");
        if let Some(text) = failure {
            self.explained(self.store.set(&key(rank), text.as_bytes()))?;
        }
        let mut flags = vec![0; size];
        if let Some(own) = flags.get_mut(rank) {
            let bits = [(FAILED, failure.is_some()), (STOP, wish.stop), (SAVE, wish.save)];
            *own = bits.into_iter().filter(|(_, is_set)| *is_set).map(|(bit, _)| bit).sum::<i64>();
        }
        let flags = Tensor::f_from_slice(&flags)?;
        self.patiently(self.group.begin_sum(&flags, LONG))?;
        let flags = Vec::<i64>::try_from(&flags)?;
        let is_set = |bit| flags.iter().any(|flags| flags & bit != 0);
        if let (None, Some(rank)) = (failure, flags.iter().position(|flags| flags & FAILED != 0)) {
            let text = self.explained(self.store.get(&key(rank), LAST_WORDS))?;
            return Err(RanksError::Fault { rank, text: String::from_utf8_lossy(&text).into_owned() });
        }
        Ok(Wish { stop: is_set(STOP), save: is_set(SAVE) })
    }

    /// Compares numbers that must be the same everywhere, each with what it is of.
    ///
    /// # Errors
    /// The first that differs, and on which rank; a rank is lost.
    pub fn compare(&self, numbers: &[(&str, i64)]) -> Result<(), RanksError> {
        let own: Vec<i64> = numbers.iter().map(|(_, number)| *number).collect();
        let own = Tensor::f_from_slice(&own)?;
        let all = self.explained(self.group.gather(&own))?;
        let all = Vec::<i64>::try_from(&all)?;
        let first = all.get(..numbers.len()).unwrap_or_default();
        for (rank, others) in all.chunks(numbers.len().max(1)).enumerate() {
            let mut pairs = numbers.iter().zip(first.iter().zip(others));
            if let Some(((what, _), _)) = pairs.find(|(_, (first, other))| first != other) {
                return Err(RanksError::Different { rank, what: format!("another {what} than rank 0") });
            }
        }
        Ok(())
    }

    /// Tells the others why this rank ends. The host of the store gives them a while to read it.
    pub fn fail(&self, reason: &str) {
        self.ended.store(true, Ordering::Relaxed);
        self.beats.end(reason);
        let (store, rank, reason) = (self.store.clone(), self.place.rank, reason.to_owned());
        let said = within(LAST_WORDS, move || store.set(&ending(rank), reason.as_bytes()));
        if said.is_some() {
            self.linger();
        }
    }

    /// Where a rank has given no sign of life, an error that names it.
    pub(super) fn check_signs(&self) -> Result<(), RanksError> {
        match self.beats.ill(self.timeout) {
            None => Ok(()),
            Some(Ill::Silent(rank)) => {
                let cause = format!("no sign of life for {} s", self.timeout.as_secs());
                Err(RanksError::Lost { ranks: vec![rank], cause })
            }
            Some(Ill::Failed(rank, text)) => {
                let _ = self.store.set(&read(self.place.rank), b"");
                Err(RanksError::Failed { rank, text })
            }
        }
    }

    /// Why something failed that computes with other ranks on the way, as a network does whose batch normalisation is
    /// one of all: an error where one of them is lost.
    #[must_use]
    pub fn lost_meanwhile(&self, cause: &str) -> Option<RanksError> {
        self.group.has_failed().then(|| self.lost(cause.to_owned()))
    }

    /// The result of an operation of all ranks; where one is lost, an error that says which, as far as the others know
    /// it.
    pub(super) fn explained<T>(&self, result: Result<T, TchError>) -> Result<T, RanksError> {
        result.map_err(|error| self.lost(lossmith_plugin::brief(&error)))
    }

    fn lost(&self, cause: String) -> RanksError {
        let Place { rank, size, .. } = self.place;
        let (store, first) = (self.store.clone(), !self.ended.swap(true, Ordering::Relaxed));
        let words = within(2 * LAST_WORDS, move || last_words(&store, rank, size, first));
        // Without the store nobody can say anything: who hosts it is lost.
        let Some(Ok(words)) = words else { return RanksError::Lost { ranks: vec![0], cause } };
        let spoken =
            words.iter().find_map(|(rank, words)| Some((*rank, words.clone().filter(|text| !text.is_empty())?)));
        if let Some((rank, text)) = spoken {
            return RanksError::Failed { rank, text };
        }
        let silent = words.into_iter().filter(|(_, words)| words.is_none()).map(|(rank, _)| rank).collect();
        RanksError::Lost { ranks: silent, cause }
    }

    /// Keeps the store while others read why something ended.
    fn linger(&self) {
        if !self.is_first() || self.place.hosted {
            return;
        }
        let (store, size) = (self.store.clone(), self.place.size);
        within(LAST_WORDS, move || wait_for_readers(&store, size));
    }
}

fn ending(rank: usize) -> String {
    format!("end/{rank}")
}

fn read(rank: usize) -> String {
    format!("read/{rank}")
}

/// Waits until all others have read why something ended.
fn wait_for_readers(store: &Store, size: usize) {
    let until = Instant::now() + LAST_WORDS;
    for rank in 1..size {
        let _ = store.get(&read(rank), left(until));
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).max(Duration::from_millis(50))
}

/// Does something that may hang; `None` if it takes longer.
fn within<T: Send + 'static>(time: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let _ = sender.send(work());
    });
    receiver.recv_timeout(time).ok()
}

/// What each other rank said when it ended: nothing in particular, or why. `None` of one that said nothing at all.
fn last_words(store: &Store, own: usize, size: usize, first: bool) -> Result<Vec<(usize, Option<String>)>, TchError> {
    if first {
        store.set(&ending(own), b"")?;
    }
    let until = Instant::now() + LAST_WORDS;
    let others = (0..size).filter(|rank| *rank != own);
    let words = others.map(|rank| {
        let said = store.get(&ending(rank), left(until)).ok();
        (rank, said.map(|said| String::from_utf8_lossy(&said).into_owned()))
    });
    let words = words.collect();
    store.set(&read(own), b"")?;
    Ok(words)
}

/// A socket for the store. On one machine only that machine reaches it.
fn listen(place: &Place) -> Result<i32, RanksError> {
    let address = if place.is_loopback() { "127.0.0.1" } else { "0.0.0.0" };
    let listener = TcpListener::bind((address, place.port)).map_err(|error| RanksError::Listen {
        address: format!("{}:{}", place.host, place.port),
        cause: error.to_string(),
    })?;
    Ok(listener.into_raw_fd())
}

/// Waits until all are there, and have the same program.
fn greet(store: &Store, rank: usize, size: usize, timeout: Duration) -> Result<(), RanksError> {
    let program = format!("lossmith {} with libtorch {}", env!("CARGO_PKG_VERSION"), lossmith_torch_shim::version()?);
    let hello = |rank: usize| format!("hello/{rank}");
    let lost = |error: &TchError| RanksError::Lost { ranks: vec![0], cause: lossmith_plugin::brief(error) };
    store.set(&hello(rank), program.as_bytes()).map_err(|error| lost(&error))?;
    if rank != 0 {
        // Rank 0 waits as long for all.
        let welcome = store.get("welcome", timeout + LAST_WORDS);
        let welcome = welcome.map_err(|_| RanksError::Missing { ranks: vec![0], seconds: timeout.as_secs() })?;
        let text = String::from_utf8_lossy(&welcome).into_owned();
        if text.is_empty() {
            return Ok(());
        }
        store.set(&read(rank), b"").map_err(|error| lost(&error))?;
        return Err(RanksError::Failed { rank: 0, text });
    }
    let until = Instant::now() + timeout;
    let mut missing = Vec::new();
    let mut other = None;
    for rank in 1..size {
        match store.get(&hello(rank), left(until)) {
            Ok(theirs) if theirs == program.as_bytes() => {}
            Ok(theirs) => other = other.or(Some((rank, String::from_utf8_lossy(&theirs).into_owned()))),
            Err(_) => missing.push(rank),
        }
    }
    let error = match (missing.is_empty(), other) {
        (false, _) => Some(RanksError::Missing { ranks: missing, seconds: timeout.as_secs() }),
        (true, Some((rank, theirs))) => {
            Some(RanksError::Different { rank, what: format!("{theirs}, and rank 0 {program}") })
        }
        (true, None) => None,
    };
    let text = error.as_ref().map(ToString::to_string).unwrap_or_default();
    store.set("welcome", text.as_bytes()).map_err(|error| lost(&error))?;
    match error {
        None => Ok(()),
        Some(error) => {
            // The store goes with this process.
            wait_for_readers(store, size);
            Err(error)
        }
    }
}
