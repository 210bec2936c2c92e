//! `lossmith board`: runs in the browser.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{Args, Subcommand};
use lossmith_board::{Board, BoardOptions, page_of};
use serde_json::json;

use super::error::CliError;
use super::output;
use super::output_path::may_write;
use crate::run::{RecordError, Run, RunError};

/// Show runs in the browser, and follow those that go on.
///
/// Prints an address with a token in it, and serves until it is ended. What it shows comes from the folders of runs;
/// nothing is written into them, and the page loads nothing from elsewhere. The page of a run gives commands to its
/// training as `lossmith session` does.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct BoardArgs {
    /// Folders with runs, also in folders below, or runs themselves.
    #[arg(default_value = "runs")]
    runs: Vec<PathBuf>,
    /// The port; 0 takes one that is free.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Open the address in the browser.
    #[arg(long)]
    open: bool,
    /// Listen on another address of this machine than its own loopback. Whoever can reach it and has the token sees
    /// all that the runs say; nothing is encrypted.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// Let the page edit the sources of plugins that a training builds under `train --watch`, and nothing else.
    #[arg(long)]
    edit: bool,
    #[command(subcommand)]
    command: Option<BoardCommand>,
}

#[derive(Subcommand, Debug)]
enum BoardCommand {
    /// Write the page of a run as one file that needs neither a board nor a network.
    Export {
        /// The run's folder.
        run: PathBuf,
        /// The file, NAME.html.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
}

pub(super) fn board(args: &BoardArgs, as_json: bool) -> Result<(), CliError> {
    if let Some(BoardCommand::Export { run, output }) = &args.command {
        return export(run, output, as_json);
    }
    let BoardArgs { runs, port, listen, edit, .. } = args;
    let options = BoardOptions { runs: runs.clone(), listen: *listen, port: *port, edit: *edit };
    let board = Board::open(&options)?;
    let address = board.address();
    if as_json {
        output::json(&json!({ "address": address }))?;
    } else {
        output::line(&format!("the board: {address}\nCtrl-C ends it"))?;
        if !args.listen.is_loopback() {
            output::line(&format!(
                "warning: it listens on {}: whoever reaches that address and has the token sees all of these runs, and \
                 nothing is encrypted",
                args.listen
            ))?;
        }
    }
    if args.open {
        open(&address)?;
    }
    Ok(board.serve()?)
}

fn export(run: &Path, output: &Path, as_json: bool) -> Result<(), CliError> {
    may_write("--output", output, &["html"])?;
    let page = page_of(&Run::open(run)?)?;
    lossmith_files::replace(output, page.as_bytes())
        .map_err(RunError::io("write", output))
        .map_err(RecordError::from)?;
    if as_json {
        return output::json(&json!({ "output": output }));
    }
    output::line(&format!("the page of the run: {}", output.display()))
}

/// Gives an address to the browser of the desktop.
fn open(address: &str) -> Result<(), CliError> {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    let started = command.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let why = "open the address by yourself, without --open";
    started
        .map(|_| ())
        .map_err(|error| CliError::Machine(format!("--open: {program} cannot be started: {error}; {why}")))
}
