//! The `lossmith` command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = lossmith::cli::Cli::parse();
    match lossmith::cli::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", lossmith::cli::shown(&error));
            ExitCode::from(error.code())
        }
    }
}
