//! Downloading npm packages by the npm client, which knows the registry, the proxy and the cache of this machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha512};

use super::{FetchError, FetchEvent, Vendor};

/// The tarball of a vendor in the folder `packages`: the one that is there if it is right, else a new one.
pub(super) fn tarball(
    npm: &Path,
    vendor: &Vendor,
    packages: &Path,
    show: &mut dyn FnMut(FetchEvent),
) -> Result<PathBuf, FetchError> {
    let package = vendor.id();
    let file = packages.join(vendor.tarball());
    if file.is_file() {
        if integrity(&file)? == vendor.integrity {
            show(FetchEvent::Kept { package });
            return Ok(file);
        }
        show(FetchEvent::Damaged { package: package.clone() });
    }
    show(FetchEvent::Downloading { package: package.clone() });
    // What an interrupted download has left is ours and worth nothing.
    let partial = packages.join(".partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(FetchError::file(&partial))?;
    }
    fs::create_dir_all(&partial).map_err(FetchError::file(&partial))?;
    let mut command = Command::new(npm);
    command.args(["pack", "--silent", "--ignore-scripts", &package]).current_dir(&partial);
    run(&mut command, "npm (Debian: `apt-get install npm`)")?;
    let downloaded = partial.join(vendor.tarball());
    let found = integrity(&downloaded)?;
    if found != vendor.integrity {
        return Err(FetchError::Integrity { package, found, expected: vendor.integrity.to_owned() });
    }
    fs::rename(&downloaded, &file).map_err(FetchError::file(&file))?;
    fs::remove_dir_all(&partial).map_err(FetchError::file(&partial))?;
    Ok(file)
}

/// Runs a program that downloads. `package` says where the program comes from, if it is not there.
pub(super) fn run(command: &mut Command, package: &'static str) -> Result<(), FetchError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|cause| FetchError::Program { program, package, cause })?;
    if output.status.success() {
        return Ok(());
    }
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let command = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = errors.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("\n");
    let message = if last.is_empty() { output.status.to_string() } else { last };
    Err(FetchError::Command { command, message })
}

/// The integrity of a file as npm writes it.
fn integrity(file: &Path) -> Result<String, FetchError> {
    let mut digest = Sha512::new();
    let mut read = || -> io::Result<()> {
        let mut reader = io::BufReader::new(fs::File::open(file)?);
        loop {
            let bytes = io::BufRead::fill_buf(&mut reader)?;
            if bytes.is_empty() {
                return Ok(());
            }
            digest.update(bytes);
            let length = bytes.len();
            io::BufRead::consume(&mut reader, length);
        }
    };
    read().map_err(FetchError::file(file))?;
    Ok(format!("sha512-{}", STANDARD.encode(digest.finalize())))
}
