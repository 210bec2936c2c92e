//! Tells the host about a panic before it ends the call.

use std::panic::PanicHookInfo;
use std::sync::Once;

/// Sets the panic hook, once.
pub(crate) fn install() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| std::panic::set_hook(Box::new(tell)));
}

fn tell(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("panic without a text");
    let (file, line) = info.location().map_or(("", 0), |place| (place.file(), place.line()));
    crate::bindings::lossmith::plugin::report::panic(message, file, line);
}
