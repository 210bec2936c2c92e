//! The folder of the emoji: images, the record of what is complete, the manifest and the note on licences.
//!
//! - `images/<class>/<vendor>.png`
//! - `fetched.json`: the vendors whose images are complete, and the package that each came from
//! - `manifest.csv`: what a training reads
//! - `LICENCES.md`
//! - `.partial`: what is being written; worth nothing after an interruption
//! - `packages`: tarballs, until everything is complete

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{FetchError, VENDORS, Vendor};

/// The folder of the emoji.
pub(super) struct EmojiFolder {
    folder: PathBuf,
    fetched: BTreeMap<String, Fetched>,
}

/// The record of a vendor whose images are complete.
#[derive(Serialize, Deserialize)]
struct Fetched {
    package: String,
    integrity: String,
    images: usize,
}

/// The numbers of a written manifest.
pub(super) struct ListedEmoji {
    pub(super) path: PathBuf,
    pub(super) images: usize,
    pub(super) classes: usize,
    pub(super) left_out: usize,
}

impl EmojiFolder {
    /// Opens the folder, which is made if it is not there.
    pub(super) fn open(folder: &Path) -> Result<Self, FetchError> {
        let images = folder.join("images");
        fs::create_dir_all(&images).map_err(FetchError::file(&images))?;
        let record = folder.join("fetched.json");
        let fetched = if record.is_file() {
            let text = fs::read_to_string(&record).map_err(FetchError::file(&record))?;
            let damaged = |error: serde_json::Error| FetchError::Record { path: record, problem: error.to_string() };
            serde_json::from_str(&text).map_err(damaged)?
        } else {
            BTreeMap::new()
        };
        Ok(Self { folder: folder.to_owned(), fetched })
    }

    /// The folder of the tarballs.
    pub(super) fn packages(&self) -> PathBuf {
        self.folder.join("packages")
    }

    /// The number of images of a vendor, if they are complete and from the pinned package.
    pub(super) fn complete(&self, vendor: &Vendor) -> Result<Option<usize>, FetchError> {
        let Some(fetched) = self.fetched.get(vendor.name) else { return Ok(None) };
        if fetched.integrity != vendor.integrity {
            return Ok(None);
        }
        let there = self.classes()?.iter().filter(|class| self.image(class, vendor.name).is_file()).count();
        Ok((there == fetched.images).then_some(there))
    }

    /// Vendors whose images are complete, by name.
    pub(super) fn vendors(&self) -> impl Iterator<Item = &str> {
        self.fetched.keys().map(String::as_str)
    }

    /// Lets `draw` write the images of a vendor aside as `<class>.png`, moves them to their places and records that
    /// they are complete. Returns their number.
    pub(super) fn add(
        &mut self,
        vendor: &Vendor,
        draw: impl FnOnce(&Path) -> Result<(), FetchError>,
    ) -> Result<usize, FetchError> {
        let aside = self.aside()?.join(vendor.name);
        if aside.exists() {
            fs::remove_dir_all(&aside).map_err(FetchError::file(&aside))?;
        }
        fs::create_dir(&aside).map_err(FetchError::file(&aside))?;
        draw(&aside)?;
        let files = names(&aside)?;
        for file in &files {
            let place = self.image(file.trim_end_matches(".png"), vendor.name);
            let class = place.parent().unwrap_or(&self.folder);
            fs::create_dir_all(class).map_err(FetchError::file(class))?;
            fs::rename(aside.join(file), &place).map_err(FetchError::file(&place))?;
        }
        let fetched = Fetched { package: vendor.id(), integrity: vendor.integrity.to_owned(), images: files.len() };
        self.fetched.insert(vendor.name.to_owned(), fetched);
        let path = self.folder.join("fetched.json");
        let text = serde_json::to_string_pretty(&self.fetched)
            .map_err(|error| FetchError::Record { path, problem: error.to_string() })?;
        self.write("fetched.json", &(text + "\n"))?;
        Ok(files.len())
    }

    /// Writes the manifest: the images of these vendors, of classes that have at least `minimum` of them.
    pub(super) fn list(&self, vendors: &[Vendor], minimum: usize) -> Result<ListedEmoji, FetchError> {
        let mut names: Vec<&str> = vendors.iter().map(|vendor| vendor.name).collect();
        names.sort_unstable();
        let mut listed = ListedEmoji { path: self.folder.join("manifest.csv"), images: 0, classes: 0, left_out: 0 };
        // No name has a comma or a quote.
        let mut text = "path,class,vendor\n".to_owned();
        for class in self.classes()? {
            let drawn: Vec<&str> = names.iter().copied().filter(|name| self.image(&class, name).is_file()).collect();
            if drawn.len() < minimum {
                listed.left_out += usize::from(!drawn.is_empty());
                continue;
            }
            listed.classes += 1;
            listed.images += drawn.len();
            for vendor in drawn {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "images/{class}/{vendor}.png,{class},{vendor}");
            }
        }
        self.write("manifest.csv", &text)?;
        Ok(listed)
    }

    /// Writes which licence the images of each fetched vendor have.
    pub(super) fn write_licences(&self) -> Result<(), FetchError> {
        let mut text = "# Licences of the emoji\n\n\
            Each image is `images/<class>/<vendor>.png`, drawn at 64 x 64 pixels on white from the file of the npm \
            package. A class is the code points of the emoji.\n\n| vendor | package | licence of the images |\n\
            |---|---|---|\n"
            .to_owned();
        for (name, fetched) in &self.fetched {
            let licence = VENDORS.iter().find(|vendor| vendor.name == name).map_or("unknown", |vendor| vendor.licence);
            let _ = writeln!(text, "| {name} | {} | {licence} |", fetched.package);
        }
        self.write("LICENCES.md", &text)
    }

    /// Removes the tarballs of these vendors, and the folders that are empty then.
    pub(super) fn remove_packages(&self, vendors: &[Vendor]) -> Result<(), FetchError> {
        for vendor in vendors {
            let tarball = self.packages().join(vendor.tarball());
            if tarball.is_file() {
                fs::remove_file(&tarball).map_err(FetchError::file(&tarball))?;
            }
        }
        // Whatever else lies there is somebody's, and then the folder stays.
        let _ = fs::remove_dir(self.packages());
        let aside = self.aside()?;
        fs::remove_dir_all(&aside).map_err(FetchError::file(&aside))
    }

    /// The names of the class folders, sorted.
    fn classes(&self) -> Result<Vec<String>, FetchError> {
        names(&self.folder.join("images"))
    }

    fn image(&self, class: &str, vendor: &str) -> PathBuf {
        self.folder.join("images").join(class).join(format!("{vendor}.png"))
    }

    fn aside(&self) -> Result<PathBuf, FetchError> {
        let aside = self.folder.join(".partial");
        fs::create_dir_all(&aside).map_err(FetchError::file(&aside))?;
        Ok(aside)
    }

    /// Writes a file of the folder: aside, then renamed.
    fn write(&self, name: &str, text: &str) -> Result<(), FetchError> {
        let (aside, place) = (self.aside()?.join(name), self.folder.join(name));
        fs::write(&aside, text).map_err(FetchError::file(&aside))?;
        fs::rename(&aside, &place).map_err(FetchError::file(&place))
    }
}

/// The names in a folder, sorted, without the hidden ones and those that are no UTF-8.
fn names(folder: &Path) -> Result<Vec<String>, FetchError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(FetchError::file(folder))? {
        let name = entry.map_err(FetchError::file(folder))?.file_name();
        names.extend(name.into_string().ok().filter(|name| !name.starts_with('.')));
    }
    names.sort_unstable();
    Ok(names)
}
