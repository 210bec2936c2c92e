//! Fetching Fashion-MNIST.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::npm::run;
use super::{FetchError, FetchEvent, places};
use crate::data::DataKind;

const PACKAGE: &str = "dataset-fashion-mnist";
const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Downloads the Debian package and unpacks it into `directory`; without one into the first of the [`places`], unless
/// the data is in one of them already. No rights of an administrator are needed.
///
/// # Errors
/// No `apt-get` or `dpkg`, a download that fails, a file that cannot be written.
pub fn fetch_fashion_mnist(directory: Option<&Path>, show: &mut dyn FnMut(FetchEvent)) -> Result<(), FetchError> {
    let known = match directory {
        Some(directory) => vec![directory.to_owned()],
        None => places(DataKind::FashionMnist),
    };
    if let Some(path) = known.iter().find(|folder| is_whole(folder)) {
        show(FetchEvent::Present { path: path.clone() });
        return Ok(());
    }
    let Some(directory) = known.first() else { return Ok(()) };
    fs::create_dir_all(directory).map_err(FetchError::file(directory))?;
    let aside = tempfile::Builder::new().prefix(".partial-").tempdir_in(directory);
    let aside = aside.map_err(FetchError::file(directory))?;
    show(FetchEvent::Downloading { package: PACKAGE.to_owned() });
    let tools = "apt and dpkg, which Debian and Ubuntu have, or put the four IDX files into the folder by hand";
    run(Command::new("apt-get").args(["download", PACKAGE]).current_dir(aside.path()), tools)?;
    let downloaded: Result<Vec<_>, _> = fs::read_dir(aside.path()).map_err(FetchError::file(aside.path()))?.collect();
    for package in downloaded.map_err(FetchError::file(aside.path()))? {
        run(Command::new("dpkg").arg("-x").arg(package.path()).arg(aside.path()), tools)?;
    }
    let unpacked = aside.path().join("usr/share/datasets/fashion-mnist");
    for name in FILES.map(|name| format!("{name}.gz")) {
        let place = directory.join(&name);
        fs::rename(unpacked.join(&name), &place).map_err(FetchError::file(&place))?;
    }
    show(FetchEvent::Unpacked { path: directory.clone() });
    Ok(())
}

/// Whether all four files are there, plain or gzipped.
fn is_whole(folder: &Path) -> bool {
    let filled = |name: String| folder.join(name).metadata().is_ok_and(|file| file.len() > 0);
    FILES.iter().all(|name| filled((*name).to_owned()) || filled(format!("{name}.gz")))
}
