//! Catches the panics in which `tch` ends some errors of libtorch, and makes errors of them.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::sync::Once;

use tch::TchError;

thread_local! {
    /// Whether a panic of this thread is caught by [`catch_panic`].
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs operations of libtorch. When one with a number among its arguments fails, `tch` 0.26 frees that number before
/// it looks at the error, and panics there; a mistake of a plugin must not end the process, nor print a panic.
pub(super) fn catch_panic<T>(run: impl FnOnce() -> Result<T, TchError>) -> Result<T, TchError> {
    quieten();
    let before = EXPECTED.replace(true);
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(run));
    EXPECTED.set(before);
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map_or("a panic without a text", String::as_str);
        // The error stands in the text as Rust would write it: `.. Torch("message\nException raised ..")`.
        let message = text.split_once("Torch(\"").map_or(text, |(_, message)| message);
        Err(TchError::Torch(message.split("\\n").next().unwrap_or(message).to_owned()))
    })
}

/// Lets expected panics pass without a word; all others are told as before.
fn quieten() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !EXPECTED.get() {
                told(panic);
            }
        }));
    });
}
