//! The limit of an instance's memory.

use wasmtime::ResourceLimiter;

use crate::host_fault::is_exhausted;

/// Refuses linear memory and tables above the limit, and remembers that it did: the guest's allocator then aborts
/// without a word.
pub(super) struct MemoryLimit {
    limit: u64,
    /// Of all memories and tables together: an instance can have several.
    used: u64,
    pub(super) refused: Option<u64>,
    /// Why the machine gave no more, when it did not.
    pub(super) failed: Option<String>,
}

impl MemoryLimit {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, used: 0, refused: None, failed: None }
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.used.saturating_add(desired.saturating_sub(current) as u64);
        let allowed = wanted <= self.limit;
        if allowed {
            self.used = wanted;
        } else {
            self.refused = Some(wanted);
        }
        Ok(allowed)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // It also comes here when a memory's own maximum is reached, which is the plugin's.
        self.failed = Some(format!("{error:#}")).filter(|text| self.refused.is_none() && is_exhausted(text));
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // A reference takes 8 bytes.
        self.memory_growing(current.saturating_mul(8), desired.saturating_mul(8), maximum)
    }
}
