//! Unknown keys, found by walking the file beside the JSON schema.

use serde_json::Value as Schema;
use toml::Value;

/// A key that the schema does not know.
#[derive(Debug, PartialEq)]
pub(super) struct UnknownKey {
    /// Where it is: `model.widht`.
    pub(super) path: String,
    /// The key itself.
    pub(super) key: String,
    /// The keys that are allowed there.
    pub(super) known: Vec<String>,
}

/// The first key of `value` that `schema` does not know.
pub(super) fn unknown(schema: &Schema, value: &Value) -> Option<UnknownKey> {
    walk(schema, schema, value, "")
}

fn walk(root: &Schema, schema: &Schema, value: &Value, path: &str) -> Option<UnknownKey> {
    let schema = resolve(root, schema, value);
    let below = |step: &str| if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") };
    match value {
        Value::Table(table) => {
            let properties = schema.get("properties").and_then(Schema::as_object)?;
            table.iter().find_map(|(key, value)| match properties.get(key) {
                Some(schema) => walk(root, schema, value, &below(key)),
                None => {
                    Some(UnknownKey { path: below(key), key: key.clone(), known: properties.keys().cloned().collect() })
                }
            })
        }
        Value::Array(values) => {
            let items = schema.get("items")?;
            values.iter().enumerate().find_map(|(index, value)| walk(root, items, value, &below(&index.to_string())))
        }
        _ => None,
    }
}

/// Follows a reference, and a choice of forms to the one that a table or a list has.
fn resolve<'a>(root: &'a Schema, schema: &'a Schema, value: &Value) -> &'a Schema {
    if let Some(name) = schema.get("$ref").and_then(Schema::as_str).and_then(|name| name.strip_prefix("#/$defs/")) {
        let definition = root.get("$defs").and_then(|definitions| definitions.get(name));
        return definition.map_or(schema, |definition| resolve(root, definition, value));
    }
    let choices = schema.get("anyOf").and_then(Schema::as_array).into_iter().flatten();
    let mut forms = choices.map(|choice| resolve(root, choice, value));
    let wanted = if value.is_array() { "items" } else { "properties" };
    forms.find(|form| form.get(wanted).is_some()).unwrap_or(schema)
}
