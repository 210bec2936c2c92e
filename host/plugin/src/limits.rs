//! Every limit that a plugin runs under.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a component may be, what its instance may hold, and what one call of it may use. In TOML and JSON the names
/// have hyphens.
///
/// Fuel and memory bound what the component does itself. Wasm's fuel does not see a matrix product that the host
/// carries out for it, so host work has limits of its own: `host-elements`, `tensor-bytes`, `handles`, and the sizes of
/// shapes and lists. Compiling has limits, too, which are looked at before it begins: `component-bytes`, `entries`,
/// `functions`, and what one function may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// Wasm instructions of a call, roughly. Default 1,000,000,000 (one to four seconds).
    pub fuel: u64,
    /// Wall-clock time of a call in milliseconds; it ends runaway calls and never influences numbers. Default 30,000.
    pub deadline_ms: u64,
    /// Linear memory of an instance in bytes. Default 256 MiB.
    pub memory_bytes: u64,
    /// Elements that the host reads and writes for a call; a matrix product counts its multiply-adds divided by 16
    /// besides, and what takes longer (a sort, a search, places given by an index) counts for as many elements as take
    /// that time. Default 20,000,000,000.
    pub host_elements: u64,
    /// Bytes of the tensors to which a call holds handles at one time, and of those that their backward pass needs.
    /// Default 4 GiB.
    pub tensor_bytes: u64,
    /// Handles that a call makes. Default 100,000.
    pub handles: u32,
    /// Dimensions of a tensor. Default 8.
    pub rank: u32,
    /// Elements of one tensor, also of one that is only expanded. Default 1,000,000,000.
    pub tensor_elements: u64,
    /// Elements of a list that crosses the border of the sandbox. Default 16,777,216.
    pub list_elements: u64,
    /// Bytes of log messages, panic messages, errors and metric names in a call. Default 16,384.
    pub log_bytes: u64,
    /// Metrics that a call reports. Default 256.
    pub metrics: u32,
    /// Different names of metrics that a slot reports in a run. Default 1,024.
    pub metric_names: u32,
    /// Tuples that a miner finds. Default 67,108,864.
    pub tuples: u64,
    /// Columns of a fused embedding. Default 65,536.
    pub fused_columns: u64,
    /// Bytes of all fused embeddings of a part of the data, which an evaluation holds. Default 16 GiB.
    pub fused_bytes: u64,
    /// Programs that are kept for a slot: recorded calls, which run again without the plugin wherever all that it asked
    /// for is the same. 0: each call is made by the plugin. Results are the same but for what `fuse` says. Default 8.
    pub programs: u32,
    /// Operations of a call that is recorded; one with more is made by the plugin each time. Default 4,096.
    pub program_operations: u32,
    /// Whether operations of a program run as one on the CPU, which is faster. The last bits of results are others than
    /// without, always the same ones. Default true.
    pub fuse: bool,
    /// Bytes of a matrix, of a program that runs as one, above which no matrix is made as a whole wherever a few rows
    /// of it at a time will do: they are made again for the gradient. A batch whose matrix of pairs is larger is
    /// recorded without computing anything before it runs, if the plugin reads no values. Default 32 MiB, that of a
    /// batch of 2,896 in 32 bits.
    pub matrix_bytes: u64,
    /// Bytes of the parameters and buffers of a slot, with their names. Default 1 GiB.
    pub state_bytes: u64,
    /// Parameters and buffers of a slot. Default 4,096.
    pub state_tensors: u32,
    /// Bytes of the names, texts and lists in which a component describes its strategies. Default 1 MiB.
    pub description_bytes: u64,
    /// Bytes of a component's file. Default 64 MiB.
    pub component_bytes: u64,
    /// Functions, types, globals and other entries of a component, those of a module once for each of its instances.
    /// The sizes of tables that are filled, the bytes of element items and those of constant expressions count as
    /// entries, too, over all modules of the component. Default 1,000,000.
    pub entries: u64,
    /// Functions of a component. Default 100,000.
    pub functions: u64,
    /// Bytes of one function. Default 1 MiB.
    pub function_bytes: u64,
    /// Local variables of one function. Default 5,000.
    pub function_locals: u64,
    /// Work of compiling one function: its operators with what they take and leave, and at each branch the values that
    /// it may carry. Default 5,000,000 (by estimate a few seconds and some hundred MB).
    pub function_work: u64,
    /// Work of compiling all functions of a component. Default 100,000,000; one of Python took 14,000,000, one of
    /// JavaScript 22,600,000.
    pub compile_work: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 1_000_000_000,
            deadline_ms: 30_000,
            memory_bytes: 256 << 20,
            host_elements: 20_000_000_000,
            tensor_bytes: 4 << 30,
            handles: 100_000,
            rank: 8,
            tensor_elements: 1_000_000_000,
            list_elements: 1 << 24,
            log_bytes: 16 << 10,
            metrics: 256,
            metric_names: 1024,
            tuples: 1 << 26,
            fused_columns: 1 << 16,
            fused_bytes: 16 << 30,
            programs: 8,
            program_operations: 4096,
            fuse: true,
            matrix_bytes: 32 << 20,
            state_bytes: 1 << 30,
            state_tensors: 4096,
            description_bytes: 1 << 20,
            component_bytes: 64 << 20,
            entries: 1_000_000,
            functions: 100_000,
            function_bytes: 1 << 20,
            function_locals: 5000,
            function_work: 5_000_000,
            compile_work: 100_000_000,
        }
    }
}
