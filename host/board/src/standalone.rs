//! A page of a run that needs no server: one file, opened from the disk.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lossmith_run::{Run, RunError, Steps};
use sha2::{Digest, Sha256};

use crate::assets::{CHARTS, STYLE, UPLOT, UPLOT_STYLE};
use crate::charts::drawing;
use crate::marks::marks;
use crate::overview::Overview;
use crate::page::{Resources, page};
use crate::run_page::{self, Subject};
use crate::text::shown;

/// The page of a run with all that it needs: styles, scripts, and the curves, long ones thinned to their outlines. It
/// loads nothing, and its own policy lets it load nothing.
///
/// # Errors
/// The metrics cannot be read. What else is missing is said in the page.
pub fn page_of(run: &Run) -> Result<String, RunError> {
    let mut curves = run.curves(Steps::All);
    curves.read()?;
    let mut overview = Overview::new(run.clone());
    overview.look();
    let (name, edits) = (run.name(), overview.edits());
    let drawing = drawing(&curves, marks(&edits));
    let subject = Subject { name: &name, overview: &overview, curves: &curves, edits: &edits };
    let styles = format!("{UPLOT_STYLE}\n{STYLE}");
    let scripts = format!("{UPLOT}\n{CHARTS}");
    let text = serde_json::to_string(&drawing).map_err(RunError::unwritable(run.path()))?;
    let resources = Resources::Included {
        styles: &styles,
        scripts: &scripts,
        // Nothing in it can end the element: in JSON, `<` stands in strings only.
        curves: &text.replace('<', "\\u003c"),
        policy: &policy(&styles, &scripts),
    };
    Ok(page(&shown(&name), None, &resources, &run_page::render(&subject, None)).into_string())
}

/// These styles and scripts and nothing else.
fn policy(styles: &str, scripts: &str) -> String {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        digest(styles),
        digest(scripts)
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use lossmith_run::{Event, Row, RowKind};

    #[test]
    fn a_page_stands_alone_and_its_texts_stay_texts() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::create(root.path(), "x").unwrap();
        let hostile = "</script><script>alert(1)</script><!--\u{1b}[31m";
        run.record(Event::Failed { error: hostile.into() }).unwrap();
        let values = [(hostile.to_owned(), 1.0), ("loss".to_owned(), f64::NAN)].into();
        run.open_metrics().unwrap().write(&Row { kind: RowKind::Step, epoch: 0, step: 1, values }).unwrap();
        let html = page_of(&run).unwrap();
        // The curves and the scripts, and none of the run's.
        assert_eq!((html.matches("<script").count(), html.matches("</script>").count()), (2, 2));
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&lt;!--␛[31m") && !html.contains('\u{1b}'));
        assert!(!html.contains("src=") && !html.contains("href=\"/assets"));
        // The address in the library's first line is the only one.
        assert_eq!(html.matches("http://").count() + html.matches("https://").count(), 1);
    }
}
