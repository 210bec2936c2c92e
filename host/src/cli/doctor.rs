//! `lossmith doctor`.

use std::path::Path;

use comfy_table::presets;
use serde_json::json;

use super::error::CliError;
use super::output;
use super::plugin::offered;
use crate::doctor;
use crate::standard::Standard;

pub(super) fn doctor(json: bool) -> Result<(), CliError> {
    let mut findings = doctor::inspect(Path::new("."), &Standard::from_environment());
    let offered = offered();
    if json {
        return output::json(&json!({ "findings": findings, "strategies": offered }));
    }
    let missing = findings.iter().filter(|finding| finding.remedy.is_some()).count();
    let mut table = output::table(presets::NOTHING);
    for finding in findings.drain(..) {
        table.add_row([finding.what, finding.found]);
        if let Some(remedy) = finding.remedy {
            table.add_row([String::new(), format!("remedy: {remedy}")]);
        }
    }
    for (plugin, strategies) in offered {
        table.add_row([format!("plugin {plugin}"), strategies]);
    }
    output::line(&table.trim_fmt())?;
    output::line(&match missing {
        0 => "nothing is missing".to_owned(),
        count => format!("{count} missing: see the remedies"),
    })
}
