//! Texts of others, made harmless for a terminal: names and messages of components, names of files, error texts.
//!
//! What could move the cursor, hide or reorder text, or begin a line of its own is shown as U+FFFD.

use std::borrow::Cow;

/// Characters of a message; what is longer is cut.
pub const LONGEST: usize = 4000;

/// A text on one line: control characters, line ends, and characters without a shape of their own (directions, zero
/// width, private use, unassigned) become U+FFFD. A tab stays.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_printable(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// A text of several lines, each printable, cut after `longest` characters. Every line but the first begins with a
/// mark, so that none can be taken for a line of ours.
#[must_use]
pub fn printable_lines(text: &str, longest: usize) -> String {
    let text = cut(text, longest);
    text.lines().map(printable).collect::<Vec<_>>().join("\n  | ")
}

/// Whether a text of ours, which may have lines, has nothing in it that [`printable`] replaces.
#[must_use]
pub fn is_harmless(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || is_printable(c))
}

/// The same lines, each printable.
#[must_use]
pub fn harmless(text: &str) -> Cow<'_, str> {
    if is_harmless(text) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split('\n').map(printable).collect::<Vec<_>>().join("\n"))
}

/// JSON of the same meaning that is harmless: what a terminal would act on can stand in its strings only, and is
/// escaped there.
#[must_use]
pub fn harmless_json(json: &str) -> Cow<'_, str> {
    if is_harmless(json) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || is_printable(c) {
            escaped.push(c);
        } else {
            let units = c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            escaped.push_str(&units);
        }
    }
    Cow::Owned(escaped)
}

/// A text of at most `longest` characters, which ends in `...` if it was longer.
#[must_use]
pub fn cut(text: &str, longest: usize) -> Cow<'_, str> {
    match text.char_indices().nth(longest) {
        Some((end, _)) => Cow::Owned(format!("{}...", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return c == '\t' || !c.is_ascii_control();
    }
    if c.is_whitespace() {
        return !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}');
    }
    // The standard library escapes what has no shape. It does so for marks that change the letter before them only when
    // there is none.
    ['a', c].into_iter().eq(String::from_iter(['a', c]).escape_debug())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_replaced() {
        let escapes = "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m";
        assert_eq!(printable(escapes), "\u{fffd}[2J\u{fffd}]0;title\u{fffd}\u{fffd}31m");
        let lines = "a\nb\rc\u{85}d\u{2028}e\u{2029}f\u{b}g\0";
        assert_eq!(printable(lines).replace('\u{fffd}', "|"), "a|b|c|d|e|f|g|");
        let unseen = "\u{202e}\u{202c}\u{2066}\u{200b}\u{200d}\u{200e}\u{feff}\u{ad}\u{e0041}\u{e000}";
        assert_eq!(printable(unseen), "\u{fffd}".repeat(unseen.chars().count()));
    }

    #[test]
    fn what_people_write_stays() {
        for text in ["a\ttab, \"quotes\" \\ '", "Größe é e\u{301} 日本語\u{3000}ภาษาไทย हिन्दी α ∑ → ⏎ 🙂"]
        {
            assert_eq!(printable(text), text);
            assert!(is_harmless(text));
        }
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({ "a\u{202e}b": ["\u{1b}[2J\n", "\u{e0041}\u{9b}", "fine"] });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let harmless = harmless_json(&text);
        assert!(is_harmless(&harmless), "{harmless}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&harmless).unwrap(), value);
    }

    #[test]
    fn lines_of_others_are_marked_and_cut() {
        assert_eq!(printable_lines("fine\nepoch 9/9\r\n\u{1b}end", LONGEST), "fine\n  | epoch 9/9\n  | \u{fffd}end");
        assert_eq!(printable_lines("abcdef", 3), "abc...");
        assert_eq!(printable_lines("äöü", 3), "äöü");
        assert_eq!(harmless("ours\n\u{1b}theirs"), "ours\n\u{fffd}theirs");
    }
}
