//! The `lossmith` command.

fn main() {
    lossmith::cli::main(lossmith::started::Started::program())
}
