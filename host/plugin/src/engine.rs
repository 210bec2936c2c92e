//! The one Wasm engine of a process, configured for determinism and against runaway code.

use std::path::PathBuf;
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Cache, Config, Engine, WasmBacktraceDetails};

use crate::bindings;
use crate::host::Host;

/// Length of an epoch of the engine. A deadline is rounded up to it.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Engine and linker, shared by all plugins. One per process: wasmtime 48 keeps compiler contexts per engine for ever
/// (wasmtime issue 14314).
pub struct Runtime {
    pub(super) engine: Engine,
    pub(super) linker: Linker<Host>,
}

impl Runtime {
    /// Makes the engine, links the contract and nothing else (no WASI), and starts the thread that drives deadlines.
    ///
    /// # Errors
    /// When this machine cannot run the engine, or the thread cannot be started.
    pub fn new() -> wasmtime::Result<Self> {
        Self::with(Config::new())
    }

    /// As [`Runtime::new`], for a process that is somebody else's: the engine leaves signals alone. Otherwise a trap is
    /// a signal, and whoever sets or resets handlers afterwards, as `faulthandler` of Python does, lets the first trap
    /// end the process.
    ///
    /// # Errors
    /// As [`Runtime::new`].
    pub fn without_signals() -> wasmtime::Result<Self> {
        let mut config = Config::new();
        config.signals_based_traps(false);
        Self::with(config)
    }

    fn with(mut config: Config) -> wasmtime::Result<Self> {
        config
            .wasm_component_model(true)
            // Our calls are synchronous; concurrency support costs 2.4 to 3 times per call.
            .concurrency_support(false)
            .consume_fuel(true)
            .epoch_interruption(true)
            .cranelift_nan_canonicalization(true)
            .wasm_relaxed_simd(false)
            .wasm_memory64(false)
            // Registering unwind tables is quadratic with some unwinders; traces of Wasm frames do not need them.
            .native_unwind_info(false)
            .wasm_backtrace_details(WasmBacktraceDetails::Enable)
            // Fuel of an instantiation must not depend on the operating system (wasmtime issue 14331).
            .memory_init_cow(false)
            // A reservation larger than the limit on memory: the memory never moves, and 16 plugins fit in 8 GiB of
            // addresses.
            .memory_reservation(512 << 20)
            // A component of Python takes 11 s to compile, one of JavaScript 17 s.
            .cache(Cache::from_file(None).ok());
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        bindings::Plugin::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)?;
        let weak = engine.weak();
        std::thread::Builder::new().name("plugin-deadlines".into()).spawn(move || {
            // Ends with the engine, of which it holds no strong reference.
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })?;
        Ok(Self { engine, linker })
    }
}

/// The folder that compiled components are kept in, by wasmtime's own configuration (a folder `wasmtime` in the user's
/// cache folder, if there is none).
///
/// # Errors
/// When that configuration cannot be read: nothing is kept then.
pub fn compiled_components() -> Result<PathBuf, String> {
    Cache::from_file(None).map(|cache| cache.directory().clone()).map_err(|error| format!("{error:#}"))
}
