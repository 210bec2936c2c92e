//! Faults of plugins, with the help that users of the command need.

use std::fmt;
use std::ops::Deref;

use lossmith_plugin::suggest::nearest;
use lossmith_plugin::{Cause, PluginError};
use miette::Diagnostic;

/// A fault of a plugin whose help also names the commands and the keys of an experiment that matter there.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PluginFault(#[from] PluginError);

impl Deref for PluginFault {
    type Target = PluginError;

    fn deref(&self) -> &PluginError {
        &self.0
    }
}

impl PluginFault {
    /// Advice for a user of the command.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let help = self.0.help()?;
        Some(match commands(&self.0.cause) {
            Some(more) => format!("{help}; {more}"),
            None => help,
        })
    }
}

impl Diagnostic for PluginFault {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.advice().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
}

/// The commands and keys that matter for a cause, which the crate's help cannot name.
fn commands(cause: &Cause) -> Option<&'static str> {
    match cause {
        Cause::NotWasm { .. } => Some("`lossmith plugin build DIR` makes one from a plugin's folder"),
        // Where a name is near, that is the help.
        Cause::NoPlugin { name, known, .. } if nearest(name, known).is_none() => {
            Some("`lossmith plugin build DIR` makes a component from a plugin's folder, which is named by its path")
        }
        Cause::ForeignImport { .. } => Some("`lossmith plugin build` does all that"),
        Cause::Limit { limit: "deadline-ms", .. } => Some("an experiment does so under [limits]"),
        Cause::Limit { .. } => {
            Some("an experiment does so under [limits], and commands that have none keep the default")
        }
        _ => None,
    }
}
