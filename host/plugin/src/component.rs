//! Loads a component: checks its bytes and its imports, compiles it, and asks it for its strategies.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tch::{Device, Kind};
use wasmparser::{Parser, Payload};
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre};
use wit_component::ComponentEncoder;

use crate::Params;
use crate::bindings::exports::lossmith::plugin::{balance, describe, fusion, loss, miner, schedule, transfer};
use crate::description::{Role, Strategy};
use crate::engine::Runtime;
use crate::error::{Cause, Phase, PluginError};
use crate::host::Host;
use crate::limits::Limits;
use crate::printable::printable;
use crate::{debug_info, fault, scan, source_line};

/// Versions of the contract that this host speaks: a later patch only adds functions.
const SPOKEN: &str = "0.1.0 to 0.1.5";
/// The minor version and the newest patch of [`SPOKEN`].
const NEWEST: (&str, u32) = ("0.1.", 5);
const PACKAGE: &str = "lossmith:plugin/";
const IMPORTS: [&str; 5] = ["tensor", "context", "state", "random", "report"];

/// A loaded plugin: compiled, linked against the contract, its strategies known.
pub struct Plugin {
    /// The file's name without the ending.
    pub name: String,
    /// SHA-256 of the file's bytes in hexadecimal.
    pub hash: String,
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// Version of the contract that it was built for.
    pub contract: String,
    /// What it offers.
    pub strategies: Vec<Strategy>,
    /// Folders whose code is the SDK's.
    pub(super) sdk: Arc<Vec<String>>,
    pub(super) pre: InstancePre<Host>,
    pub(super) roles: RoleExports,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Plugin").field("name", &self.name).field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// The indices of the exported roles.
#[derive(Default)]
pub(super) struct RoleExports {
    pub(super) loss: Option<loss::GuestIndices>,
    pub(super) miner: Option<miner::GuestIndices>,
    pub(super) transfer: Option<transfer::GuestIndices>,
    pub(super) balance: Option<balance::GuestIndices>,
    pub(super) schedule: Option<schedule::GuestIndices>,
    pub(super) fusion: Option<fusion::GuestIndices>,
}

impl RoleExports {
    fn new(pre: &InstancePre<Host>) -> Self {
        // An interface that is not exported is a role that is not offered.
        Self {
            loss: loss::GuestIndices::new(pre).ok(),
            miner: miner::GuestIndices::new(pre).ok(),
            transfer: transfer::GuestIndices::new(pre).ok(),
            balance: balance::GuestIndices::new(pre).ok(),
            schedule: schedule::GuestIndices::new(pre).ok(),
            fusion: fusion::GuestIndices::new(pre).ok(),
        }
    }

    fn has(&self, role: Role) -> bool {
        match role {
            Role::Loss => self.loss.is_some(),
            Role::Miner => self.miner.is_some(),
            Role::Transfer => self.transfer.is_some(),
            Role::Balance => self.balance.is_some(),
            Role::Schedule => self.schedule.is_some(),
            Role::Fusion => self.fusion.is_some(),
        }
    }
}

impl Plugin {
    /// Loads a file: a component, or a core module with an embedded component type.
    ///
    /// # Errors
    /// When the file cannot be read, is not a plugin of this contract, or does not describe itself.
    pub fn load(runtime: &Runtime, path: &Path, limits: &Arc<Limits>) -> Result<Arc<Self>, PluginError> {
        Self::load_known(runtime, &stem(path), path, limits, &[])
    }

    /// As [`Plugin::load`], under a name that is not the file's, and without compiling what is known already.
    ///
    /// # Errors
    /// As [`Plugin::load`].
    pub fn load_known(
        runtime: &Runtime,
        name: &str,
        path: &Path,
        limits: &Arc<Limits>,
        known: &[Arc<Self>],
    ) -> Result<Arc<Self>, PluginError> {
        let error = |cause| PluginError {
            plugin: name.to_owned(),
            hash: String::new(),
            phase: Phase::Load,
            cause: Box::new(cause),
        };
        let bytes = lossmith_files::read(path, limits.component_bytes).map_err(|source| {
            if source.kind() == std::io::ErrorKind::FileTooLarge {
                let wanted = std::fs::metadata(path).ok().map(|metadata| metadata.len());
                return error(Cause::Limit {
                    limit: "component-bytes",
                    value: limits.component_bytes,
                    wanted,
                    place: None,
                });
            }
            error(Cause::Read { path: path.display().to_string(), source })
        })?;
        match known.iter().find(|plugin| plugin.bytes == bytes) {
            Some(plugin) => Ok(Arc::clone(plugin)),
            None => Self::from_bytes(runtime, name, bytes, limits),
        }
    }

    /// As [`Plugin::load`], from bytes that were read already.
    ///
    /// # Errors
    /// As [`Plugin::load`].
    pub fn from_bytes(
        runtime: &Runtime,
        name: &str,
        bytes: Vec<u8>,
        limits: &Arc<Limits>,
    ) -> Result<Arc<Self>, PluginError> {
        let hash = lossmith_files::hex(&Sha256::digest(&bytes));
        let error =
            |phase, cause| PluginError { plugin: name.to_owned(), hash: hash.clone(), phase, cause: Box::new(cause) };
        let (component, contract) = read(&bytes, limits).map_err(|cause| error(Phase::Load, cause))?;
        let component = debug_info::affordable(component);
        let compiled = Component::from_binary(&runtime.engine, &component)
            .map_err(|fault| error(Phase::Compile, Cause::Invalid(format!("{fault:#}"))))?;
        let pre = runtime
            .linker
            .instantiate_pre(&compiled)
            .map_err(|fault| error(Phase::Load, Cause::Invalid(format!("{fault:#}"))))?;
        let roles = RoleExports::new(&pre);
        let sdk = Arc::new(source_line::sdk_folders(&component));
        let strategies = strategies(runtime, &pre, limits).map_err(|(phase, cause)| error(phase, cause))?;
        if let Some(text) = contradiction(&strategies) {
            return Err(error(Phase::Describe, Cause::Contradiction(text)));
        }
        for Strategy { role, name: strategy, .. } in &strategies {
            if !roles.has(*role) {
                return Err(error(Phase::Describe, Cause::RoleNotExported { role: *role, strategy: strategy.clone() }));
            }
        }
        Ok(Arc::new(Self { name: name.to_owned(), hash, bytes, contract, strategies, sdk, pre, roles }))
    }

    /// A strategy of a role.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn strategy(&self, role: Role, name: &str) -> Result<&Strategy, PluginError> {
        self.strategies.iter().find(|strategy| strategy.role == role && strategy.name == name).ok_or_else(|| {
            let known = self.strategies.iter().filter(|s| s.role == role).map(|s| s.name.clone()).collect();
            self.error(Phase::Configure, Cause::UnknownStrategy { role, strategy: name.to_owned(), known })
        })
    }

    pub(super) fn error(&self, phase: Phase, cause: Cause) -> PluginError {
        PluginError { plugin: self.name.clone(), hash: self.hash.clone(), phase, cause: Box::new(cause) }
    }
}

/// The name of a plugin whose file is at `path`.
#[must_use]
pub fn stem(path: &Path) -> String {
    printable(&path.file_stem().unwrap_or_default().to_string_lossy())
}

/// The bytes of a component from those of a file, and the contract's version. Nothing in them is too much to compile.
fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Cow<'a, [u8]>, String), Cause> {
    scan::over("component-bytes", limits.component_bytes, bytes.len() as u64)?;
    if Parser::is_component(bytes) {
        let contract = check_names(bytes)?;
        scan::scan(bytes, limits)?;
        return Ok((Cow::Borrowed(bytes), contract));
    }
    if !Parser::is_core_wasm(bytes) {
        return Err(other_file(bytes));
    }
    scan::scan(bytes, limits)?;
    let component = componentize(bytes)?;
    let contract = check_names(&component)?;
    Ok((Cow::Owned(component), contract))
}

/// The error for a file that begins neither as a component nor as a core module.
fn other_file(bytes: &[u8]) -> Cause {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    match bytes.split_at_checked(4) {
        Some((b"\0asm", version)) if version.len() >= 4 => {
            Cause::OtherEncoding { found: hex(version.get(..4).unwrap_or_default()) }
        }
        _ if bytes.is_empty() => Cause::NotWasm { start: "nothing".into() },
        _ => Cause::NotWasm { start: format!("the bytes {}", hex(bytes.get(..4).unwrap_or(bytes))) },
    }
}

/// Turns a core module into a component.
fn componentize(bytes: &[u8]) -> Result<Vec<u8>, Cause> {
    let invalid = |error: &dyn std::fmt::Display| Cause::Invalid(error.to_string());
    let mut has_type = false;
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::CustomSection(section) = payload.map_err(|error| invalid(&error))? {
            has_type |= section.name().starts_with("component-type");
        }
    }
    if !has_type {
        return Err(Cause::NoComponentType);
    }
    let encoder = ComponentEncoder::default().validate(true).module(bytes);
    let encoded = encoder.and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| Cause::Invalid(format!("{error:#}")))
}

/// Checks the names of imports and exports before anything is compiled. Returns the contract's version.
fn check_names(component: &[u8]) -> Result<String, Cause> {
    let invalid = |error: wasmparser::BinaryReaderError| Cause::Invalid(error.to_string());
    let mut contract = None;
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(invalid)? {
            // Nested components and modules have imports of their own, which are the outer one's business.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let name = import.map_err(invalid)?.name.name;
                    let interface = ours(name)?;
                    if !interface.is_some_and(|interface| IMPORTS.contains(&interface)) {
                        return Err(Cause::ForeignImport { import: name.to_owned() });
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let name = export.map_err(invalid)?.name.name;
                    if ours(name)? == Some("describe") {
                        contract = name.split_once('@').map(|(_, version)| version.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    contract.ok_or(Cause::NoContract)
}

/// The interface of our package that a name means, if it is one; an error when it is of a version that we do not speak.
fn ours(name: &str) -> Result<Option<&str>, Cause> {
    let Some(rest) = name.strip_prefix(PACKAGE) else { return Ok(None) };
    let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
    let patch = version.strip_prefix(NEWEST.0).and_then(|patch| patch.parse::<u32>().ok());
    let compatible = patch.is_some_and(|patch| patch <= NEWEST.1);
    if compatible {
        return Ok(Some(interface));
    }
    let found = if version.is_empty() { "no version" } else { version };
    Err(Cause::OtherVersion { interface: format!("{PACKAGE}{interface}"), found: found.to_owned(), spoken: SPOKEN })
}

/// The first contradiction in the descriptions, if there is one.
fn contradiction(strategies: &[Strategy]) -> Option<String> {
    let mut names = HashSet::new();
    strategies.iter().find_map(|strategy| {
        let Strategy { role, name, .. } = strategy;
        if !names.insert((role, name)) {
            return Some(format!("the {role} `{name}` is described twice"));
        }
        strategy.contradiction().map(|text| format!("the {role} `{name}`: {text}"))
    })
}

/// Asks a throw-away instance for its strategies.
fn strategies(
    runtime: &Runtime,
    pre: &InstancePre<Host>,
    limits: &Arc<Limits>,
) -> Result<Vec<Strategy>, (Phase, Cause)> {
    let host = Host::new(Arc::clone(limits), Device::Cpu, Kind::Float, 0, 0, Arc::new(Params::default()));
    let mut store = Store::new(&runtime.engine, host);
    fault::arm(&mut store);
    let described_bytes = limits.description_bytes;
    store.set_hostcall_fuel(usize::try_from(described_bytes).unwrap_or(usize::MAX));
    let indices =
        describe::GuestIndices::new(pre).map_err(|fault| (Phase::Load, Cause::Invalid(format!("{fault:#}"))))?;
    let instance =
        pre.instantiate(&mut store).map_err(|fault| (Phase::Instantiate, fault::cause(&mut store, &fault)))?;
    let described =
        indices.load(&mut store, &instance).and_then(|guest| guest.call_strategies(&mut store)).map_err(|fault| {
            match fault::cause(&mut store, &fault) {
                Cause::Limit { limit: "list-elements", wanted, place, .. } => {
                    let limit = "description-bytes";
                    (Phase::Describe, Cause::Limit { limit, value: described_bytes, wanted, place })
                }
                cause => (Phase::Describe, cause),
            }
        })?;
    Ok(described.into_iter().map(Strategy::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_up_to_ours_are_compatible_within_a_minor() {
        for version in ["0.1.0", "0.1.1", "0.1.2", "0.1.3", "0.1.4", "0.1.5"] {
            assert!(matches!(ours(&format!("lossmith:plugin/loss@{version}")), Ok(Some("loss"))), "{version}");
        }
        assert!(matches!(ours("wasi:clocks/wall-clock@0.2.0"), Ok(None)));
        for other in ["0.1.6", "0.2.0", "0.10.0", "1.0.0", "0.1.0-rc"] {
            assert!(
                matches!(ours(&format!("lossmith:plugin/loss@{other}")), Err(Cause::OtherVersion { .. })),
                "{other}"
            );
        }
    }
}
