//! System services that a plugin wanted and has not, told by the names of the WASI functions that stand in for them.

use std::fmt;

/// Something that programs have of their system, and plugins have not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// The standard error stream.
    StandardError,
    /// The standard output.
    StandardOutput,
    /// A clock.
    Clock,
    /// Files.
    Files,
    /// Random numbers.
    Random,
    /// Arguments, the environment, the standard input.
    Environment,
    /// To end the process.
    Exit,
    /// A network.
    Network,
}

impl System {
    const STUBS: [(&'static str, Self); 15] = [
        ("stderr_", Self::StandardError),
        ("terminal_stderr_", Self::StandardError),
        ("stdout_", Self::StandardOutput),
        ("terminal_stdout_", Self::StandardOutput),
        ("wall_clock_", Self::Clock),
        ("monotonic_clock_", Self::Clock),
        ("filesystem_", Self::Files),
        ("random_", Self::Random),
        ("insecure_", Self::Random),
        ("environment_", Self::Environment),
        ("stdin_", Self::Environment),
        ("terminal_stdin_", Self::Environment),
        ("exit_", Self::Exit),
        ("tcp_", Self::Network),
        ("udp_", Self::Network),
    ];

    /// The system service of a function of WASI, by the name of its stub.
    pub(super) fn of_stub(name: &str) -> Option<Self> {
        Self::STUBS.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, system)| *system)
    }

    /// Advice for the author of the plugin.
    pub(super) fn help(self) -> &'static str {
        match self {
            Self::StandardError => {
                "Python writes there what nothing catches: an integer beyond 64 bits, a text with half of a character, \
                 a handle that is gone"
            }
            Self::StandardOutput => "`report.info(...)` prints a line beside the training",
            Self::Clock => "a step must give the same each time: `progress` says the epoch and the step",
            Self::Random => "`random` of the SDK gives seeded numbers, the same in a repetition",
            Self::Files => {
                "a plugin sees its batch, its parameters and its state, and nothing else; Python reads a file where a \
                 module is imported for the first time: import it at the top of the plugin's file"
            }
            Self::Environment | Self::Exit | Self::Network => {
                "a plugin sees its batch, its parameters and its state, and nothing else"
            }
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::StandardError => "the standard error stream, which a plugin does not have",
            Self::StandardOutput => "the standard output, which a plugin does not have",
            Self::Clock => "the time, and a plugin has no clock",
            Self::Files => "files, and a plugin has none",
            Self::Random => "random numbers of the system, which a plugin does not have",
            Self::Environment => "arguments, environment or input of a process, which a plugin does not have",
            Self::Exit => "to end the process, and a plugin has none",
            Self::Network => "a network, and a plugin has none",
        })
    }
}
