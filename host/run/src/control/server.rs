//! The side that answers.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::{ControlError, Request, Response};

/// Connections at a time.
pub(super) const CONNECTIONS: usize = 16;
/// Bytes of a request.
pub(super) const LIMIT: usize = 64 * 1024;
/// How long a request may take to arrive, and an answer to leave.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections whose request has not come yet, the oldest first.
type Silent = Mutex<BTreeMap<u64, UnixStream>>;

type Handle = dyn Fn(Request) -> Response + Send + Sync;

/// Answers requests until it is dropped; the socket is removed then.
#[derive(Debug)]
pub struct Server {
    folder: Folder,
    /// The socket that listens, to end `accept` with. While it is open, nobody else takes its place in the folder.
    listening: UnixStream,
    /// The socket in the file system.
    identity: (u64, u64),
    ends: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens at `control/socket` in the folder `run`. Nobody but the owner of the folder `control` can connect. Each
    /// connection has a thread of its own, so `handle` is called from several at once and may take its time.
    ///
    /// # Errors
    /// Another process listens there, or the system refuses.
    pub fn start(
        run: &Path,
        handle: impl Fn(Request) -> Response + Send + Sync + 'static,
    ) -> Result<Self, ControlError> {
        Self::patient(run, PATIENCE, handle)
    }

    pub(super) fn patient(
        run: &Path,
        patience: Duration,
        handle: impl Fn(Request) -> Response + Send + Sync + 'static,
    ) -> Result<Self, ControlError> {
        let failed = ControlError::listening(run);
        let folder = Folder::make(run).map_err(&failed)?;
        let bound = folder.alone(|| bind(&folder.socket())).map_err(&failed)?;
        let listener = bound.ok_or_else(|| ControlError::InUse { run: run.to_owned() })?;
        let start = || {
            let socket = folder.socket();
            fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
            let listening = UnixStream::from(OwnedFd::from(listener.try_clone()?));
            Ok((identity(&socket)?, listening))
        };
        let (identity, listening) = start().map_err(&failed)?;
        let ends = Arc::new(AtomicBool::new(false));
        // Whatever fails from here on, dropping it removes the socket.
        let mut server = Self { folder, listening, identity, ends: Arc::clone(&ends), acceptor: None };
        let accept = move || accept(&listener, &ends, patience, &(Arc::new(handle) as Arc<Handle>));
        server.acceptor = Some(thread::Builder::new().name("control".into()).spawn(accept).map_err(&failed)?);
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let socket = self.folder.socket();
        if identity(&socket).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&socket);
        }
        // This ends `accept`. A system that cannot do it keeps the thread until the process ends.
        let ended = self.listening.shutdown(Shutdown::Both).is_ok();
        if let Some(acceptor) = self.acceptor.take().filter(|_| ended) {
            let _ = acceptor.join();
        }
    }
}

/// Listens, in place of a socket that a killed process left over. None if somebody else listens.
fn bind(socket: &Path) -> io::Result<Option<UnixListener>> {
    match UnixStream::connect(socket) {
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(socket)?,
        Err(error) => return Err(error),
    }
    UnixListener::bind(socket).map(Some)
}

fn identity(socket: &Path) -> io::Result<(u64, u64)> {
    let data = fs::symlink_metadata(socket)?;
    Ok((data.dev(), data.ino()))
}

fn accept(listener: &UnixListener, ends: &AtomicBool, patience: Duration, handle: &Arc<Handle>) {
    // Each connection holds it, so its count is theirs.
    let places = Arc::new(());
    let silent: Arc<Silent> = Arc::default();
    for number in 0.. {
        let accepted = listener.accept();
        if ends.load(Ordering::SeqCst) {
            return;
        }
        let Ok((mut stream, _)) = accepted else {
            // Too many open files, most likely; trying at once again would only heat the machine.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        // Who has said nothing makes room for who may have something to say.
        if Arc::strong_count(&places) > CONNECTIONS && !dismiss(&silent) {
            let text = format!("the training is busy with {CONNECTIONS} other commands");
            let _ = answer(&mut stream, patience, &refused(text, "try again when one of them has its answer"));
            continue;
        }
        let Ok(other) = stream.try_clone() else { continue };
        silent.lock().unwrap_or_else(PoisonError::into_inner).insert(number, other);
        let (place, handle, waiting) = (Arc::clone(&places), Arc::clone(handle), Arc::clone(&silent));
        let serve = move || {
            let received = receive(&mut stream, patience);
            let ours = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
            // Of a connection that was ended meanwhile nothing is carried out: nobody would hear of it.
            let received = if ours.is_some() { received } else { Err(io::ErrorKind::ConnectionAborted.into()) };
            let response = received.map(|request| request.map_or_else(|refused| refused, &*handle));
            // A client that went away needs no answer.
            let _ = response.and_then(|response| answer(&mut stream, patience, &response));
            // Who sees the connection closed finds the place free.
            drop(place);
            drop(stream);
        };
        // Without a thread the connection closes without an answer.
        if thread::Builder::new().name("control-connection".into()).spawn(serve).is_err() {
            silent.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        }
    }
}

/// Ends the connection that has been silent for longest. False if each has sent its request.
fn dismiss(silent: &Silent) -> bool {
    let Some((_, stream)) = silent.lock().unwrap_or_else(PoisonError::into_inner).pop_first() else { return false };
    // One that is gone already has made room.
    let _ = stream.shutdown(Shutdown::Both);
    true
}

/// Reads a request, or says why it is none.
fn receive(stream: &mut UnixStream, patience: Duration) -> io::Result<Result<Request, Response>> {
    const HELP: &str = r#"send one line of JSON such as {"command":"status"}"#;
    let line = match read_line(stream, Instant::now() + patience) {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            return Ok(Err(refused(format!("no request came within {patience:?}"), HELP)));
        }
        line => line?,
    };
    if line.len() > LIMIT {
        return Ok(Err(refused(format!("the request is too long: at most {LIMIT} bytes are read"), HELP)));
    }
    let request = serde_json::from_slice(&line);
    Ok(request.map_err(|error| refused(format!("the request is not understood: {error}"), HELP)))
}

/// Reads up to the end of a line, to the end of what comes, or until it is longer than [`LIMIT`].
fn read_line(stream: &mut UnixStream, until: Instant) -> io::Result<Vec<u8>> {
    let (mut line, mut part) = (Vec::new(), [0; 4096]);
    while line.len() <= LIMIT {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let read = match stream.read(&mut part) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => part.get(..read?).unwrap_or_default(),
        };
        let end = read.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(read.get(..end.unwrap_or(read.len())).unwrap_or_default());
        if read.is_empty() || end.is_some() {
            break;
        }
    }
    Ok(line)
}

fn answer(stream: &mut UnixStream, patience: Duration, response: &Response) -> io::Result<()> {
    let mut line = serde_json::to_vec(response)?;
    line.push(b'\n');
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(&line)
}

fn refused(text: String, help: &str) -> Response {
    Response::Refused { text, help: Some(help.to_owned()) }
}
