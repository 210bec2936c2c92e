//! The `lossmith` command.

use std::io::{self, Write};

use clap::Parser;

fn main() {
    let cli = lossmith::cli::Cli::parse();
    let code = match lossmith::cli::run(&cli) {
        Ok(()) => 0,
        Err(error) => {
            // The terminal may be gone.
            let _ = writeln!(io::stderr(), "{}", lossmith::cli::shown(&error));
            error.code()
        }
    };
    // A reader of standard output may be gone, too.
    let _ = io::stdout().flush();
    // Without exit handlers: the check of an edit may still compute, and they would take libtorch away from under it.
    signal_hook::low_level::exit(code.into())
}
