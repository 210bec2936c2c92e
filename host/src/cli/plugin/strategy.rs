//! Chooses a strategy of a component by `--role` and `--strategy`.

use crate::cli::error::CliError;
use lossmith_plugin::{Plugin, Role, Strategy};

/// The strategy of this role and name; what is left out must be clear from the rest.
pub(super) fn meant<'a>(plugin: &'a Plugin, role: Option<Role>, name: Option<&str>) -> Result<&'a Strategy, CliError> {
    if let (Some(role), Some(name)) = (role, name) {
        return Ok(plugin.strategy(role, name)?);
    }
    let is_meant = |strategy: &&Strategy| {
        role.is_none_or(|role| strategy.role == role) && name.is_none_or(|name| strategy.name == name)
    };
    let fitting: Vec<&Strategy> = plugin.strategies.iter().filter(is_meant).collect();
    if let [one] = fitting.as_slice() {
        return Ok(one);
    }
    let listed = |strategies: &[&Strategy]| {
        strategies
            .iter()
            .map(|strategy| format!("{} `{}`", strategy.role, strategy.name))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let all: Vec<&Strategy> = plugin.strategies.iter().collect();
    Err(CliError::Usage(match (fitting.is_empty(), role, name) {
        _ if all.is_empty() => format!("the plugin `{}` describes no strategy", plugin.name),
        (true, Some(role), _) => format!("the plugin `{}` has no {role}; it has {}", plugin.name, listed(&all)),
        (true, None, name) => {
            let name = name.unwrap_or_default();
            let known: Vec<String> = all.iter().map(|strategy| strategy.name.clone()).collect();
            let near = lossmith_plugin::suggest::nearest(name, &known).map(|near| format!("; did you mean `{near}`?"));
            format!(
                "the plugin `{}` has no strategy `{name}`; it has {}{}",
                plugin.name,
                listed(&all),
                near.unwrap_or_default()
            )
        }
        (false, _, Some(_)) => format!("name the role with --role: {}", listed(&fitting)),
        (false, _, None) => format!("name one of the plugin's strategies with --strategy: {}", listed(&fitting)),
    }))
}
