//! A board that listens.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::runtime::{Builder, Runtime};

use crate::BoardError;
use crate::access::Token;
use crate::library::Library;
use crate::live::watch;
use crate::routes::{Site, router};

/// What a board shows, and where it listens.
#[derive(Clone, Debug)]
pub struct BoardOptions {
    /// Folders with runs, or runs.
    pub runs: Vec<PathBuf>,
    /// The address of this machine to listen on.
    pub listen: IpAddr,
    /// The port; 0 for one that is free.
    pub port: u16,
    /// Whether the sources of plugins that a training builds may be edited.
    pub edit: bool,
}

/// A board that has its address and serves nobody yet.
#[derive(Debug)]
pub struct Board {
    listener: TcpListener,
    address: SocketAddr,
    token: Token,
    library: Arc<Mutex<Library>>,
    edit: bool,
}

impl Board {
    /// Takes the port.
    ///
    /// # Errors
    /// A folder is not there, the port is in use, or the system refuses the address.
    pub fn open(options: &BoardOptions) -> Result<Self, BoardError> {
        let library = Arc::new(Mutex::new(Library::new(&options.runs)?));
        let address = SocketAddr::new(options.listen, options.port);
        let listener = TcpListener::bind(address).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BoardError::InUse { address },
            _ => BoardError::Listen { address, source },
        })?;
        let address = listener.local_addr().map_err(BoardError::Start)?;
        let token =
            Token::new(address.port()).map_err(|error| BoardError::Start(io::Error::other(error.to_string())))?;
        Ok(Self { listener, address, token, library, edit: options.edit })
    }

    /// The address to open, with the token.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}/?token={}", self.address, self.token.secret())
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// The system refuses a thread or the socket.
    pub fn serve(self) -> Result<(), BoardError> {
        let Self { listener, token, library, edit, .. } = self;
        let serve = || -> io::Result<()> {
            let news = watch(Arc::clone(&library))?;
            let runtime: Runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async move {
                listener.set_nonblocking(true)?;
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, router(Site::new(library, news, edit), token)).await
            })
        };
        serve().map_err(BoardError::Start)
    }
}
