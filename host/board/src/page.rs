//! What all pages have: the head, the way back, and the scripts.

use maud::{DOCTYPE, Markup, html};

use crate::text::shown;

/// The scripts and styles of a page.
pub(crate) enum Resources<'a> {
    /// From the server, with news of what changes.
    Served,
    /// In the page itself: its styles, its scripts, its curves as JSON, and the policy that allows these and no more.
    Included { styles: &'a str, scripts: &'a str, curves: &'a str, policy: &'a str },
}

/// A page. `run` is the name of the run that it is about.
pub(crate) fn page(title: &str, run: Option<&str>, resources: &Resources<'_>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @match resources {
                    Resources::Served => {
                        title { (shown(title)) " · lossmith" }
                        link rel="icon" href="/assets/icon.svg";
                        link rel="stylesheet" href="/assets/uPlot.min.css";
                        link rel="stylesheet" href="/assets/board.css";
                        script src="/assets/uPlot.iife.min.js" defer {}
                        script src="/assets/charts.js" defer {}
                        script src="/assets/steer.js" defer {}
                        script src="/assets/editor.js" defer {}
                        script src="/assets/live.js" defer {}
                    }
                    Resources::Included { styles, policy, .. } => {
                        meta http-equiv="Content-Security-Policy" content=(policy);
                        title { (shown(title)) }
                        style { (maud::PreEscaped(styles)) }
                    }
                }
            }
            body data-run=[run] {
                header.top {
                    @if let Resources::Served = resources {
                        a.home href="/" { "lossmith board" }
                        span #connection role="status" {}
                    } @else {
                        span.home { "lossmith" }
                    }
                }
                main { (body) }
                @if let Resources::Included { scripts, curves, .. } = resources {
                    script #curves type="application/json" { (maud::PreEscaped(curves)) }
                    script { (maud::PreEscaped(scripts)) }
                }
            }
        }
    }
}

/// A page that says what went wrong, and what to do.
pub(crate) fn message(title: &str, text: &str) -> Markup {
    page(title, None, &Resources::Served, &html! { h1 { (title) } p { (shown(text)) } })
}
