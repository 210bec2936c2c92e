//! The board: runs in the browser, from their plain folders. Nothing here needs libtorch, and nothing is written.
//!
//! ```text
//! library, overview     which runs there are, and each in short; they follow the files as these grow
//! query, list           the page of all runs, and what its address chooses
//! run_page, edits, …    the page of one run
//! steer, session        commands for a training at work, by the protocol of `lossmith session`
//! charts, thin          which curves a run has, and how many of their points are sent
//! compare, overlay      several runs over each other
//! server, access, live  HTTP on this machine, a token in the address, and news of what changed
//! editor, sources       the sources of plugins that a training builds, to edit
//! standalone            a page that needs no server
//! assets/               what the browser is given: styles, our scripts, and uPlot, which draws the curves
//! ```

mod access;
mod answer;
mod assets;
mod chart_frame;
mod charts;
mod classes;
mod compare;
mod editor;
mod edits;
mod error;
mod facts;
mod groups;
mod journal;
mod labels;
mod library;
mod list;
mod live;
mod marks;
mod overlay;
mod overview;
mod page;
mod query;
mod results;
mod routes;
mod run_page;
mod server;
mod session;
mod sources;
mod spark;
mod standalone;
mod steer;
mod text;
mod thin;

pub use error::BoardError;
pub use server::{Board, BoardOptions};
pub use standalone::page_of;
