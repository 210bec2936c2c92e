//! Answers of the server that are no page of their own.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use serde::Serialize;

use crate::overview::chain;
use crate::page::message;
use crate::text::shown;

pub(crate) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => failed(&error),
    }
}

pub(crate) fn gone(name: &str) -> Response {
    let text = format!("{} is not here, or not any more.", shown(name));
    (StatusCode::NOT_FOUND, Html(message("Not here", &text).into_string())).into_response()
}

pub(crate) fn failed(error: &dyn std::error::Error) -> Response {
    let page = message("This cannot be shown", &chain(error));
    (StatusCode::INTERNAL_SERVER_ERROR, Html(page.into_string())).into_response()
}
