//! What tools say. It may be of a plugin's author: the message of a build script, or of an exception.

use std::io::{BufRead, BufReader, Read};

use lossmith_plugin::printable::printable;

/// The lines that a tool writes, as far as they can be read, without what a terminal would act on.
pub(super) fn lines(from: impl Read) -> impl Iterator<Item = String> {
    let lines = BufReader::new(from).split(b'\n').map_while(Result::ok);
    lines.map(|line| printable(String::from_utf8_lossy(&line).trim_end_matches('\r')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_cannot_act_on_a_terminal() {
        let said: Vec<_> = lines(&b"fine\r\n\x1b]0;title\x07\xff"[..]).collect();
        assert_eq!(said, ["fine", "\u{fffd}]0;title\u{fffd}\u{fffd}"]);
    }
}
