//! A server and those who ask it, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use super::folder::Folder;
use super::server::{CONNECTIONS, LIMIT};
use super::*;

/// A folder that passes for a run.
pub(super) fn run() -> tempfile::TempDir {
    let run = tempfile::tempdir().unwrap();
    fs::write(run.path().join("journal.jsonl"), "").unwrap();
    run
}

/// Says what it was asked.
fn echo(request: Request) -> Response {
    match request {
        Request::Status => Response::Status { snapshot: Box::new(Snapshot { epoch: 3, ..Snapshot::default() }) },
        Request::Stop => Response::Refused { text: "no".into(), help: None },
        request => Response::Done { text: request.to_string() },
    }
}

fn works(run: &Path) {
    assert_eq!(ask(run, &Request::Pause).unwrap(), Response::Done { text: "pause".into() });
}

fn connect(run: &Path) -> UnixStream {
    UnixStream::connect(Folder::open(run).unwrap().socket()).unwrap()
}

/// What the server says to these bytes, when nothing comes after them.
fn raw(run: &Path, bytes: &[u8]) -> String {
    let mut stream = connect(run);
    // The server may have said enough and be gone.
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    told(stream)
}

fn told(mut stream: UnixStream) -> String {
    let mut answer = Vec::new();
    // With bytes that nobody read, the end of the connection is an error.
    let _ = stream.read_to_end(&mut answer);
    match serde_json::from_slice(&answer).unwrap() {
        Response::Refused { text, help } => format!("{text}; {}", help.unwrap()),
        other => unreachable!("{other:?}"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn all_requests_reach_the_handler_and_all_answers_come_back() {
    let run = run();
    let _server = Server::start(run.path(), echo).unwrap();
    let set = Request::Set { sets: vec!["name=\"a\nb\"".into(), "epochs=9".into()] };
    let promote = Request::Promote { name: "wider".into() };
    use Request::{Checkpoint, Pause, Resume, Revert, Status, Stop};
    for request in [Status, Pause, Resume, Stop, Checkpoint, Revert { weights: true }, set, promote] {
        assert_eq!(ask(run.path(), &request).unwrap(), echo(request));
    }
}

#[test]
fn only_the_owner_can_enter() {
    let run = run();
    let control = run.path().join("control");
    fs::create_dir(&control).unwrap();
    fs::set_permissions(&control, Permissions::from_mode(0o777)).unwrap();
    for _ in 0..2 {
        let server = Server::start(run.path(), echo).unwrap();
        assert_eq!((mode(&control), mode(&control.join("socket"))), (0o700, 0o600));
        drop(server);
        fs::remove_dir(&control).unwrap();
    }
}

#[test]
fn a_run_folder_may_be_deep() {
    let root = tempfile::tempdir().unwrap();
    let run = (0..5).fold(root.path().to_owned(), |path, _| path.join("a".repeat(50)));
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("journal.jsonl"), "").unwrap();
    let _server = Server::start(&run, echo).unwrap();
    works(&run);
    assert!(fs::symlink_metadata(run.join("control/socket")).unwrap().file_type().is_socket());
}

#[test]
fn what_is_no_request_gets_a_clear_answer() {
    let run = run();
    let _server = Server::start(run.path(), echo).unwrap();
    let oversize = vec![b'a'; 4 * LIMIT];
    let garbage: &[u8] = b"\xff\x00\n";
    for (bytes, text) in [
        (garbage, "not understood: expected value"),
        (b"GET / HTTP/1.1\r\n\r\n", "not understood: expected value"),
        (b"{\"command\":\"dance\"}\n", "unknown variant `dance`, expected one of `status`, `pause`"),
        (b"{\"command\":\"set\"}\n", "missing field `sets`"),
        (b"{}\n", "missing field `command`"),
        (b"{\"command\":\"sta", "not understood: EOF"),
        (b"", "not understood: EOF"),
        (&oversize, "too long: at most 65536 bytes"),
    ] {
        let told = raw(run.path(), bytes);
        assert!(
            told.contains(text) && told.ends_with(r#"; send one line of JSON such as {"command":"status"}"#),
            "{told}"
        );
        works(run.path());
    }
    let refused = ask(run.path(), &Request::Promote { name: "a".repeat(LIMIT) }).unwrap();
    assert!(matches!(refused, Response::Refused { text, .. } if text.contains("too long")));
}

#[test]
fn who_says_nothing_or_half_a_line_does_not_block_others() {
    let run = run();
    let _server = Server::patient(run.path(), Duration::from_millis(300), echo).unwrap();
    let (silent, mut half) = (connect(run.path()), connect(run.path()));
    half.write_all(b"{\"command\":").unwrap();
    works(run.path());
    assert!(told(silent).starts_with("no request came within 300ms"));
    assert!(told(half).starts_with("no request came within 300ms"));
    works(run.path());
}

#[test]
fn status_is_answered_while_a_set_waits() {
    let run = run();
    let (verdict, wait) = mpsc::channel();
    let (at_work, begun) = mpsc::channel();
    let wait = Mutex::new(wait);
    let handle = move |request| {
        if matches!(request, Request::Set { .. }) {
            at_work.send(()).unwrap();
            return wait.lock().unwrap().recv().unwrap();
        }
        echo(request)
    };
    let _server = Server::start(run.path(), handle).unwrap();
    let path = run.path().to_owned();
    let set = thread::spawn(move || ask(&path, &Request::Set { sets: vec!["epochs=9".into()] }));
    begun.recv().unwrap();
    assert_eq!(ask(run.path(), &Request::Status).unwrap(), echo(Request::Status));
    verdict.send(Response::Done { text: "accepted".into() }).unwrap();
    assert_eq!(set.join().unwrap().unwrap(), Response::Done { text: "accepted".into() });
}

#[test]
fn silent_connections_make_room_for_a_request() {
    let run = run();
    let _server = Server::start(run.path(), echo).unwrap();
    let silent: Vec<_> = (0..3 * CONNECTIONS).map(|_| connect(run.path())).collect();
    works(run.path());
    works(run.path());
    drop(silent);
    works(run.path());
}

#[test]
fn too_many_requests_are_refused_until_one_has_its_answer() {
    let run = run();
    let (verdict, wait) = mpsc::channel();
    let (at_work, begun) = mpsc::channel();
    let wait = Mutex::new(wait);
    let handle = move |request| {
        if matches!(request, Request::Set { .. }) {
            at_work.send(()).unwrap();
            return wait.lock().unwrap().recv().unwrap();
        }
        echo(request)
    };
    let _server = Server::start(run.path(), handle).unwrap();
    let set = || {
        let path = run.path().to_owned();
        thread::spawn(move || ask(&path, &Request::Set { sets: vec!["epochs=9".into()] }))
    };
    let asked: Vec<_> = (0..CONNECTIONS).map(|_| set()).collect();
    (0..CONNECTIONS).for_each(|_| begun.recv().unwrap());
    let refused = ask(run.path(), &Request::Pause).unwrap();
    assert!(matches!(refused, Response::Refused { text, .. } if text == "the training is busy with 16 other commands"));
    (0..CONNECTIONS).for_each(|_| verdict.send(Response::Done { text: "accepted".into() }).unwrap());
    for one in asked {
        assert_eq!(one.join().unwrap().unwrap(), Response::Done { text: "accepted".into() });
    }
    works(run.path());
}

#[test]
fn a_socket_left_over_is_replaced_by_one_process_only() {
    let run = run();
    for _ in 0..20 {
        drop(UnixListener::bind(Folder::make(run.path()).unwrap().socket()).unwrap());
        let together = Arc::new(Barrier::new(4));
        let starts = [(); 4].map(|()| {
            let (path, together) = (run.path().to_owned(), Arc::clone(&together));
            thread::spawn(move || {
                together.wait();
                Server::start(&path, echo)
            })
        });
        let servers: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
        works(run.path());
        let others = servers.iter().filter(|server| matches!(server, Err(ControlError::InUse { .. }))).count();
        assert_eq!(others, 3, "{servers:?}");
    }
}

#[test]
fn dropping_it_removes_the_socket_though_a_command_is_at_work() {
    let run = run();
    let (verdict, wait) = mpsc::channel();
    let (at_work, begun) = mpsc::channel();
    let wait = Mutex::new(wait);
    let handle = move |_| {
        at_work.send(()).unwrap();
        wait.lock().unwrap().recv().unwrap()
    };
    let server = Server::start(run.path(), handle).unwrap();
    let path = run.path().to_owned();
    let asked = thread::spawn(move || ask(&path, &Request::Stop));
    begun.recv().unwrap();
    drop(server);
    assert!(!run.path().join("control/socket").exists());
    assert!(matches!(ask(run.path(), &Request::Status), Err(ControlError::NotAtWork { .. })));
    let next = Server::start(run.path(), echo).unwrap();
    works(run.path());
    // Who was asked before still answers.
    verdict.send(Response::Done { text: "stopped".into() }).unwrap();
    assert_eq!(asked.join().unwrap().unwrap(), Response::Done { text: "stopped".into() });
    drop(next);
}

#[test]
fn dropping_it_ends_the_thread_and_leaves_the_socket_of_another() {
    let run = run();
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let server = Server::start(run.path(), move |request| {
        let _ = &held;
        echo(request)
    });
    fs::remove_file(run.path().join("control/socket")).unwrap();
    let _other = Server::start(run.path(), echo).unwrap();
    drop(server.unwrap());
    // The thread is gone, and what it held.
    assert_eq!(Arc::strong_count(&alive), 1);
    works(run.path());
}

#[test]
fn the_run_folder_may_be_moved_while_it_listens() {
    let root = tempfile::tempdir().unwrap();
    let (before, after) = (root.path().join("before"), root.path().join("after"));
    fs::create_dir(&before).unwrap();
    fs::write(before.join("journal.jsonl"), "").unwrap();
    let server = Server::start(&before, echo).unwrap();
    fs::rename(&before, &after).unwrap();
    works(&after);
    drop(server);
    assert!(!after.join("control/socket").exists());
}

#[test]
fn a_client_that_does_not_wait_for_its_answer_does_no_harm() {
    let run = run();
    let _server = Server::start(run.path(), echo).unwrap();
    for _ in 0..100 {
        let mut stream = connect(run.path());
        // The 16 places may be taken by those who went away just before.
        let _ = stream.write_all(b"{\"command\":\"status\"}\n");
    }
    while !matches!(ask(run.path(), &Request::Pause).unwrap(), Response::Done { .. }) {}
}
