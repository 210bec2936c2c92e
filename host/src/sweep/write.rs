//! The files that show the results of a sweep.

use std::path::Path;

use super::config::SweepConfig;
use super::curve;
use super::error::SweepError;
use super::results::Results;
use super::table::{self, Table};
use crate::run::RunError;

impl Results {
    /// Writes `results.json`, `table.md` and the curves into a folder, and returns the tables.
    ///
    /// # Errors
    /// A curve that cannot be drawn, or a file that cannot be written.
    pub fn write(&self, config: &SweepConfig, output: &Path) -> Result<Vec<Table>, SweepError> {
        std::fs::create_dir_all(output).map_err(RunError::io("make", output))?;
        let path = output.join("results.json");
        let mut text = serde_json::to_string_pretty(self).map_err(RunError::unwritable(&path))?;
        text.push('\n');
        put(&path, text.as_bytes())?;
        let tables = table::tables(self, config);
        put(&output.join("table.md"), table::markdown(&tables, config).as_bytes())?;
        for setting in &config.setting {
            if let Some(svg) = curve::draw(self, config, &setting.name)? {
                put(&output.join(file("curve", &setting.name)), svg.as_bytes())?;
            }
            if let Some(svg) = curve::draw_classes(self, config, &setting.name)? {
                put(&output.join(file("classes", &setting.name)), svg.as_bytes())?;
            }
        }
        Ok(tables)
    }
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    lossmith_files::replace(path, bytes).map_err(RunError::io("write", path))
}

/// The name of a picture of a setting; a sweep without settings has one that has no name.
fn file(picture: &str, setting: &str) -> String {
    if setting.is_empty() { format!("{picture}.svg") } else { format!("{picture}-{setting}.svg") }
}
