//! Commands for a training at work, by the protocol of `lossmith session`.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lossmith_run::Run;
use lossmith_run::control::{ControlError, Request, ask};
use miette::Diagnostic;

use crate::answer::json;
use crate::overview::chain;

/// What the training says to a command in JSON.
pub(crate) fn command(run: &Run, body: &str) -> Response {
    match serde_json::from_str(body) {
        Ok(request) => answer(run, &request),
        Err(error) => (StatusCode::BAD_REQUEST, format!("this is no command: {error}")).into_response(),
    }
}

/// What the training says. It may take its time, as the check of an edit does.
pub(crate) fn answer(run: &Run, request: &Request) -> Response {
    match ask(run.path(), request) {
        Ok(response) => json(&response),
        Err(error) => (StatusCode::CONFLICT, told(&error)).into_response(),
    }
}

fn told(error: &ControlError) -> String {
    let help = error.help().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    format!("{}{help}", chain(error))
}
