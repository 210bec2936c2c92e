//! Misbehaviours of every role.

use std::hint::black_box;
use std::mem::forget;

use lossmith_sdk::bindings::lossmith::plugin::{state as raw_state, tensor::Tensor as Raw};
use lossmith_sdk::prelude::*;

use crate::bombs;

/// Does what `how` says. Returns when that is none of the misbehaviours of every role.
pub(crate) fn misbehave(how: &str, batch: &Batch) -> Result<()> {
    // None of these may outlive a call that fails: a parameter, a buffer, another value of a buffer, handles.
    state::parameter("extra", 1.0, || Tensor::ones(&[2], Dtype::Float));
    state::set_buffer("extra", &Tensor::ones(&[2], Dtype::Float));
    state::set_buffer("calls", &Tensor::full(&[1], -1.0));
    forget(batch.embeddings());
    forget(batch.embeddings().narrow(0, 1, 2).transpose(0, 1));
    bombs::explode(how);
    match how {
        "spin" => loop {
            black_box(());
        },
        "grow" => {
            let mut blocks = Vec::new();
            loop {
                blocks.push(black_box(vec![1_u8; 1 << 20]));
            }
        }
        "allocate" => loop {
            forget(Tensor::ones(&[1000, 1000], Dtype::Float));
        },
        "handles" => loop {
            forget(Tensor::zeros(&[0], Dtype::Float));
        },
        "handles-dropped" => loop {
            drop(Tensor::zeros(&[0], Dtype::Float));
        },
        "tuples" => {
            let none = Tensor::arange(0, 0);
            loop {
                drop(Tuples::triplets(&none, &none, &none));
            }
        }
        "forged" => forget(Tensor::from(unsafe { Raw::from_handle(123_456) }).shape()),
        "dropped-twice" => {
            let number = Raw::ones(&[], Dtype::Float).handle();
            drop(unsafe { Raw::from_handle(number) });
        }
        "log" => report::info(&"x".repeat(1 << 20)),
        "log-lines" => loop {
            report::info("again");
        },
        "log-nothing" => loop {
            report::info("");
        },
        "metrics" => {
            for number in 0.. {
                report::metric(&number.to_string(), 1.0);
            }
        }
        "metric-names" => report::metric(&"x".repeat(1 << 20), 1.0),
        "metric-elements" => report::metric("matrix", &Tensor::ones(&[2, 2], Dtype::Float)),
        "panic" => panic!("on \x1b[31mpurpose\x1b[0m"),
        "panic-long" => panic!("{}", "x".repeat(1 << 20)),
        "unreachable" => trap_without_a_word(),
        "recurse" => drop(black_box(recurse())),
        "divide" => drop(black_box(black_box(1) / black_box(0)).to_string()),
        "parameter-twice" => {
            raw_state::add_parameter("twice", &Raw::ones(&[1], Dtype::Float), 1.0);
            raw_state::add_parameter("twice", &Raw::ones(&[1], Dtype::Float), 1.0);
        }
        "buffer-shape" => state::set_buffer("calls", &Tensor::ones(&[2], Dtype::Float)),
        "state-buffer" => state::set_buffer("huge", &Tensor::ones(&[1 << 20], Dtype::Float)),
        "state-parameter" => drop(state::parameter("huge", 1.0, || Tensor::ones(&[1 << 20], Dtype::Float))),
        "state-replaced-buffer" => state::replace_buffer("extra", &Tensor::ones(&[1 << 20], Dtype::Float)),
        "state-replaced-parameter" => {
            drop(state::replace_parameter("extra", &Tensor::ones(&[1 << 20], Dtype::Float)));
        }
        "list" => drop(Tensor::ones(&[1 << 20], Dtype::Float).to_doubles()),
        "list-in" => drop(Tensor::from_doubles(&vec![0.0; 1 << 20], &[1 << 20])),
        "shapes" => add_what_does_not_fit(),
        "error" => return Err("the \x1b[31mtext\x1b[0m of the error".into()),
        "error-long" => return Err("x".repeat(1 << 20).into()),
        _ => {}
    }
    Ok(())
}

#[expect(unconditional_recursion, reason = "on purpose")]
fn recurse() -> u64 {
    black_box(recurse()) + 1
}

#[inline(never)]
fn trap_without_a_word() {
    // The instruction `unreachable`, without a panic.
    std::process::abort()
}

fn add_what_does_not_fit() {
    let (a, b) = (Tensor::ones(&[2, 3], Dtype::Float), Tensor::ones(&[4], Dtype::Float));
    drop(&a + &b); // The line that the error names.
}
