//! Sets the limits of a call before it begins, and finds the cause where it failed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{FrameSymbol, Store, Trap, WasmBacktrace};

use crate::engine::TICK;
use crate::error::Cause;
use crate::host::Host;
use crate::host_fault::{HostFault, is_exhausted};
use crate::source_line;
use crate::system::System;

/// Gives a call its fuel and deadline.
pub(super) fn arm(store: &mut Store<Host>) {
    let (fuel, deadline) = (store.data().limits.fuel, store.data().limits.deadline_ms);
    store.limiter(|host| &mut host.memory);
    // The engine has a limit of its own, on all live and lent handles together; ours, on each kind, is to come first.
    store.set_max_component_handles((store.data().limits.handles as usize).saturating_mul(4).max(100_000));
    // So many bytes may cross at once: a list of the longest kind, and some text.
    let list = store.data().limits.list_elements.saturating_mul(8).saturating_add(1 << 20);
    store.set_hostcall_fuel(usize::try_from(list).unwrap_or(usize::MAX));
    // Fails only when the engine does not count fuel; ours does.
    let _ = store.set_fuel(fuel);
    store.data_mut().until = Instant::now().checked_add(Duration::from_millis(deadline));
    // One tick more: the first may come at once.
    store.set_epoch_deadline((deadline / TICK.as_millis() as u64).saturating_add(1).min(u64::MAX / 2));
    store.data_mut().panic = None;
    store.data_mut().memory.refused = None;
    store.data_mut().memory.failed = None;
}

/// Phrases with which languages report that there is no more memory.
const OUT_OF_MEMORY: [&str; 3] = ["MemoryError", "memory allocation of", "out of memory"];

/// The cause of a call's end, by the types of the error that came out of it.
pub(super) fn cause(store: &mut Store<Host>, fault: &wasmtime::Error) -> Cause {
    let sdk = Arc::clone(&store.data().sdk);
    let place = fault.downcast_ref::<WasmBacktrace>().and_then(|backtrace| source_line::of_trap(backtrace, &sdk));
    match fault.downcast_ref::<HostFault>() {
        Some(HostFault::Operation { operation, shapes, message }) => {
            return Cause::Operation { operation, shapes: shapes.clone(), message: message.clone(), place };
        }
        Some(HostFault::Limit { limit, value, wanted }) => {
            return Cause::Limit { limit, value: *value, wanted: *wanted, place };
        }
        Some(HostFault::Machine(message)) => return Cause::Machine(message.clone()),
        None => {}
    }
    // The root alone: the rest has names of the plugin's functions.
    let root = fault.root_cause().to_string();
    if fault.downcast_ref::<Trap>().is_none() && is_exhausted(&root) {
        return Cause::Machine(root);
    }
    let host = store.data_mut();
    // What was told of a panic is not why a call ran out of fuel or time.
    let panics = !matches!(fault.downcast_ref::<Trap>(), Some(Trap::OutOfFuel | Trap::Interrupt));
    let told = host.panic.take().filter(|_| panics);
    // A language may make an exception of its own of memory that it is refused.
    let memory = |message: &str| OUT_OF_MEMORY.iter().any(|words| message.contains(words));
    let refused = |host: &Host| host.memory.refused.is_some();
    if let Some((message, file, line)) = told.filter(|(message, ..)| !(refused(host) && memory(message))) {
        // An allocation that the machine refused ends in the guest's own panic.
        if let Some(failed) = host.memory.failed.take() {
            return Cause::Machine(failed);
        }
        // A panic in the SDK is about what its caller did.
        let own = place.and_then(|place| place.source).filter(|_| source_line::is_sdk(&file, &sdk));
        let (file, line) = own.unwrap_or((file, line));
        return Cause::Panic { message, file, line };
    }
    let system = system(fault);
    if let (Some(wanted), false) = (system, refused(host)) {
        return Cause::NoSystem { wanted, place };
    }
    // A language that is refused memory may end in the function that stands in for a system.
    let place = place.filter(|_| system.is_none());
    let limits = Arc::clone(&host.limits);
    let limit = |limit, value, wanted| Cause::Limit { limit, value, wanted, place: place.clone() };
    if let Some(wanted) = host.memory.refused.take() {
        return limit("memory-bytes", limits.memory_bytes, Some(wanted));
    }
    if let Some(message) = host.memory.failed.take() {
        return Cause::Machine(message);
    }
    match fault.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => limit("fuel", limits.fuel, None),
        Some(Trap::Interrupt) => limit("deadline-ms", limits.deadline_ms, None),
        Some(&trap) => Cause::Trap { trap, place },
        None => {
            let message = fault.root_cause().to_string();
            // The engine's error has no public type.
            if message.contains("fuel allocated for hostcalls has been exhausted") {
                return limit("list-elements", limits.list_elements, None);
            }
            Cause::Abi { message, place }
        }
    }
}

/// What a plugin wanted of a system that it does not have, by the function that is there in its place and ends the
/// call: those that `componentize-py --stub-wasi` puts there are named as the interfaces that they stand for.
fn system(fault: &wasmtime::Error) -> Option<System> {
    if !matches!(fault.downcast_ref::<Trap>(), Some(Trap::UnreachableCodeReached)) {
        return None;
    }
    // The stub may be called through an adapter.
    let frames = fault.downcast_ref::<WasmBacktrace>()?.frames().iter().take(3);
    let names = frames.flat_map(|frame| frame.symbols().iter().filter_map(FrameSymbol::name).chain(frame.func_name()));
    names.into_iter().find_map(System::of_stub)
}
