//! Memory of the tensors of a call, counted once whatever views there are of it.
//!
//! Invariants: `bytes` is the sum over the storages that a handle names or the graph keeps; a storage of the graph
//! stays counted until the call ends.

/// The storage that a handle's tensor lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StorageId(usize);

#[derive(Debug)]
struct Storage {
    bytes: u64,
    handles: u64,
    kept: bool,
}

/// The storages of all tensors of a call.
#[derive(Debug, Default)]
pub(super) struct Storages {
    all: Vec<Storage>,
    bytes: u64,
}

impl Storages {
    /// Counts new memory, with one handle.
    pub(super) fn add(&mut self, bytes: u64) -> StorageId {
        self.all.push(Storage { bytes, handles: 1, kept: false });
        self.bytes = self.bytes.saturating_add(bytes);
        StorageId(self.all.len() - 1)
    }

    /// Another handle of the same memory.
    pub(super) fn share(&mut self, id: StorageId) -> StorageId {
        if let Some(storage) = self.all.get_mut(id.0) {
            storage.handles += 1;
        }
        id
    }

    /// A handle less. Memory that nothing needs any more is not counted any more.
    pub(super) fn release(&mut self, id: StorageId) {
        if let Some(storage) = self.all.get_mut(id.0) {
            storage.handles -= 1;
            if storage.handles == 0 && !storage.kept {
                self.bytes = self.bytes.saturating_sub(storage.bytes);
            }
        }
    }

    /// The memory stays counted until the call ends.
    pub(super) fn keep(&mut self, id: StorageId) {
        if let Some(storage) = self.all.get_mut(id.0) {
            storage.kept = true;
        }
    }

    /// Memory without a handle that stays counted until the call ends.
    pub(super) fn hide(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Of all that is counted.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_count_once_and_what_the_graph_keeps_stays() {
        let mut storages = Storages::default();
        let whole = storages.add(100);
        let view = storages.share(whole);
        storages.release(whole);
        assert_eq!(storages.bytes(), 100);
        storages.release(view);
        assert_eq!(storages.bytes(), 0);
        let saved = storages.add(40);
        storages.keep(saved);
        storages.release(saved);
        storages.hide(2);
        assert_eq!(storages.bytes(), 42);
        storages.clear();
        assert_eq!(storages.bytes(), 0);
    }
}
