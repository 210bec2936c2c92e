//! Lines of TorchScript. Each layer writes its own, beside its `forward`.

use std::fmt::Write;

/// The lines of a `forward` that gives the variable `x` a new value in each.
#[derive(Debug)]
pub(super) struct Lines(String);

impl Lines {
    /// The first line: the function's parameter is `images`.
    pub(super) fn forward() -> Self {
        Self("def forward(self, images: Tensor) -> Tensor:\n".to_owned())
    }

    /// The source, with `value` as what the function returns.
    pub(super) fn returning(self, value: &str) -> String {
        format!("{}    return {value}\n", self.0)
    }

    /// Adds `name = value`.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "    {name} = {value}");
    }
}

/// How a program reaches a tensor of the network: `self.backbone.conv1.weight`.
pub(super) fn attribute(name: &str) -> String {
    name.split('.').fold("self".to_owned(), |owner, part| {
        if part.starts_with(|first: char| first.is_ascii_digit()) {
            format!("getattr({owner}, \"{part}\")")
        } else {
            format!("{owner}.{part}")
        }
    })
}
