//! Control of a running training from other processes of the same user.
//!
//! The training listens on the Unix socket `control/socket` in its run folder. A connection carries one [`Request`] and
//! one [`Response`], each a line of JSON.

mod client;
mod error;
mod folder;
mod protocol;
mod server;
#[cfg(test)]
mod tests;

pub use client::ask;
pub use error::ControlError;
pub use protocol::{LivePlugin, Request, Response, Snapshot};
pub use server::Server;
