//! `key.path=value` settings, as `--set` has them: how values are written, and where relative paths in them start.

use std::path::Path;

use toml_edit::Value;

use super::config::is_bare;

/// A value as it is typed: TOML, numbers and truth values as Python writes them, else a text (`--set name=second`).
pub(super) fn value(text: &str) -> Value {
    let text = text.trim();
    python(text).or_else(|| text.parse().ok()).unwrap_or_else(|| text.into())
}

/// `True`, `.5`, `1.` and `1e3`, which TOML does not know or takes for something else: a whole number is one, so that
/// it fits keys for numbers and for whole numbers.
fn python(text: &str) -> Option<Value> {
    match text {
        "True" => return Some(true.into()),
        "False" => return Some(false.into()),
        _ => {}
    }
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, Some(exponent)),
        None => (text, None),
    };
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    let short = match unsigned.split_once('.') {
        Some((whole, "")) => is_number(whole),
        Some(("", fraction)) => is_number(fraction),
        Some(_) => false,
        None => exponent.is_some() && is_number(unsigned),
    };
    let whole_exponent = |text: &str| is_number(text.strip_prefix(['+', '-']).unwrap_or(text));
    if !short || !exponent.is_none_or(whole_exponent) {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    // Above this not every whole number is a float.
    let whole = number.fract() == 0.0 && number.abs() <= 2f64.powi(53);
    Some(if whole { Value::from(number as i64) } else { number.into() })
}

/// The setting with relative paths in it made absolute: they start at `here`, the folder where the command was typed or
/// that of the file with the setting. What is no setting stays as it is.
#[must_use]
pub fn rooted(set: &str, here: &Path) -> String {
    let Some((key, text)) = set.split_once('=') else { return set.to_owned() };
    let mut value = value(text);
    let path: Vec<String> = key.trim().split('.').map(str::to_owned).collect();
    if root(&path, &mut value, here) { format!("{key}={}", value.to_string().trim()) } else { set.to_owned() }
}

/// Changes the relative paths in the value of the key `path`. False where there is none.
fn root(path: &[String], value: &mut Value, here: &Path) -> bool {
    let below = |step: &str| [path, &[step.to_owned()]].concat();
    match value {
        Value::String(text) if is_path(path, Path::new(text.value())) && Path::new(text.value()).is_relative() => {
            let joined = here.join(text.value());
            let absolute = std::path::absolute(&joined).unwrap_or(joined);
            let decor = value.decor().clone();
            *value = absolute.to_string_lossy().into_owned().into();
            *value.decor_mut() = decor;
            true
        }
        Value::Array(array) => {
            let entries = array.iter_mut().enumerate();
            // Each of them, not only up to the first.
            entries.fold(false, |any, (index, value)| root(&below(&index.to_string()), value, here) || any)
        }
        Value::InlineTable(table) => {
            table.iter_mut().fold(false, |any, (key, value)| root(&below(key.get()), value, here) || any)
        }
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => false,
    }
}

/// Whether the value of a key is a path: the keys that `Source::parse` makes absolute.
fn is_path(key: &[String], value: &Path) -> bool {
    let steps: Vec<&str> = key.iter().map(String::as_str).collect();
    match steps.as_slice() {
        ["data", "path" | "relabel"] | ["model", "weights" | "path"] | ["teacher", "run" | "weights" | "module"] => {
            true
        }
        [.., "plugin"] => !is_bare(value),
        [.., "plugin", "crate"] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_python_writes_them_too() {
        let read = [
            (".5", "0.5"),
            ("-.5", "-0.5"),
            ("1.", "1"),
            ("1e1", "10"),
            ("1E+2", "100"),
            ("5.e-1", "0.5"),
            ("1e-3", "0.001"),
            ("1e400", "inf"),
            ("True", "true"),
            ("False", "false"),
        ];
        for (text, expected) in read {
            assert_eq!(value(text).to_string(), expected, "{text}");
        }
        for text in ["second", "1.2.3", ".", "e5", "1e", "007", "a.b", "true story", "-", ".e1"] {
            assert_eq!(value(text).as_str(), Some(text), "{text}");
        }
        assert!(value("2026-11-28").is_datetime());
        assert_eq!(value("1.50").as_float(), Some(1.5));
        assert_eq!(value("1_000").as_integer(), Some(1000));
    }

    #[test]
    fn relative_paths_start_where_they_were_typed() {
        let here = Path::new("/typed/here");
        for (set, expected) in [
            ("teacher.run=runs/a", "teacher.run=\"/typed/here/runs/a\""),
            ("data.path=/elsewhere", "data.path=/elsewhere"),
            ("data={kind='folder',path='cats'}", "data={kind='folder',path=\"/typed/here/cats\"}"),
            ("objective.0.loss.plugin=losses", "objective.0.loss.plugin=losses"),
            ("objective.0.loss.plugin=mine.wasm", "objective.0.loss.plugin=\"/typed/here/mine.wasm\""),
            (
                "objective=[{loss={plugin={crate='mine'}}},{loss={plugin='./a'}}]",
                "objective=[{loss={plugin={crate=\"/typed/here/mine\"}}},{loss={plugin=\"/typed/here/./a\"}}]",
            ),
            ("fusion.plugin.crate=mine", "fusion.plugin.crate=\"/typed/here/mine\""),
            ("name=runs/a", "name=runs/a"),
            ("no setting", "no setting"),
        ] {
            // `absolute` takes the `.` away, too.
            assert_eq!(rooted(set, here).replace("/./", "/"), expected.replace("/./", "/"), "{set}");
        }
    }
}
