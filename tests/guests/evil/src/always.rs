//! Strategies that misbehave in every call.

use std::cell::RefCell;

use lossmith_sdk::bindings::exports::lossmith::plugin::describe;
use lossmith_sdk::bindings::lossmith::plugin::tensor::Tensor as Raw;
use lossmith_sdk::prelude::*;
use lossmith_sdk::{Parameter, Params};

/// Described as a text called as its field, read as another parameter.
struct Unknown;

impl Parameter for Unknown {
    type Element = ();

    fn describe(name: &str, summary: &str, _: Self, range: impl std::ops::RangeBounds<()>) -> Vec<describe::Parameter> {
        String::describe(name, summary, String::new(), range)
    }

    fn read(params: &Params, _: &str) -> Result<Self> {
        params.text("never-described");
        Ok(Self)
    }
}

/// Described as a text, read as a number.
struct Mistyped;

impl Parameter for Mistyped {
    type Element = ();

    fn describe(name: &str, summary: &str, _: Self, range: impl std::ops::RangeBounds<()>) -> Vec<describe::Parameter> {
        String::describe(name, summary, "text".to_owned(), range)
    }

    fn read(params: &Params, name: &str) -> Result<Self> {
        f64::read(params, name).map(|_| Self)
    }
}

/// `strategy!` derives these for every strategy.
macro_rules! derived {
    ($($parameter:ident),*) => {
        $(
            impl Clone for $parameter {
                fn clone(&self) -> Self {
                    Self
                }
            }
            impl std::fmt::Debug for $parameter {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(stringify!($parameter))
                }
            }
        )*
    };
}
derived!(Unknown, Mistyped);

strategy! {
    /// Reads a parameter that it did not describe.
    pub struct UnknownParameter as "unknown-parameter" {
        /// Never read.
        text: Unknown = Unknown;
    }
}

impl Loss for UnknownParameter {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let Unknown = self.text;
        Ok(batch.embeddings().square().mean(ALL))
    }
}

strategy! {
    /// Reads a text as a number.
    pub struct OtherType as "other-type" {
        /// A text.
        text: Mistyped = Mistyped;
    }
}

impl Loss for OtherType {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let Mistyped = self.text;
        Ok(batch.embeddings().square().mean(ALL))
    }
}

thread_local! {
    static KEPT: RefCell<Vec<Tensor>> = const { RefCell::new(Vec::new()) };
    static NUMBER: RefCell<Option<u32>> = const { RefCell::new(None) };
}

strategy! {
    /// Keeps handles in a static, and uses in a call what it kept in the one before, if that is still there.
    pub struct KeepsHandles as "keeps-handles" {
        /// `tensor`: keeps the handle. `number`: keeps only its number and makes a handle of it again.
        how: String = "tensor".to_owned();
    }
}

impl Loss for KeepsHandles {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let embeddings = batch.embeddings();
        let loss = embeddings.square().mean(ALL);
        if self.how == "number" {
            let kept = Raw::ones(&[], Dtype::Float);
            let number = kept.handle();
            drop(kept);
            if let Some(number) = NUMBER.replace(Some(number)) {
                // The number names nothing, or something else, by now.
                return Ok(Tensor::from(unsafe { Raw::from_handle(number + 1000) }));
            }
            return Ok(loss);
        }
        let before = KEPT.replace(vec![embeddings, loss.detach()]);
        report::metric("kept-from-before", before.len() as f64);
        Ok(match before.into_iter().next() {
            Some(embeddings) => embeddings.square().mean(ALL),
            None => loss,
        })
    }
}
