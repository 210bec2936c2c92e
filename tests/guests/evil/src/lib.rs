//! A plugin of the tests that misbehaves in every way that a component can. It behaves in every epoch but epoch 1, so
//! that a test can call one slot before and after the misbehaviour.

mod always;
mod attacks;
mod bombs;
mod common;
mod names;
mod results;

use lossmith_sdk::prelude::*;

export! {
    losses: [
        results::EvilLoss, results::EvilLater, always::UnknownParameter, always::OtherType, always::KeepsHandles,
        names::Names, attacks::AttackLoss
    ],
    miners: [results::EvilMiner, attacks::AttackMiner],
    transfers: [results::EvilTransfer, attacks::AttackTransfer],
    balances: [results::EvilBalance, attacks::AttackBalance],
    schedules: [results::EvilSchedule, attacks::AttackSchedule],
    fusions: [results::EvilFusion, attacks::AttackFusion],
}
