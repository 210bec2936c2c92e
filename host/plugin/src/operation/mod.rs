//! Operations as data: what makes a tensor in a call, with its attributes, and how libtorch computes it.
//!
//! One file for each family. An operation knows nothing of handles, limits and charges: `contract/` asks for it, and
//! checks and charges what it takes. Its bits depend on its attributes and inputs alone, and for a draw on [`Streams`].

#[macro_use]
mod declare;
mod autograd;
mod creation;
mod elementwise;
mod formulas;
mod indexing;
mod meta;
mod op;
mod order;
mod products;
mod random;
mod reductions;
mod shapes;

pub(crate) use autograd::{Backward, Given, Stop};
pub(crate) use creation::Create;
pub(crate) use elementwise::{Binary, Unary};
pub(crate) use formulas::refuse;
pub(crate) use indexing::{Choice, Classes, Lookup, Places, Put};
pub(crate) use op::{Made, Op};
pub(crate) use order::{Count, Order, Search};
pub(crate) use products::{Einsum, Hinges, Product};
pub(crate) use random::{Distribution, Draw, Streams};
pub(crate) use reductions::{Along, Reduction};
pub(crate) use shapes::{Join, Shape, Split};
