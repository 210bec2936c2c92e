//! Files that are no plugin of this contract, and components that fail before their first call.

use std::path::PathBuf;
use std::sync::Arc;

use lossmith::PluginFault;
use lossmith_plugin::{Cause, Limits, Params, Phase, Plugin, PluginError, Role, Slot};
use tch::Kind;
use wasmparser::{Parser, Payload};
use wasmtime::Trap;

use crate::fixture::{RUNTIME, batch, epoch, setting};
use crate::support;

pub(crate) fn load_with(bytes: &[u8], limits: Limits) -> Result<Arc<Plugin>, PluginError> {
    Plugin::from_bytes(&RUNTIME, "some", bytes.to_vec(), &Arc::new(limits))
}

/// The error of loading some bytes, and the whole text that a user sees.
fn refusal(bytes: &[u8]) -> (PluginFault, String) {
    let error = PluginFault::from(load_with(bytes, Limits::default()).unwrap_err());
    let help = error.advice().unwrap_or_default();
    let text = format!("{error}\n{help}");
    (error, text)
}

macro_rules! refused {
    ($bytes:expr, $phase:expr, $pattern:pat $(if $guard:expr)?, $words:expr) => {{
        let (error, text) = refusal($bytes);
        assert!(matches!(&*error.cause, $pattern $(if $guard)?), "{:?}", error.cause);
        assert_eq!(error.phase, $phase);
        for word in $words {
            assert!(text.contains(word), "{word} is not in:\n{text}");
        }
    }};
}

/// The bytes of a guest, and the same as a component.
fn module_and_component(package: &str) -> (Vec<u8>, Vec<u8>) {
    let module = std::fs::read(support::module(package)).unwrap();
    let component = wit_component::ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
    (module, component)
}

/// Replaces each `from`, which there must be, by `to` of the same length.
fn patched(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut patched = bytes.to_vec();
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from.as_bytes()).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "{from} is not there");
    for at in places {
        patched[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    patched
}

#[test]
fn a_file_that_is_not_webassembly_is_shown_by_its_first_bytes() {
    let build = "lossmith plugin build";
    refused!(b"", Phase::Load, Cause::NotWasm { .. }, ["nothing", build]);
    let text = ["not WebAssembly", build];
    refused!(b"just text", Phase::Load, Cause::NotWasm { start } if start.contains("6a 75 73 74"), text);
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    refused!(png, Phase::Load, Cause::NotWasm { .. }, ["not WebAssembly", "89 50 4e 47", build]);
    // The magic number alone.
    refused!(b"\0asm", Phase::Load, Cause::NotWasm { .. }, ["not WebAssembly"]);
}

#[test]
fn webassembly_of_another_version_is_told_from_other_files() {
    let (_, component) = module_and_component("lossmith-test-roles");
    for place in 4..8 {
        let mut flipped = component.clone();
        flipped[place] ^= 0x40;
        let bytes = flipped[4..8].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        refused!(&flipped, Phase::Load, Cause::OtherEncoding { found } if *found == bytes,
            ["WebAssembly of another version", &bytes, "0d 00 01 00"]);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let limits = Arc::new(Limits::default());
    for path in [PathBuf::from("no/such/plugin.wasm"), std::env::temp_dir()] {
        let error = Plugin::load(&RUNTIME, &path, &limits).unwrap_err();
        assert!(
            matches!(&*error.cause, Cause::Read { path: found, .. } if *found == path.display().to_string()),
            "{error:?}"
        );
        assert_eq!(error.phase, Phase::Load);
    }
}

#[test]
fn a_module_without_a_contract_is_told_how_to_get_one() {
    let module = wat::parse_str("(module (func (export \"loss\") (result f32) f32.const 0))").unwrap();
    refused!(&module, Phase::Load, Cause::NoComponentType, ["without a contract", "lossmith-sdk", "export!"]);
    let component = wat::parse_str("(component)").unwrap();
    refused!(&component, Phase::Load, Cause::NoContract, ["lossmith:plugin/describe", "lossmith-sdk"]);
}

#[test]
fn a_damaged_file_is_refused() {
    let (module, component) = module_and_component("lossmith-test-roles");
    for bytes in [module, component] {
        for length in [9, 100, bytes.len() / 2, bytes.len() - 1] {
            let (error, text) = refusal(&bytes[..length]);
            // The first sections of a module alone can be a module, without a contract.
            let damaged = matches!(*error.cause, Cause::Invalid(_) | Cause::NoComponentType);
            assert!(damaged, "{length} bytes: {error:?}");
            assert!(text.contains("some"), "{text}");
        }
        let mut bytes = bytes;
        bytes[8..72].fill(0xff);
        let (error, _) = refusal(&bytes);
        assert!(matches!(*error.cause, Cause::Invalid(_)), "{error:?}");
    }
}

#[test]
fn an_import_outside_of_the_contract_is_named() {
    for import in [
        "wasi:clocks/wall-clock@0.2.0",
        "wasi:cli/environment@0.2.6",
        "lossmith:plugin/files@0.1.0",
        "other:package/tensor@0.1.0",
    ] {
        let component = wat::parse_str(format!("(component (import \"{import}\" (instance)))")).unwrap();
        let text = [import, "wasm32-unknown-unknown"];
        refused!(&component, Phase::Load, Cause::ForeignImport { import: found } if found == import, text);
    }
}

#[test]
fn a_function_that_the_contract_does_not_have_is_named() {
    let (_, component) = module_and_component("lossmith-test-roles");
    let component = patched(&component, "[method]tensor.cosine-matrix", "[method]tensor.cosine-MATRIX");
    let (error, text) = refusal(&component);
    assert!(matches!(*error.cause, Cause::Invalid(_)), "{error:?}");
    assert!(text.contains("cosine-MATRIX"), "{text}");
    // A `describe` of another type.
    let wat = "(component (instance $describe) (export \"lossmith:plugin/describe@0.1.5\" (instance $describe)))";
    refused!(&wat::parse_str(wat).unwrap(), Phase::Load, Cause::Invalid(_), ["strategies"]);
}

#[test]
fn an_older_component_works_and_one_of_another_version_is_told_what_is_spoken() {
    let (module, component) = module_and_component("lossmith-test-roles");
    for bytes in [&module, &component] {
        for version in ["0.1.6", "0.2.0", "1.1.0"] {
            let other = patched(bytes, "@0.1.5", &format!("@{version}"));
            refused!(&other, Phase::Load, Cause::OtherVersion { found, .. } if found == version,
                [version, "this host speaks 0.1.0 to 0.1.5", "build the plugin again"]);
        }
        for version in ["0.1.0", "0.1.1", "0.1.2", "0.1.3", "0.1.4"] {
            let older = patched(bytes, "@0.1.5", &format!("@{version}"));
            let plugin = load_with(&older, Limits::default()).unwrap();
            assert_eq!(plugin.contract, version);
            let params = Params::new(plugin.strategy(Role::Loss, "noise").unwrap(), &Default::default()).unwrap();
            let mut slot = Slot::new(Arc::clone(&RUNTIME), plugin, Role::Loss, "noise", params, setting()).unwrap();
            assert!(slot.loss(batch(6, 4, Kind::Double), &epoch(0)).is_ok());
        }
    }
}

#[test]
fn a_described_role_must_be_exported() {
    let (module, _) = module_and_component("lossmith-miners");
    let without = patched(&module, "lossmith:plugin/miner@", "lossmith:plugin/other@");
    refused!(&without, Phase::Describe, Cause::RoleNotExported { role: Role::Miner, .. }, ["miner", "does not export"]);
}

/// A module of the contract by hand: `fields` may be anything, `describe` is the body of the function that lists
/// strategies.
pub(crate) fn by_hand(fields: &str, describe: &str) -> Vec<u8> {
    let role = |name: &str, parameters: &str| {
        format!("(func (export \"lossmith:plugin/{name}\") (param {parameters}) (result i32) unreachable)")
    };
    let (five, six) = ("i32 i32 i32 i32 i32", "i32 i32 i32 i32 i32 i32");
    let roles = [
        role("loss@0.1.5#compute", five),
        role("miner@0.1.5#mine", five),
        role("transfer@0.1.5#compute", five),
        role("balance@0.1.5#weigh", six),
        role("schedule@0.1.5#thresholds", five),
        role("fusion@0.1.5#fuse", five),
    ];
    let wat = format!(
        "(module {fields}
           (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) unreachable)
           (func (export \"lossmith:plugin/describe@0.1.5#strategies\") (result i32) {describe})
           {})",
        roles.concat()
    );
    let mut module = wat::parse_str(wat).unwrap();
    let guest = std::fs::read(support::module("lossmith-test-roles")).unwrap();
    for payload in Parser::new(0).parse_all(&guest) {
        if let Payload::CustomSection(section) = payload.unwrap()
            && section.name().starts_with("component-type")
        {
            let mut body = leb(section.name().len());
            body.extend_from_slice(section.name().as_bytes());
            body.extend_from_slice(section.data());
            module.push(0);
            module.extend(leb(body.len()));
            module.extend(body);
        }
    }
    module
}

/// A number as WebAssembly writes it.
pub(crate) fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 128 {
        bytes.push((number % 128) as u8 | 128);
        number /= 128;
    }
    bytes.push(number as u8);
    bytes
}

pub(crate) const MEMORY: &str = "(memory (export \"memory\") 1)";

#[test]
fn a_module_by_hand_is_a_plugin() {
    // At 64 stand the address and the length of an empty list.
    let plugin = load_with(&by_hand(MEMORY, "i32.const 64"), Limits::default()).unwrap();
    assert!(plugin.strategies.is_empty());
}

#[test]
fn a_describe_that_fails_says_so() {
    refused!(
        &by_hand(MEMORY, "unreachable"),
        Phase::Describe,
        Cause::Trap { trap: Trap::UnreachableCodeReached, .. },
        ["strategies"]
    );
    let divide = "i32.const 1 i32.const 0 i32.div_u";
    refused!(
        &by_hand(MEMORY, divide),
        Phase::Describe,
        Cause::Trap { trap: Trap::IntegerDivisionByZero, .. },
        ["divide by zero"]
    );
    let recurse = by_hand(&format!("{MEMORY} (func $f (call $f))"), "call $f unreachable");
    refused!(&recurse, Phase::Describe, Cause::Trap { trap: Trap::StackOverflow, .. }, ["stack"]);
    // A list outside the memory.
    let outside =
        by_hand(&format!("{MEMORY} (data (i32.const 64) \"\\f0\\ff\\ff\\7f\\01\\00\\00\\00\")"), "i32.const 64");
    refused!(&outside, Phase::Describe, Cause::Abi { .. }, ["component model"]);
    // The address of the list outside the memory.
    refused!(&by_hand(MEMORY, "i32.const -8"), Phase::Describe, Cause::Abi { .. }, ["component model"]);
}

#[test]
fn a_describe_without_end_is_ended() {
    let error = load_with(&by_hand(MEMORY, "(loop br 0) unreachable"), Limits { fuel: 100_000, ..Limits::default() });
    let error = error.unwrap_err();
    assert_eq!(error.phase, Phase::Describe);
    assert!(matches!(*error.cause, Cause::Limit { limit: "fuel", value: 100_000, .. }), "{error:?}");
}

#[test]
fn what_is_described_has_no_control_characters() {
    // The list at 64 has one element at 72: role 0, name at 128, summary at 144, no parameters.
    let data = "(data (i32.const 64) \"\\48\\00\\00\\00\\01\\00\\00\\00\")
                (data (i32.const 72) \"\\00\\00\\00\\00\\80\\00\\00\\00\\04\\00\\00\\00\
                \\90\\00\\00\\00\\05\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\")
                (data (i32.const 128) \"\\1b[2J\") (data (i32.const 144) \"\\07text\")";
    let plugin = load_with(&by_hand(&format!("{MEMORY} {data}"), "i32.const 64"), Limits::default()).unwrap();
    let [strategy] = plugin.strategies.as_slice() else { panic!("{:?}", plugin.strategies) };
    assert_eq!(strategy.name, "\u{fffd}[2J");
    assert_eq!(strategy.summary, "\u{fffd}text");
}

#[test]
fn an_instance_is_made_within_the_limits() {
    let spins = by_hand(&format!("{MEMORY} (func $start (loop br 0)) (start $start)"), "unreachable");
    let error = load_with(&spins, Limits { fuel: 100_000, ..Limits::default() }).unwrap_err();
    assert_eq!(error.phase, Phase::Instantiate);
    assert!(matches!(*error.cause, Cause::Limit { limit: "fuel", .. }), "{error:?}");

    let traps = by_hand(&format!("{MEMORY} (func $start unreachable) (start $start)"), "unreachable");
    refused!(&traps, Phase::Instantiate, Cause::Trap { trap: Trap::UnreachableCodeReached, .. }, ["instance"]);

    // 300 MiB at once, or in parts. References in tables take 8 bytes each.
    for memories in [
        "(memory (export \"memory\") 2400) (table 9830400 funcref) (table 9830400 funcref)",
        "(memory (export \"memory\") 4800)",
        "(memory (export \"memory\") 2400) (memory 2400)",
    ] {
        refused!(
            &by_hand(memories, "i32.const 64"),
            Phase::Instantiate,
            Cause::Limit { limit: "memory-bytes", wanted: Some(314_572_800), .. },
            ["memory-bytes", "[limits]"]
        );
    }
}
