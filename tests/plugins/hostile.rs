//! Components that attack whoever loads them: the library, and `plugin inspect` by the real binary.

use std::path::Path;
use std::process::Command;

use lossmith_plugin::{Cause, Limits, Phase};

use crate::load::{MEMORY, by_hand, leb, load_with};

/// A component that offers the contract, with something beside it.
fn beside(fields: &str) -> Vec<u8> {
    let describe = "(instance $describe) (export \"lossmith:plugin/describe@0.1.3\" (instance $describe))";
    wat::parse_str(format!("(component {fields} {describe})")).unwrap()
}

/// A component with a module of these fields, which is never instantiated.
fn with_module(fields: &str) -> Vec<u8> {
    beside(&format!("(core module {fields})"))
}

/// Asserts the limit that loading reaches, before anything is compiled.
#[track_caller]
fn refused(bytes: &[u8], limits: Limits, limit: &str) -> u64 {
    let error = load_with(bytes, limits).unwrap_err();
    assert_eq!(error.phase, Phase::Load);
    match *error.cause {
        Cause::Limit { limit: found, value, wanted: Some(wanted), .. } if found == limit => {
            assert!(wanted > value, "{wanted} is not above {value}");
            wanted
        }
        cause => panic!("{limit} is not what ends it: {cause}"),
    }
}

/// Asserts that a module is refused by a limit at one less than it takes, and loaded at what it takes.
#[track_caller]
fn takes(bytes: &[u8], limit: &str, set: impl Fn(u64) -> Limits, amount: u64) {
    assert_eq!(refused(bytes, set(amount - 1), limit), amount, "{limit}");
    if let Err(error) = load_with(bytes, set(amount)) {
        panic!("{limit} = {amount} is not enough: {error}");
    }
}

#[test]
fn each_limit_of_loading_is_exact() {
    let all = Limits::default;
    let locals = "(local i32 i32 i64) (local f32 f64 i32 i32 i32 i32 i32) i32.const 64";
    let module = by_hand(MEMORY, locals);
    takes(&module, "component-bytes", |component_bytes| Limits { component_bytes, ..all() }, module.len() as u64);
    // `describe`, `cabi_realloc` and six roles.
    takes(&module, "functions", |functions| Limits { functions, ..all() }, 8);
    takes(&module, "function-locals", |function_locals| Limits { function_locals, ..all() }, 10);
    // Groups of locals, each a count and a type: i32 x2, i64, f32, f64, i32 x5; a constant of two bytes after its code,
    // and an end.
    takes(&module, "function-bytes", |function_bytes| Limits { function_bytes, ..all() }, 1 + 5 * 2 + 3 + 1);
    // A constant: 1, and 1 that it leaves. The end: 1, 1 that it takes, 1 that it leaves, and ten locals
    // and a constant that it may carry.
    takes(&module, "function-work", |function_work| Limits { function_work, ..all() }, 2 + 3 + 11);
}

#[test]
fn what_would_take_minutes_to_compile_is_refused() {
    let locals = |count: usize| format!("(local{})", " i32".repeat(count));
    let ifs = |count: usize| "(if (local.get 0) (then (local.set 0 (i32.const 1))))".repeat(count);
    let pushed = |count: usize| "local.get 0 ".repeat(count);
    let dropped = |count: usize| "drop ".repeat(count);
    let targets = |count: usize| " 0".repeat(count);
    for (what, body) in [
        ("many locals, many branches", format!("{} {}", locals(1000), ifs(20_000))),
        ("many operands, many branches", format!("{} {} {} {}", locals(1), pushed(2000), ifs(5000), dropped(2000))),
        ("a table of branches", format!("{} (block (br_table{} (local.get 0)))", locals(4000), targets(2000))),
    ] {
        let module = with_module(&format!("(func {body})"));
        assert!(module.len() < 1 << 19, "{what}: {} bytes", module.len());
        refused(&module, Limits::default(), "function-work");
    }
    // Calls that leave a thousand values each.
    let results = " i32".repeat(1000);
    let many = format!("(import \"a\" \"b\" (func $f (param{results}) (result{results})))");
    let calls = format!("(func {} {} {})", pushed_constants(1000), "call $f ".repeat(3000), dropped(1000));
    refused(&with_module(&format!("{many} {calls}")), Limits::default(), "function-work");
    // Each within its limit, but too many.
    let function = format!("(func {} {})", locals(1000), ifs(100));
    let some = with_module(&function.repeat(20));
    refused(&some, Limits { compile_work: 1_000_000, ..Limits::default() }, "compile-work");
    refused(&with_module(&format!("(func {})", locals(5001))), Limits::default(), "function-locals");
    refused(&with_module(&format!("(func {})", "nop ".repeat(1 << 20))), Limits::default(), "function-bytes");
    refused(&with_module(&"(func)".repeat(100_001)), Limits::default(), "functions");
}

fn pushed_constants(count: usize) -> String {
    "i32.const 1 ".repeat(count)
}

#[test]
fn what_would_take_gigabytes_to_instantiate_is_refused() {
    let globals = "(global i32 (i32.const 0))".repeat(20_000);
    let instances = "(core instance (instantiate $m))".repeat(100);
    refused(&beside(&format!("(core module $m {globals}) {instances}")), Limits::default(), "entries");
    let exported = "(core module $m2 (import \"m\" \"g\" (global i32)))".to_owned()
        + "(core instance $i (instantiate $m)) (core instance (instantiate $m2 (with \"m\" (instance $i))))";
    let fine = beside(&format!("(core module $m (global (export \"g\") i32 (i32.const 0))) {exported}"));
    let error = load_with(&fine, Limits::default()).unwrap_err();
    assert!(matches!(*error.cause, Cause::Invalid(ref text) if text.contains("strategies")), "{error}");
}

#[test]
fn what_a_module_unfolds_to_while_it_is_compiled_is_counted() {
    // Nothing instantiates any of these; they are compiled all the same.
    let tables = |size: u64| format!("(core module (func) (table {size} funcref (ref.func 0)))");
    let wanted = refused(&beside(&tables(1_000_000).repeat(2)), Limits::default(), "entries");
    assert!(wanted > 1_000_000, "{wanted}");
    refused(&beside(&tables(600_000).repeat(2)), Limits::default(), "entries");
    // An empty table is written out up to its last element; without elements it takes nothing until it is made.
    let filled = "(core module (func) (table 2000000 funcref) (elem (i32.const 0) func 0))";
    refused(&beside(filled), Limits::default(), "entries");
    let items = format!("(core module (func) (table 1 funcref) (elem func{}))", " 0".repeat(1_200_000));
    refused(&beside(&items), Limits::default(), "entries");
    let sum = format!("i32.const 1 {}", "i32.const 1 i32.add ".repeat(350_000));
    for field in [
        format!("(global i32 {sum})"),
        format!("(memory 1) (data (offset {sum}) \"a\")"),
        format!("(func) (table 1 funcref) (elem (offset {sum}) func 0)"),
    ] {
        refused(&with_module(&field), Limits::default(), "entries");
    }
    // What is within the limit is no plugin, but for another reason.
    let fine = "(func) (table 1000 funcref (ref.func 0)) (elem func 0 0) (global i32 (i32.const 1))";
    let error = load_with(&with_module(fine), Limits::default()).unwrap_err();
    assert!(!matches!(*error.cause, Cause::Limit { .. }), "{error}");
}

#[test]
fn components_inside_of_a_component_only_pass_names_on() {
    // Each instantiates the one before it twice: 2^20 instances, had nobody looked.
    let doubling = (1..20).fold("(component $c0)".to_owned(), |text, level| {
        let before = format!("$c{}", level - 1);
        format!(
            "{text} (component $c{level} (alias outer 1 {before} (component $x)) (instance (instantiate $x)) (instance \
             (instantiate $x)))"
        )
    });
    let deep = (0..90).fold(String::new(), |inner, _| format!("(component {inner})"));
    let code = "(component (core module))";
    for fields in [doubling.as_str(), &deep, code] {
        let error = load_with(&beside(fields), Limits::default()).unwrap_err();
        assert_eq!(error.phase, Phase::Load);
        let told = matches!(&*error.cause, Cause::Invalid(text) if text.contains("a plugin is one component"));
        assert!(told || error.to_string().contains("nesting"), "{error}");
    }
}

#[test]
fn a_description_is_limited_before_it_is_copied() {
    // At 64 stand the address and the length of a list: 200,000 strategies of zeros.
    let list = "(data (i32.const 64) \"\\00\\01\\00\\00\\40\\0d\\03\\00\")";
    let module = by_hand(&format!("(memory (export \"memory\") 100) {list}"), "i32.const 64");
    let error = load_with(&module, Limits::default()).unwrap_err();
    assert_eq!(error.phase, Phase::Describe);
    assert!(matches!(*error.cause, Cause::Limit { limit: "description-bytes", value: 1_048_576, .. }), "{error}");
    // One name of 2 MiB.
    let named = "(data (i32.const 64) \"\\48\\00\\00\\00\\01\\00\\00\\00\")
        (data (i32.const 72) \"\\00\\00\\00\\00\\00\\01\\00\\00\\00\\00\\20\
        \\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\")";
    let module = by_hand(&format!("(memory (export \"memory\") 100) {named}"), "i32.const 64");
    let error = load_with(&module, Limits::default()).unwrap_err();
    assert!(matches!(*error.cause, Cause::Limit { limit: "description-bytes", .. }), "{error}");
    let raised = Limits { description_bytes: 4 << 20, ..Limits::default() };
    assert_eq!(load_with(&module, raised).unwrap().strategies[0].name.chars().count(), 2 << 20);
}

/// A custom section of a module.
fn section(name: &str, data: &[u8]) -> Vec<u8> {
    let body = [leb(name.len()), name.into(), data.to_vec()].concat();
    [vec![0], leb(body.len()), body].concat()
}

/// A length of four bytes, and what has it.
fn sized(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32).to_le_bytes()[..], content].concat()
}

/// A module that traps, whose debug information has a table of so many lines, to which each of so many units refers.
fn with_debug_information(units: usize, lines: usize) -> Vec<u8> {
    // A unit: one entry with its lines at 0, from address 0 to the largest.
    let abbreviations = [1, 0x11, 0, 0x10, 0x17, 0x11, 0x01, 0x12, 0x06, 0, 0, 0];
    let header = [&4_u16.to_le_bytes()[..], &0_u32.to_le_bytes(), &[4]].concat();
    let entry = [&[1][..], &[0; 8], &0x7fff_ffff_u32.to_le_bytes()].concat();
    let unit = sized(&[header, entry].concat());
    // Version 4: lines of the file `own.rs`, each at the address after the one before.
    let lengths = [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];
    let table = [&[1, 1, 1, 0xfb, 14, 13][..], &lengths, &[0], b"own.rs\0\0\0\0", &[0]].concat();
    let program = [&[0, 5, 2, 0, 0, 0, 0][..], &vec![0x20; lines][..], &[0, 1, 1]].concat();
    let table = sized(&[&4_u16.to_le_bytes()[..], &sized(&table)[..], &program[..]].concat());
    let module = by_hand(MEMORY, "unreachable");
    let sections = [
        section(".debug_abbrev", &abbreviations),
        section(".debug_info", &unit.repeat(units)),
        section(".debug_line", &table),
    ];
    [module, sections.concat()].concat()
}

#[test]
fn debug_information_that_unfolds_is_not_read() {
    let source = |units, lines| {
        let error = load_with(&with_debug_information(units, lines), Limits::default()).unwrap_err();
        match *error.cause {
            Cause::Trap { place, .. } => place.and_then(|place| place.source),
            cause => panic!("{cause}"),
        }
    };
    assert_eq!(source(1, 500_000), Some(("own.rs".to_owned(), 1)));
    assert_eq!(source(30, 500), Some(("own.rs".to_owned(), 1)));
    // As large as the first, to the byte but for 39 units: 20,000,000 lines, had somebody read them.
    assert_eq!(source(40, 500_000), None);
}

/// What `plugin inspect` says of a file that it refuses.
fn inspect(path: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lossmith")).args(["plugin", "inspect"]).arg(path).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn names_in_a_file_move_no_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let colours = "\u{1b}[2J\u{1b}[1;32mPASS: all checks\u{1b}[0m\u{1b}]0;owned\u{7}\u{202e}";
    let escaped: String = colours.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let component = |import: &str| {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        // An instance type without anything in it, and an import of that type.
        bytes.extend([7, 3, 1, 0x42, 0, 10, import.len() as u8 + 5, 1, 0, import.len() as u8]);
        bytes.extend(import.as_bytes());
        bytes.extend([5, 0]);
        bytes
    };
    let mut section = wat::parse_str("(module)").unwrap();
    let name = format!("component-type:{colours}");
    section.extend([0, name.len() as u8 + 5, name.len() as u8]);
    section.extend(name.bytes().chain(*b"junk"));
    let named = format!("(func $f (@name \"a\\0a{escaped}\\0aepoch 9/9\") unreachable)");
    let files = [
        ("import.wasm".to_owned(), component(&format!("{colours} ok"))),
        ("version.wasm".to_owned(), component(&format!("lossmith:plugin/{colours}@9.9{colours}"))),
        ("section.wasm".to_owned(), section),
        ("function.wasm".to_owned(), by_hand(&format!("{MEMORY} {named}"), "call $f i32.const 0")),
        (format!("{colours}\nepoch 1.wasm"), b"nothing".to_vec()),
    ];
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let text = inspect(&path);
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{path:?}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("epoch")), "{path:?}: {text}");
    }
}

#[test]
fn only_regular_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert!(Command::new("mkfifo").arg(path("fifo.wasm")).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", path("zero.wasm")).unwrap();
    assert!(inspect(&path("fifo.wasm")).contains("it is a FIFO"));
    assert!(inspect(&path("zero.wasm")).contains("it is a device"));
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_lossmith")).args(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let losses = crate::support::guest("lossmith-losses");
    let losses = losses.to_str().unwrap();
    for name in ["fifo.wasm", "zero.wasm"] {
        let file = path(name);
        let file = file.to_str().unwrap();
        for arguments in [
            &["train", file][..],
            &["sweep", file],
            &["plugin", "check", losses, "--batch", file],
            &["plugin", "eval", losses, "--role", "loss", "--strategy", "contrastive", "--input", file],
        ] {
            let text = run(arguments);
            assert!(text.contains("not a regular file"), "{arguments:?}: {text}");
        }
    }
}
