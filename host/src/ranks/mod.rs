//! Several processes that train one run together: ranks, from 0 to their number.
//!
//! ```text
//! place           which rank this process is, by the variables of torchrun, srun or `lossmith launch`
//! joined          the ranks, joined: who is there, who is lost, and what they decide together
//!   beats           signs of life, by which a rank that hangs is told from one that is slow
//!   rows            the rows of all ranks as one tensor, in the order of the batch
//!   parcel          messages of rank 0, with tensors
//! share           which rows of a batch are whose
//! config          `[ranks]` of the experiment file
//! ```

mod beats;
mod config;
mod error;
mod joined;
mod parcel;
mod place;
mod rows;
mod share;

pub use config::RanksConfig;
pub use error::RanksError;
pub use joined::{Ranks, Wish};
pub use place::Place;
pub use share::Share;
