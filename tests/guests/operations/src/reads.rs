//! How often parameters are read.

use std::ops::RangeBounds;
use std::sync::atomic::{AtomicU32, Ordering};

use lossmith_sdk::prelude::*;
use lossmith_sdk::{Parameter, Params};

static READ: AtomicU32 = AtomicU32::new(0);

/// A number that counts how often it is read.
#[derive(Clone, Debug)]
pub(crate) struct Counted(f64);

impl Parameter for Counted {
    type Element = f64;

    fn describe(
        name: &str,
        summary: &str,
        default: Self,
        range: impl RangeBounds<f64>,
    ) -> Vec<lossmith_sdk::__private::describe::Parameter> {
        f64::describe(name, summary, default.0, range)
    }

    fn read(params: &Params, name: &str) -> Result<Self> {
        READ.fetch_add(1, Ordering::Relaxed);
        f64::read(params, name).map(Self)
    }
}

strategy! {
    /// Reports its parameter, and how often it was read.
    pub struct Reads as "reads" {
        /// A number.
        number: Counted = Counted(0.5);
    }
}

impl Loss for Reads {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        report::metric("number", self.number.0);
        report::metric("read", f64::from(READ.load(Ordering::Relaxed)));
        Ok(batch.embeddings().square().mean(ALL))
    }
}
