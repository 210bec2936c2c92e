//! Roles on the command line.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use lossmith_plugin::Role;

/// Reads a role by its name; help texts and completions list all of them.
pub(super) fn role() -> impl TypedValueParser<Value = Role> {
    let value = |role: Role| PossibleValue::new(role.name()).help(role.summary());
    PossibleValuesParser::new(Role::ALL.map(value)).try_map(|name| name.parse::<Role>())
}
