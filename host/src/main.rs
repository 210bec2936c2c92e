//! The `lossmith` command.

fn main() {
    lossmith::cli::main(std::env::args_os())
}
