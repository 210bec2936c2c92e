//! The editor for the sources of plugins that a training builds.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use crate::answer::{failed, gone};
use crate::overview::Overview;
use crate::sources::{SaveError, SourceFile, files};
use crate::text::shown;

/// The place of the editor; nothing where there is nothing to edit.
pub(crate) fn section(run: &Overview) -> Markup {
    let files = files(run);
    html! {
        @if !files.is_empty() {
            section id="editor" aria-label="Editor" {
                h2 { "Edit a plugin" }
                div.controls {
                    label {
                        "File "
                        select id="editor-file" {
                            option value="" { "choose one" }
                            @for file in &files { option value=(file.name) { (shown(&file.name)) } }
                        }
                    }
                    button type="button" id="editor-save" disabled { "Save (Ctrl+S)" }
                }
                textarea id="editor-text" rows="24" spellcheck="false" aria-label="The source" hidden {}
                output id="editor-said" {}
            }
        }
    }
}

/// What is in a file.
pub(crate) fn text(run: &Overview, name: &str) -> Response {
    let Some(file) = find(run, name) else { return gone(name) };
    file.text().map_or_else(|error| failed(&error), IntoResponse::into_response)
}

/// A file as it was and as it shall be.
#[derive(Deserialize)]
struct Saved {
    before: String,
    text: String,
}

/// Saves a file; the training finds it by itself.
pub(crate) fn save(run: &Overview, name: &str, body: &str) -> Response {
    let Some(file) = find(run, name) else { return gone(name) };
    let saved = match serde_json::from_str(body) {
        Ok(Saved { before, text }) => file.save(&before, &text),
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    match saved {
        Ok(()) => "saved; the training builds and checks it".into_response(),
        Err(error @ SaveError::Changed) => (StatusCode::CONFLICT, error.to_string()).into_response(),
        Err(error @ SaveError::Io(_)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn find(run: &Overview, name: &str) -> Option<SourceFile> {
    files(run).into_iter().find(|file| file.name == name)
}
