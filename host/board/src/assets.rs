//! The files that a browser is given. They are in the program.

/// Draws curves; its licence is beside it, and in its first line the address.
pub(crate) const UPLOT: &str = include_str!("../assets/uplot/uPlot.iife.min.js");
pub(crate) const UPLOT_STYLE: &str = include_str!("../assets/uplot/uPlot.min.css");
pub(crate) const CHARTS: &str = include_str!("../assets/charts.js");
pub(crate) const STYLE: &str = include_str!("../assets/board.css");
const STEER: &str = include_str!("../assets/steer.js");
const EDITOR: &str = include_str!("../assets/editor.js");
const LIVE: &str = include_str!("../assets/live.js");
const ICON: &str = include_str!("../assets/icon.svg");
const UPLOT_LICENCE: &str = include_str!("../assets/uplot/LICENSE");

const SCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// The type and the content of a file.
pub(crate) fn asset(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        "uPlot.iife.min.js" => Some((SCRIPT, UPLOT)),
        "uPlot.min.css" => Some((CSS, UPLOT_STYLE)),
        "uPlot-LICENSE.txt" => Some(("text/plain; charset=utf-8", UPLOT_LICENCE)),
        "charts.js" => Some((SCRIPT, CHARTS)),
        "steer.js" => Some((SCRIPT, STEER)),
        "editor.js" => Some((SCRIPT, EDITOR)),
        "live.js" => Some((SCRIPT, LIVE)),
        "board.css" => Some((CSS, STYLE)),
        "icon.svg" => Some(("image/svg+xml", ICON)),
        _ => None,
    }
}
