//! How this process was started: the command is a program of its own, and a part of the Python package.

use std::ffi::OsString;
use std::io;
use std::process::Command;
use std::sync::OnceLock;

/// A command line, and what runs it.
#[derive(Clone, Debug)]
pub struct Started {
    /// The words of the command line, the first of which is the name of the command.
    pub words: Vec<OsString>,
    /// What starts the command where this process is another program: that one, and its arguments before the words.
    pub within: Option<(OsString, Vec<OsString>)>,
}

static STARTED: OnceLock<Started> = OnceLock::new();

impl Started {
    /// The program `lossmith` itself.
    #[must_use]
    pub fn program() -> Self {
        Self { words: std::env::args_os().collect(), within: None }
    }

    /// Keeps it for the rest of the process; what is kept first stays.
    pub(crate) fn keep(self) -> &'static Self {
        STARTED.get_or_init(|| self)
    }
}

/// How this process was started; a user of the library who said nothing is a program of its own.
pub(crate) fn started() -> &'static Started {
    STARTED.get_or_init(Started::program)
}

/// The words of the command line, for people.
pub(crate) fn words() -> Vec<String> {
    started().words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// This command once more, with the same words; others can be added.
///
/// # Errors
/// The system does not tell where the program of this process is.
pub(crate) fn again() -> io::Result<Command> {
    let mut command = program()?;
    command.args(started().words.iter().skip(1));
    Ok(command)
}

/// This command without words.
///
/// # Errors
/// As [`again`].
pub(crate) fn program() -> io::Result<Command> {
    Ok(match &started().within {
        Some((program, first)) => {
            let mut command = Command::new(program);
            command.args(first);
            command
        }
        None => Command::new(std::env::current_exe()?),
    })
}
