//! What a value should have been, in words: serde names types of Rust.

use serde_json::Value as Schema;

/// Before what was expected.
const EXPECTED: &str = ", expected ";

/// Whether a text may be what was expected.
pub(super) fn is_text(message: &str) -> bool {
    let expected = message.rsplit_once(EXPECTED).map_or(message, |(_, expected)| expected);
    ["string", "path", "character"].iter().any(|word| expected.contains(word))
}

/// The message with what was expected in words. `schema` has the keys of tables.
pub(super) fn in_words(message: &str, schema: &Schema) -> String {
    let Some((given, expected)) = message.rsplit_once(EXPECTED) else { return message.to_owned() };
    match words(expected, schema) {
        Some(words) => format!("{given}{EXPECTED}{words}"),
        None => message.to_owned(),
    }
}

fn words(expected: &str, schema: &Schema) -> Option<String> {
    // Of a list in place of a table it says how many keys there are.
    if let Some(name) = expected.strip_prefix("struct ").and_then(|rest| rest.split(' ').next()) {
        return Some(table(name, schema));
    }
    let whole = |from: &str| format!("a whole number from {from} on");
    Some(match expected {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" | "usize" => whole("0"),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        _ if expected.starts_with("a nonzero u") => whole("1"),
        "f32" | "f64" => "a number".to_owned(),
        "a string" | "a borrowed string" | "path string" => "a text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        _ => return None,
    })
}

/// A table, with the keys that it cannot do without.
fn table(name: &str, schema: &Schema) -> String {
    let of_definition = schema.get("$defs").and_then(|definitions| definitions.get(name));
    let required = of_definition.unwrap_or(schema).get("required").and_then(Schema::as_array).into_iter().flatten();
    let keys: Vec<_> = required.filter_map(Schema::as_str).map(|key| format!("`{key}`")).collect();
    match keys.as_slice() {
        [] => "a table".to_owned(),
        [key] => format!("a table with {key}"),
        [others @ .., last] => format!("a table with {} and {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_said_without_types_of_rust() {
        let schema = crate::experiment::schema();
        for (expected, words) in [
            ("u64", "a whole number from 0 on"),
            ("a nonzero usize", "a whole number from 1 on"),
            ("f64", "a number"),
            ("struct StrategyConfig", "a table with `plugin` and `strategy`"),
            ("struct StrategyConfig with 4 elements", "a table with `plugin` and `strategy`"),
            ("struct RunConfig", "a table"),
            ("a sequence", "a list"),
            ("`a` or `b`", "`a` or `b`"),
        ] {
            let message = format!("invalid type: integer `7`, expected {expected}");
            assert_eq!(in_words(&message, &schema), format!("invalid type: integer `7`, expected {words}"));
        }
        assert_eq!(in_words("missing field `epochs`", &schema), "missing field `epochs`");
    }

    #[test]
    fn a_text_is_advised_only_where_one_fits() {
        for (message, fits) in [
            ("invalid type: integer `1`, expected a string", true),
            ("invalid type: integer `1`, expected path string", true),
            ("a plugin is a path, a bare name, or { crate = \"DIRECTORY\" }", true),
            ("wanted string or table", true),
            ("invalid value: integer `-1`, expected u64", false),
            ("invalid type: string \"two\", expected u64", false),
        ] {
            assert_eq!(is_text(message), fits, "{message}");
        }
    }
}
