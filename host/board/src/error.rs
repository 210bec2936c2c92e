//! What can go wrong with the board.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

/// Why a board could not be started, or a page not be made.
#[derive(Debug, Error, Diagnostic)]
pub enum BoardError {
    /// A folder that is not there.
    #[error("{} is not there: a board needs a folder with runs", path.display())]
    #[diagnostic(help("`lossmith train EXPERIMENT` makes `runs`; name another folder with `lossmith board FOLDER`"))]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Another program listens there.
    #[error("another program listens on {address}")]
    #[diagnostic(help("choose another port with --port, or --port 0 for one that is free"))]
    InUse {
        /// Where.
        address: SocketAddr,
    },
    /// The system does not let it listen there.
    #[error("cannot listen on {address}")]
    #[diagnostic(help(
        "--listen must be an address of this machine; ports below 1024 are for the system's own services"
    ))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system refuses what a server needs.
    #[error("the server cannot be started")]
    Start(#[source] io::Error),
}
