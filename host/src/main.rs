//! The `lossmith` command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = lossmith::cli::Cli::parse();
    match lossmith::cli::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.code();
            // Words stay whole, so that a message can be searched for; the terminal wraps by itself.
            // Fails only when a hook is set already.
            let _ =
                miette::set_hook(Box::new(|_| Box::new(miette::MietteHandlerOpts::new().wrap_lines(false).build())));
            eprintln!("{:?}", miette::Report::new(error));
            ExitCode::from(code)
        }
    }
}
