//! Handles of host values that a call holds.
//!
//! Invariants: a number is never given out twice by one store, so a handle of an earlier call can be told from a live
//! one; after `end_call` nothing is alive.

/// A handle that does not name a live value: kept from an earlier call, or already given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a handle of an earlier call; what a call makes ends with it")]
pub(super) struct StaleHandle;

/// Values of one type, numbered from `base`.
pub(super) struct Handles<T> {
    base: u32,
    entries: Vec<Option<T>>,
    live: usize,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self { base: 0, entries: Vec::new(), live: 0 }
    }
}

impl<T> Handles<T> {
    /// Keeps a value; none when the numbers are used up.
    pub(super) fn push(&mut self, value: T) -> Option<u32> {
        let number = self.base.checked_add(u32::try_from(self.entries.len()).ok()?)?;
        self.entries.push(Some(value));
        self.live += 1;
        Some(number)
    }

    /// A live value.
    pub(super) fn get(&self, number: u32) -> Result<&T, StaleHandle> {
        let index = number.checked_sub(self.base).ok_or(StaleHandle)?;
        self.entries.get(index as usize).and_then(Option::as_ref).ok_or(StaleHandle)
    }

    /// A live value, to change it.
    pub(super) fn get_mut(&mut self, number: u32) -> Result<&mut T, StaleHandle> {
        let index = number.checked_sub(self.base).ok_or(StaleHandle)?;
        self.entries.get_mut(index as usize).and_then(Option::as_mut).ok_or(StaleHandle)
    }

    /// Takes a live value out.
    pub(super) fn take(&mut self, number: u32) -> Result<T, StaleHandle> {
        let index = number.checked_sub(self.base).ok_or(StaleHandle)?;
        let value = self.entries.get_mut(index as usize).and_then(Option::take).ok_or(StaleHandle)?;
        self.live -= 1;
        Ok(value)
    }

    /// How many handles the call has made so far.
    pub(super) fn made(&self) -> usize {
        self.entries.len()
    }

    /// How many values are alive.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Frees every value and says how many there were: the plugin still has their handles.
    pub(super) fn end_call(&mut self) -> usize {
        // Saturation is harmless: `push` refuses at the end of the numbers.
        self.base = self.base.saturating_add(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        self.entries.clear();
        std::mem::take(&mut self.live)
    }

    /// Whether a new store is due before the numbers run out.
    pub(super) fn nearly_used_up(&self) -> bool {
        self.base > u32::MAX / 2
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_handle_of_an_earlier_call_is_stale() {
        let mut handles = Handles::default();
        let first = handles.push("first").unwrap();
        assert_eq!(handles.end_call(), 1);
        let second = handles.push("second").unwrap();
        assert_eq!(handles.get(first), Err(StaleHandle));
        assert_eq!(handles.take(second), Ok("second"));
        assert_eq!(handles.take(second), Err(StaleHandle));
        assert_eq!(handles.end_call(), 0);
    }
}
