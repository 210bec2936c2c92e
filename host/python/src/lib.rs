//! The Python module `lossmith._lossmith`, which the package `lossmith` is made of. It has what must be near libtorch:
//!
//! ```text
//! component         loads and builds components
//! strategy          one strategy: a call of it on a batch                     [Strategy, Called]
//! objective         several strategies as one term of a sum                   [Objective]
//! batch, progress   what they are told                                        [Batch, Progress]
//! state             parameters and buffers, which belong to the caller
//! tensor            tensors cross the border without a copy
//! candidate         a strategy that is to take over in a session, tried out         [TriedOut]
//! probation         the first calls of one that took over                           [Probation]
//! watch             the files that modules were made of                             [Watcher]
//! journal           the folder of a session                                         [Journal]
//! error             exceptions
//! command           the command `lossmith`
//! ```
//!
//! It links libtorch, but neither libtorch_python nor Python: whoever imports it has both.

#![expect(unsafe_code, reason = "objects of Python, and the numbers of a tensor")]

mod batch;
mod called;
mod candidate;
mod command;
mod component;
mod error;
mod journal;
mod objective;
mod probation;
mod progress;
mod runtime;
mod state;
mod strategy;
mod tensor;
mod watch;

/// What the package `lossmith` is made of.
#[pyo3::pymodule]
mod _lossmith {
    #[pymodule_export]
    use crate::batch::Batch;
    #[pymodule_export]
    use crate::called::Called;
    #[pymodule_export]
    use crate::candidate::{TriedOut, refusal, try_out, try_out_alone};
    #[pymodule_export]
    use crate::command::command;
    #[pymodule_export]
    use crate::component::{Component, UnderWay, standard_names};
    #[pymodule_export]
    use crate::journal::{Journal, changes, event_text, nearest};
    #[pymodule_export]
    use crate::objective::Objective;
    #[pymodule_export]
    use crate::probation::Probation;
    #[pymodule_export]
    use crate::progress::Progress;
    #[pymodule_export]
    use crate::strategy::Strategy;
    #[pymodule_export]
    use crate::watch::Watcher;
}
