//! The side that asks.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::folder::Folder;
use super::{ControlError, Request, Response};

/// Asks the training in the folder `run`, and waits for its answer as long as it takes.
///
/// # Errors
/// The folder is no run, no training is at work there, it belongs to somebody else, it ends before it answers, or its
/// answer is not understood. A training that refuses has answered.
pub fn ask(run: &Path, request: &Request) -> Result<Response, ControlError> {
    let journal = fs::metadata(run.join("journal.jsonl"));
    let denied = matches!(&journal, Err(error) if error.kind() == io::ErrorKind::PermissionDenied);
    if !denied && !journal.is_ok_and(|journal| journal.is_file()) {
        return Err(ControlError::NotARun { run: run.to_owned() });
    }
    let answer = exchange(run, request).map_err(ControlError::asking(run))?;
    serde_json::from_slice(&answer)
        .map_err(|error| ControlError::Answer { run: run.to_owned(), reason: error.to_string() })
}

fn exchange(run: &Path, request: &Request) -> io::Result<Vec<u8>> {
    let folder = Folder::open(run)?;
    let mut stream = UnixStream::connect(folder.socket())?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    // A server that refuses early has closed the connection, yet its answer can be read.
    let sent = stream.write_all(&line);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    if !answer.ends_with(b"\n") {
        sent?;
        read?;
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::super::tests::run;
    use super::*;
    use miette::Diagnostic;
    use std::os::unix::net::UnixListener;
    use std::thread;

    fn fails(run: &Path, text: &str, help: &str) {
        let error = ask(run, &Request::Status).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(error.help().unwrap().to_string(), help.replace("RUN", &run.display().to_string()));
    }

    /// What `ask` says to a server that reads the request and answers `answer`.
    fn answered(answer: &'static str, text: &str, help: &str) {
        let run = run();
        let listener = UnixListener::bind(Folder::make(run.path()).unwrap().socket()).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 64]).unwrap() > 0);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        fails(run.path(), text, help);
        server.join().unwrap();
    }

    #[test]
    fn a_folder_without_a_journal_is_no_run() {
        let folder = tempfile::tempdir().unwrap();
        let help = "`lossmith runs list` shows the runs there are";
        fails(folder.path(), "is not a run", help);
        fails(&folder.path().join("missing"), "is not a run", help);
    }

    #[test]
    fn without_a_socket_or_with_one_left_over_no_training_is_at_work() {
        let run = run();
        let help = "`lossmith train --resume RUN` goes on with it";
        fails(run.path(), "no training is at work", help);
        let folder = Folder::make(run.path()).unwrap();
        fails(run.path(), "no training is at work", help);
        drop(UnixListener::bind(folder.socket()).unwrap());
        fails(run.path(), "no training is at work", help);
    }

    #[test]
    fn an_end_without_an_answer_is_told() {
        let help = "the training ended while it was asked; `lossmith runs show RUN` tells how";
        answered("", "gave no answer", help);
        answered(r#"{"answer":"done""#, "gave no answer", help);
    }

    #[test]
    fn an_answer_of_another_version_is_told() {
        let help = "is the training of another version of lossmith?";
        answered("hello\n", "is not understood: expected value", help);
        answered("{\"answer\":\"perhaps\"}\n", "is not understood: unknown variant `perhaps`", help);
        answered("{\"answer\":\"status\",\"snapshot\":{}}\n", "is not understood: missing field `run`", help);
    }

    #[test]
    fn another_user_is_not_allowed() {
        // The tests may run as root, who is allowed everything.
        let error = ControlError::asking(Path::new("runs/a"))(io::ErrorKind::PermissionDenied.into());
        assert_eq!(error.to_string(), "the training in runs/a is not yours");
        let help = error.help().unwrap().to_string();
        assert_eq!(help, "only the user who started the training can control it");
    }
}
