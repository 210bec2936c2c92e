//! A plugin of the tests that misbehaves in every way that a component can. It behaves in every epoch but epoch 1, so that
//! a test can call one slot before and after the misbehaviour.

mod always;
mod bombs;
mod common;
mod names;
mod results;

use lossmith_sdk::prelude::*;

export! {
    losses: [results::EvilLoss, results::EvilLater, always::UnknownParameter, always::OtherType, always::KeepsHandles, names::Names],
    miners: [results::EvilMiner],
    transfers: [results::EvilTransfer],
    balances: [results::EvilBalance],
    schedules: [results::EvilSchedule],
    fusions: [results::EvilFusion],
}
