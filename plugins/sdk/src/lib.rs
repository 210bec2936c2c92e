//! What a Lossmith plugin in Rust is written with.
//!
//! A plugin is a crate of type `cdylib` that depends on this crate only. It declares strategies with [`strategy!`],
//! implements the trait of their role ([`Loss`], [`Miner`], [`Transfer`], [`Balance`], [`Schedule`] or [`Fusion`]) and
//! lists them in one [`export!`]. `lossmith plugin build` turns it into a component.
//!
//! ```
//! use lossmith_sdk::prelude::*;
//!
//! strategy! {
//!     /// Contrastive loss, Hadsell, Chopra and LeCun 2006, eq. 4, with hinges that are not squared.
//!     pub struct Contrastive as "contrastive" {
//!         /// Distance below which a positive pair costs nothing.
//!         positive_margin: f64 = 0.0, range 0.0..=2.0;
//!         /// Distance above which a negative pair costs nothing.
//!         negative_margin: f64 = 1.0, range 0.0..=2.0;
//!     }
//! }
//!
//! impl Loss for Contrastive {
//!     fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
//!         let embeddings = batch.embeddings().normalize(2.0, 1);
//!         let distances = embeddings.distance_matrix(&embeddings);
//!         let pairs = PairWeights::of(batch);
//!         let pull = (&distances - self.positive_margin).relu();
//!         let push = (self.negative_margin - distances).relu();
//!         let mean = Reducer::average_non_zero();
//!         Ok(mean.reduce(&pull, &pairs.positive, batch)? + mean.reduce(&push, &pairs.negative, batch)?)
//!     }
//! }
//!
//! export! { losses: [Contrastive] }
//! # fn main() {}
//! ```
//!
//! Nothing is kept in the plugin between two calls: what must last is in [`state`], random numbers come from
//! [`random`]. Tensors are handles of the host's, freed when they go out of scope.
//!
//! # On the native target
//!
//! Everything compiles there, and what needs no host (descriptions, parameter types, own arithmetic) can be tested
//! there with `cargo test`. A tensor operation needs the host: called natively, it panics.

// The bindings and the export macro name this crate by its full path, in here as in a plugin.
extern crate self as lossmith_sdk;

#[doc(hidden)]
pub mod bindings;
mod choices;
mod context;
mod declare;
mod distance;
mod error;
mod memory;
mod pairs;
mod panic;
mod params;
pub mod random;
mod reducer;
mod regularizer;
pub mod report;
#[doc(hidden)]
pub mod roles;
mod source;
pub mod state;

mod tensor;
mod triplets;

pub use context::{Batch, PairLosses, Progress, Tuples};
pub use distance::{Distance, Formula, gaussian_matrix, off_diagonal};
pub use error::{Error, Result};
pub use memory::CrossBatchMemory;
pub use pairs::{PairWeights, Pairs, different_class, same_class};
pub use params::{Parameter, Params, above, between};
pub use reducer::{Hinge, Reducer, Reduction};
pub use regularizer::{Penalty, Regularizer, row_norms, uneven_norms};
pub use roles::balances::Balance;
pub use roles::fusions::Fusion;
pub use roles::losses::Loss;
pub use roles::miners::Miner;
pub use roles::schedules::Schedule;
pub use roles::transfers::Transfer;
pub use roles::{Plugin, Strategy};
pub use tensor::{ALL, Dims, Dtype, Keep, Operand, Tensor, keep};
pub use triplets::{PositiveTable, Triplets};

#[doc(hidden)]
pub use wit_bindgen::rt;

/// What the macros expand to.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::exports::lossmith::plugin::describe;
    pub use crate::declare::{name, summary};
    pub use crate::params::one;
}

/// All that a file with a strategy needs: `use lossmith_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::{
        ALL, Balance, Batch, CrossBatchMemory, Distance, Dtype, Error, Fusion, Hinge, Loss, Miner, PairLosses,
        PairWeights, Pairs, Progress, Reducer, Regularizer, Result, Schedule, Tensor, Transfer, Tuples, above, between,
        choices, export, keep, random, report, state, strategy,
    };
}
