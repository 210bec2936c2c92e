//! The error of a plugin: which one, in which phase, and the cause.

use std::fmt;

use crate::Role;
use crate::handles::StaleHandle;
use crate::printable::{LONGEST, printable, printable_lines};
use crate::system::System;

/// A fault of a plugin: which one, in which bytes, when, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}plugin `{}`{}, {}: {}", machine(.cause), printable(.plugin), short(.hash), shown(.phase), shown(.cause))]
pub struct PluginError {
    /// The plugin's name: its file without the ending.
    pub plugin: String,
    /// SHA-256 of its bytes in hexadecimal; empty before they were read.
    pub hash: String,
    /// The phase in which it happened.
    pub phase: Phase,
    /// The cause.
    pub cause: Box<Cause>,
}

impl PluginError {
    /// Whether the machine is at fault, not the plugin.
    #[must_use]
    pub fn is_of_the_machine(&self) -> bool {
        matches!(*self.cause, Cause::Machine(_))
    }

    /// Advice for the author of the plugin, or for the user who chose it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        self.cause.help().map(|help| shown(&help))
    }
}

fn machine(cause: &Cause) -> &'static str {
    if matches!(cause, Cause::Machine(_)) { "out of memory in " } else { "" }
}

/// Names and texts of a component are in both: a phase and a cause.
fn shown(text: &impl fmt::Display) -> String {
    printable_lines(&text.to_string(), LONGEST)
}

fn short(hash: &str) -> String {
    hash.get(..12).map(|start| format!(" ({start})")).unwrap_or_default()
}

/// The phase in which a fault occurred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reading the file and checking its contract.
    Load,
    /// Compiling to machine code.
    Compile,
    /// Making an instance.
    Instantiate,
    /// Asking for its strategies.
    Describe,
    /// Choosing a strategy and its parameters.
    Configure,
    /// Running a strategy.
    Call {
        /// What it does.
        role: Role,
        /// Its name.
        strategy: String,
    },
}

impl fmt::Display for Phase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load => out.write_str("loading"),
            Self::Compile => out.write_str("compiling"),
            Self::Instantiate => out.write_str("making an instance"),
            Self::Describe => out.write_str("asking for its strategies"),
            Self::Configure => out.write_str("configuring"),
            Self::Call { role, strategy } => write!(out, "{role} `{strategy}`"),
        }
    }
}

/// Why a plugin was refused or its call ended.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A bare name that no component has.
    #[error("there is no plugin `{name}`; looked in: {places}")]
    NoPlugin {
        /// The name.
        name: String,
        /// The places, in their order.
        places: String,
        /// Names that there are.
        known: Vec<String>,
    },
    /// Neither a core module nor a component.
    #[error("this is not WebAssembly: it starts with {start}")]
    NotWasm {
        /// The first bytes.
        start: String,
    },
    /// WebAssembly of another version or kind.
    #[error("this is WebAssembly of another version: its bytes 4 to 7 are {found}")]
    OtherEncoding {
        /// These bytes.
        found: String,
    },
    /// A core module without an embedded component type.
    #[error("this is a core WebAssembly module without a contract")]
    NoComponentType,
    /// A component that does not export `describe`.
    #[error("the component does not export `lossmith:plugin/describe`")]
    NoContract,
    /// An import that is not ours.
    #[error("the component imports `{import}`, which is not in the contract")]
    ForeignImport {
        /// Its name.
        import: String,
    },
    /// An interface of another version.
    #[error("built for {interface}@{found}; this host speaks {spoken}")]
    OtherVersion {
        /// The interface.
        interface: String,
        /// The component's version.
        found: String,
        /// Ours.
        spoken: &'static str,
    },
    /// The bytes are damaged, or do not fit the contract.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// A strategy of a role that the component does not export.
    #[error("describes the {role} `{strategy}` but does not export the role")]
    RoleNotExported {
        /// The role.
        role: Role,
        /// The strategy.
        strategy: String,
    },
    /// A description that cannot be true.
    #[error("its description contradicts itself: {0}")]
    Contradiction(String),
    /// There is no such strategy.
    #[error("has no {role} `{strategy}`")]
    UnknownStrategy {
        /// The role that was wanted.
        role: Role,
        /// The name that was wanted.
        strategy: String,
        /// The strategies of that role.
        known: Vec<String>,
    },
    /// A parameter does not fit its description.
    #[error(transparent)]
    Parameter(#[from] crate::ParameterError),
    /// The plugin panicked.
    #[error("panicked at {file}:{line}: {message}")]
    Panic {
        /// Its message.
        message: String,
        /// The source file.
        file: String,
        /// The line.
        line: u32,
    },
    /// A Wasm trap without a message.
    #[error("trapped: {trap}{}", at(.place))]
    Trap {
        /// Which trap.
        trap: wasmtime::Trap,
        /// Where in the plugin.
        place: Option<SourceLine>,
    },
    /// A host operation failed.
    #[error("operation `{operation}` failed on {shapes}: {message}{}", at(.place))]
    Operation {
        /// The function of the contract.
        operation: &'static str,
        /// Shapes and dtypes of its inputs.
        shapes: String,
        /// What libtorch or the host says.
        message: String,
        /// Where in the plugin.
        place: Option<SourceLine>,
    },
    /// A limit was reached.
    #[error("reached the limit {limit} = {value}{}{}", wanted_text(.wanted), at(.place))]
    Limit {
        /// Its name: that of a field of [`crate::Limits`], with hyphens.
        limit: &'static str,
        /// Its value.
        value: u64,
        /// What the call wanted, where known.
        wanted: Option<u64>,
        /// Where in the plugin.
        place: Option<SourceLine>,
    },
    /// The machine has no more memory.
    #[error("the machine gives no more memory: {0}")]
    Machine(String),
    /// The strategy refused with a text of its own.
    #[error("{0}")]
    Refused(String),
    /// The result is not what the contract asks for.
    #[error("returned {0}")]
    Result(ResultFault),
    /// It wanted something of a system, and has none.
    #[error("wanted {wanted}{}", at(.place))]
    NoSystem {
        /// What.
        wanted: System,
        /// Where in the plugin.
        place: Option<SourceLine>,
    },
    /// The component broke the rules of the component model.
    #[error("broke the component model: {message}{}", at(.place))]
    Abi {
        /// What the engine says.
        message: String,
        /// Where in the plugin.
        place: Option<SourceLine>,
    },
}

impl Cause {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::NotWasm { .. } => "give a `.wasm` file".into(),
            Self::OtherEncoding { .. } => {
                "a component has 0d 00 01 00 there and a core module 01 00 00 00: the file may be damaged; build or \
                 copy it again"
                    .into()
            }
            Self::NoPlugin { name, known, .. } => match crate::suggest::nearest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", known.join(", ")),
            },
            Self::NoComponentType | Self::NoContract => {
                "a plugin is built against the `lossmith:plugin` contract in wit/; in Rust: depend on lossmith-sdk and \
                 use `export!`"
                    .into()
            }
            Self::ForeignImport { .. } => {
                "a plugin can import nothing but `lossmith:plugin`: no files, clocks or network. In Rust build for \
                 wasm32-unknown-unknown; in Python use `componentize-py --stub-wasi`; in JavaScript use \
                 `componentize-js` with --disable for each of stdio, random, \
                 clocks, http and fetch-event"
                    .into()
            }
            Self::RoleNotExported { role, .. } => {
                format!(
                    "export the interface `{role}`: in Rust list the strategy in `export!`; in Python and \
                    JavaScript name the role in plugin.toml"
                )
            }
            Self::Contradiction(_) => {
                "correct the description: the default must be within the range or among the choices, and each name \
                 there once"
                    .into()
            }
            Self::OtherVersion { .. } => "build the plugin again with the SDK of this host".into(),
            Self::UnknownStrategy { strategy, known, role } => match crate::suggest::nearest(strategy, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => format!("it offers no {role} at all"),
                None => format!("it has {}", known.join(", ")),
            },
            Self::Parameter(error) => return error.help(),
            Self::Machine(_) => {
                "this is not the plugin's fault: its limits are not reached. Close other programs, raise the limit of \
                 this process (`ulimit -v`), or take smaller batches"
                    .into()
            }
            Self::Limit { limit: "deadline-ms", .. } => {
                "one operation would end long after it, or the call did not end; raise `deadline-ms` if the strategy \
                 really needs that long"
                    .into()
            }
            Self::Limit { limit, .. } => format!("raise `{limit}` if the strategy really needs that much"),
            Self::Result(ResultFault::NoGradient) => {
                "the loss must depend on the embeddings through differentiable operations: look for `detach`, \
                 comparisons or integers"
                    .into()
            }
            Self::NoSystem { wanted, .. } => wanted.help().into(),
            _ => return None,
        })
    }
}

/// The fault of a result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ResultFault {
    /// A tensor with more or fewer than one element.
    #[error("a tensor of shape {0:?} where a scalar is expected")]
    NotScalar(Vec<i64>),
    /// A NaN or an infinity.
    #[error("{0}, which is not finite")]
    NotFinite(f64),
    /// A tensor through which no gradient flows.
    #[error("a value without gradient")]
    NoGradient,
    /// Another dtype.
    #[error("a tensor of {found} where {expected} is expected")]
    Dtype {
        /// The dtype of the result.
        found: String,
        /// The dtype of the contract.
        expected: &'static str,
    },
    /// Another shape.
    #[error("{what} of shape {found:?} where {expected} is expected")]
    Shape {
        /// What was returned.
        what: &'static str,
        /// Its shape.
        found: Vec<i64>,
        /// What the contract asks for.
        expected: String,
    },
    /// A handle that is not of this call.
    #[error("{}", StaleHandle)]
    Stale,
    /// Positions outside the batch.
    #[error("positions from {low} to {high} where 0 to {last} is the batch")]
    OutsideBatch {
        /// Smallest position.
        low: i64,
        /// Largest position.
        high: i64,
        /// Largest allowed.
        last: i64,
    },
    /// Far more tuples than a batch has different ones.
    #[error("{found} {what}, and the batch has {different} different ones")]
    Tuples {
        /// What was found.
        what: &'static str,
        /// How many came.
        found: u64,
        /// How many there are.
        different: u64,
    },
    /// A fused embedding with another number of columns than for an earlier batch.
    #[error("{found} columns where it returned {before} for another batch of such embeddings")]
    Columns {
        /// How many came.
        found: i64,
        /// How many came before.
        before: i64,
    },
    /// A threshold that no distance has.
    #[error("the threshold {0:e}, which is too large for 32-bit distances")]
    Threshold(f64),
    /// A wrong number of thresholds.
    #[error("{found} thresholds for {expected} slices")]
    ThresholdCount {
        /// How many came.
        found: usize,
        /// How many slices there are.
        expected: i64,
    },
    /// A divisor of pair losses that is not positive and finite.
    #[error("the divisor {0}, which is not a positive number")]
    Divisor(f64),
}

/// A line of a plugin's source, or its function alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// The function.
    pub function: String,
    /// Source file and line, where the component has debug information.
    pub source: Option<(String, u32)>,
}

impl fmt::Display for SourceLine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "in {}", self.function)?;
        match &self.source {
            Some((file, line)) => write!(out, " ({file}:{line})"),
            None => Ok(()),
        }
    }
}

fn at(place: &Option<SourceLine>) -> String {
    place.as_ref().map(|place| format!(", {place}")).unwrap_or_default()
}

fn wanted_text(wanted: &Option<u64>) -> String {
    wanted.map(|wanted| format!(" (wanted {wanted})")).unwrap_or_default()
}
