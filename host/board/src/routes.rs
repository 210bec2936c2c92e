//! What is answered at which address.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, Query as Asked, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use lossmith_run::control::Request;
use lossmith_run::{Curves, Run, RunError, Steps};
use serde::Deserialize;

use crate::access::{Token, guard};
use crate::answer::{failed, gone, json};
use crate::assets::asset;
use crate::charts::{self, Range};
use crate::library::Library;
use crate::live::{News, events};
use crate::marks::marks;
use crate::overlay::{Member, Overlay};
use crate::overview::Overview;
use crate::page::{Resources, page};
use crate::query::Query;
use crate::run_page::{self, Served, Subject};
use crate::{compare, editor, list, session};

/// Runs whose curves are kept; whoever comes back to one does not wait.
const KEPT: usize = 8;

/// What the answers are made from.
#[derive(Clone)]
pub(crate) struct Site {
    library: Arc<Mutex<Library>>,
    /// The curves of the runs that were looked at last, the latest at the end.
    curves: Arc<Mutex<Vec<(String, Curves)>>>,
    news: News,
    /// Whether sources of plugins may be edited.
    edit: bool,
}

impl Site {
    pub(crate) fn new(library: Arc<Mutex<Library>>, news: News, edit: bool) -> Self {
        Self { library, curves: Arc::default(), news, edit }
    }

    fn library(&self) -> MutexGuard<'_, Library> {
        self.library.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in the folder of a run now; none if there is no such run.
    fn run(&self, name: &str) -> Option<Run> {
        let known = self.library().run(name).cloned();
        known.filter(|run| run.path().is_dir()).or_else(|| {
            let mut library = self.library();
            library.look();
            library.run(name).cloned()
        })
    }

    /// Does something with the curves of a run, as they are now.
    fn with_curves<T>(&self, name: &str, run: &Run, action: impl FnOnce(&Curves) -> T) -> Result<T, RunError> {
        let mut kept = self.curves.lock().unwrap_or_else(PoisonError::into_inner);
        let mut curves = match kept.iter().position(|(of, _)| of == name) {
            Some(at) => kept.remove(at).1,
            None => run.curves(Steps::All),
        };
        curves.read()?;
        let result = action(&curves);
        kept.push((name.to_owned(), curves));
        if kept.len() > KEPT {
            kept.remove(0);
        }
        Ok(result)
    }
}

/// All addresses, behind the token.
pub(crate) fn router(site: Site, token: Token) -> Router {
    Router::new()
        .route("/", get(runs))
        .route("/run", get(run))
        .route("/curves", get(curves))
        .route("/compare", get(several))
        .route("/compare/curves", get(curves_of_several))
        .route("/events", get(news))
        .route("/session", get(status).post(command))
        .route("/source", get(source).post(save))
        .route("/assets/{name}", get(file))
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(token, guard))
        .with_state(site)
}

/// Reads files on a thread that may wait for them.
async fn reading(answer: impl FnOnce() -> Response + Send + 'static) -> Response {
    tokio::task::spawn_blocking(answer).await.unwrap_or_else(|error| failed(&error))
}

async fn runs(State(site): State<Site>, Asked(query): Asked<Query>) -> Response {
    reading(move || {
        let mut library = site.library();
        library.look();
        Html(list::render(&library, &query).into_string()).into_response()
    })
    .await
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

async fn run(State(site): State<Site>, Asked(Named { name }): Asked<Named>) -> Response {
    reading(move || {
        let Some(run) = site.run(&name) else { return gone(&name) };
        // First what takes time, while others are served.
        if let Err(error) = site.with_curves(&name, &run, |_| ()) {
            return failed(&error);
        }
        let mut library = site.library();
        let Some(overview) = library.look_at(&name) else { return gone(&name) };
        let edits = overview.edits();
        let html = site.with_curves(&name, &run, |curves| {
            let subject = Subject { name: &name, overview, curves, edits: &edits };
            page(&name, Some(&name), &Resources::Served, &run_page::render(&subject, Some(Served { edit: site.edit })))
                .into_string()
        });
        html.map_or_else(|error| failed(&error), |html| Html(html).into_response())
    })
    .await
}

/// Which curves: all pictures of a run, or one of them between two steps.
#[derive(Deserialize)]
struct Wanted {
    name: String,
    chart: Option<String>,
    from: Option<u64>,
    to: Option<u64>,
}

async fn curves(State(site): State<Site>, Asked(wanted): Asked<Wanted>) -> Response {
    reading(move || {
        let Wanted { name, chart, from, to } = wanted;
        let Some(run) = site.run(&name) else { return gone(&name) };
        let answer = || -> Result<Response, RunError> {
            let Some(id) = chart else {
                let marks = site.library().look_at(&name).map(|overview| marks(&overview.edits()));
                let marks = marks.unwrap_or_default();
                return site.with_curves(&name, &run, |curves| json(&charts::drawing(curves, marks)));
            };
            let range = Range { from: from.unwrap_or(Range::ALL.from), to: to.unwrap_or(Range::ALL.to) };
            let part = site.with_curves(&name, &run, |curves| charts::part(curves, &id, range))?;
            Ok(part.map_or_else(|| gone(&id), |part| json(&part)))
        };
        answer().unwrap_or_else(|error| failed(&error))
    })
    .await
}

/// The names in an address, `run=a&run=b`.
fn names(words: Option<String>) -> Vec<String> {
    let words = words.unwrap_or_default();
    form_urlencoded::parse(words.as_bytes())
        .filter(|(key, _)| key == "run")
        .map(|(_, name)| name.into_owned())
        .collect()
}

async fn several(State(site): State<Site>, RawQuery(words): RawQuery) -> Response {
    reading(move || {
        let mut library = site.library();
        library.look();
        let (known, missing): (Vec<_>, Vec<_>) =
            names(words).into_iter().partition(|name| library.runs().contains_key(name));
        let of = |name| library.runs().get_key_value(name).map(|(name, run)| (name.as_str(), run));
        let runs: Vec<(&str, &Overview)> = known.iter().filter_map(of).collect();
        Html(compare::render(&runs, &missing).into_string()).into_response()
    })
    .await
}

async fn curves_of_several(State(site): State<Site>, RawQuery(words): RawQuery) -> Response {
    reading(move || {
        let (mut members, mut runs) = (Vec::new(), Vec::new());
        {
            let library = site.library();
            let of = |name: &String| library.runs().get_key_value(name).map(|(name, run)| (name.as_str(), run));
            let named = names(words);
            let found: Vec<(&str, &Overview)> = named.iter().filter_map(of).collect();
            let labels = compare::short_names(&found).into_iter().zip(compare::seed_groups(&found));
            for ((name, overview), (label, group)) in found.iter().zip(labels) {
                members.push(Member { label, group });
                runs.push(((*name).to_owned(), overview.run.clone()));
            }
        }
        let mut overlay = Overlay::default();
        for (member, (name, run)) in members.into_iter().zip(runs) {
            if let Err(error) = site.with_curves(&name, &run, |curves| overlay.add(member, curves)) {
                return failed(&error);
            }
        }
        json(&overlay.drawing())
    })
    .await
}

async fn status(State(site): State<Site>, Asked(Named { name }): Asked<Named>) -> Response {
    reading(move || site.run(&name).map_or_else(|| gone(&name), |run| session::answer(&run, &Request::Status))).await
}

async fn command(State(site): State<Site>, Asked(Named { name }): Asked<Named>, body: String) -> Response {
    reading(move || site.run(&name).map_or_else(|| gone(&name), |run| session::command(&run, &body))).await
}

/// A source of a plugin that the training of a run builds.
#[derive(Deserialize)]
struct Sourced {
    name: String,
    file: String,
}

async fn source(State(site): State<Site>, Asked(Sourced { name, file }): Asked<Sourced>) -> Response {
    reading(move || match site.library().look_at(&name).filter(|_| site.edit) {
        Some(run) => editor::text(run, &file),
        None => gone(&file),
    })
    .await
}

async fn save(State(site): State<Site>, Asked(Sourced { name, file }): Asked<Sourced>, body: String) -> Response {
    reading(move || match site.library().look_at(&name).filter(|_| site.edit) {
        Some(run) => editor::save(run, &file, &body),
        None => gone(&file),
    })
    .await
}

async fn news(State(site): State<Site>) -> impl IntoResponse {
    events(site.news.subscribe())
}

async fn file(Path(name): Path<String>) -> Response {
    asset(&name).map_or_else(|| gone(&name), |(kind, content)| ([(CONTENT_TYPE, kind)], content).into_response())
}

async fn nothing() -> Response {
    gone("this address")
}
