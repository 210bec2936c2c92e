//! News for the pages that are open: which runs have something new. Nobody looks while no page is open.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender};

use crate::library::Library;

/// How often runs that go on are looked at.
const TICK: Duration = Duration::from_millis(200);
/// After so many ticks all folders are, for runs that came or went.
const ALL: u32 = 5;
/// News that wait for a page that is slow; it is told to look at everything when there are more.
const WAITING: usize = 64;

/// Where news come from.
pub(crate) type News = Sender<Arc<Runs>>;
/// Names of runs.
type Runs = BTreeSet<String>;

/// Starts to look, on a thread of its own, for as long as the process lives.
pub(crate) fn watch(library: Arc<Mutex<Library>>) -> std::io::Result<News> {
    let news = News::new(WAITING);
    let told = news.clone();
    let look = move || {
        for tick in 0_u32.. {
            thread::sleep(TICK);
            if told.receiver_count() == 0 {
                continue;
            }
            let runs = {
                let mut library = library.lock().unwrap_or_else(PoisonError::into_inner);
                if tick % ALL == 0 {
                    library.look()
                } else {
                    library.look_at_living()
                }
                library.take_news()
            };
            if !runs.is_empty() {
                // The last page may have been closed meanwhile.
                let _ = told.send(Arc::new(runs));
            }
        }
    };
    thread::Builder::new().name("board-watch".into()).spawn(look)?;
    Ok(news)
}

/// The news as server-sent events: a JSON list of the names of runs; `null` where some were missed.
pub(crate) fn events(news: Receiver<Arc<Runs>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stream = unfold(news, |mut news| async move {
        let event = match news.recv().await {
            Ok(runs) => serde_json::to_string(&*runs).unwrap_or_else(|_| "null".to_owned()),
            Err(RecvError::Lagged(_)) => "null".to_owned(),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(Event::default().data(event)), news))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}
