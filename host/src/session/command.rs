//! A command from outside, and the client that waits for its answer.

use std::sync::mpsc::Sender;

use super::control::{Request, Response};

/// A command, and who waits for the answer.
pub struct Command {
    request: Request,
    client: Sender<Response>,
}

impl Command {
    pub(super) fn new(request: Request, client: Sender<Response>) -> Self {
        Self { request, client }
    }

    pub(super) fn request(&self) -> &Request {
        &self.request
    }

    /// The words of the command line.
    #[must_use]
    pub fn text(&self) -> String {
        self.request.to_string()
    }

    /// Answers the command.
    pub fn answer(self, response: Response) {
        // The client may have disconnected.
        let _ = self.client.send(response);
    }
}
