//! Quoting of names in what is hashed and stored.

/// The name in quotation marks, so that no name can pass for the end of another. The form never changes: digests of
/// data and checkpoints are made with it.
#[must_use]
pub fn quoted(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    text.push('"');
    for character in name.chars() {
        match character {
            '\'' => text.push('\''),
            other => text.extend(other.escape_debug()),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_confused_is_escaped() {
        assert_eq!(quoted("layer1.0/weight"), "\"layer1.0/weight\"");
        assert_eq!(quoted("it's \"one\"\\\n\u{1b}é"), "\"it's \\\"one\\\"\\\\\\n\\u{1b}é\"");
    }
}
