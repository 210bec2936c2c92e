//! The `lossmith` command.

fn main() {}
