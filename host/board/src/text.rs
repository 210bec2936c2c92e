//! Texts of others in a page: names, messages of components, error texts. HTML is escaped where a page is made; here is
//! what a browser would swallow or act on besides.

/// A text in which control characters are pictures of themselves, and what reorders or hides letters is U+FFFD. Line
/// ends and tabs stay.
pub(crate) fn shown(text: &str) -> String {
    text.chars().map(picture).collect()
}

fn picture(letter: char) -> char {
    match letter {
        '\n' | '\t' => letter,
        // The block of control pictures is in the order of the characters.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(letter)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}' => char::REPLACEMENT_CHARACTER,
        _ => letter,
    }
}

/// A number with four digits behind the point, or fewer where it is large.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if !value.is_finite() => value.to_string(),
        _ if size >= 1e6 || (size > 0.0 && size < 1e-4) => format!("{value:.2e}"),
        _ if size >= 1000.0 => format!("{value:.1}"),
        _ => format!("{value:.4}"),
    }
}

/// Bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")];
    let unit = units.into_iter().find(|(of, _)| bytes >= *of);
    unit.map_or_else(|| format!("{bytes} bytes"), |(of, name)| format!("{:.1} {name}", bytes as f64 / of as f64))
}

/// The beginning of a hash, by which it is known.
pub(crate) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_would_act_on_is_a_picture() {
        assert_eq!(shown("\x1b[31mred\0\r\nnext\ttab"), "␛[31mred␀␍\nnext\ttab");
        assert_eq!(shown("a\u{202e}b\u{200b}c\u{9b}ü<"), "a\u{fffd}b\u{fffd}c\u{fffd}ü<");
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [0.5, -12.25, 0.0, 1234.56, 2e7, 0.00001, f64::NAN].map(number);
        assert_eq!(numbers, ["0.5000", "-12.2500", "0.0000", "1234.6", "2.00e7", "1.00e-5", "NaN"]);
        assert_eq!([size(999), size(3 << 20)], ["999 bytes", "3.0 MB"]);
    }
}
