//! Several processes that train one run together: ranks, from 0 to their number.
//!
//! ```text
//! place           which rank this process is, by the variables of torchrun, srun or `lossmith launch`
//! ranks           the ranks, joined: who is there, who is lost, and what they decide together
//!   beats           signs of life, by which a rank that hangs is told from one that is slow
//!   rows            the rows of all ranks as one tensor, in the order of the batch
//!   parcel          messages of rank 0, with tensors
//! share           which rows of a batch are whose
//! config          `[ranks]` of the experiment file
//! ```

mod beats;
mod config;
mod error;
mod parcel;
mod place;
#[expect(clippy::module_inception, reason = "the folder is named for it")]
mod ranks;
mod rows;
mod share;

pub use config::RanksConfig;
pub use error::RanksError;
pub use place::Place;
pub use ranks::{Ranks, Wish};
pub use share::Share;
