//! Fetching the emoji.

use std::fs;
use std::path::Path;

use super::emoji_folder::EmojiFolder;
use super::{FetchError, FetchEvent, VENDORS, Vendor, archive, npm, render};

/// Images that a class needs to be in the manifest: three for a batch with a class-disjoint split, and one more, so
/// that a query of the test part has several right answers. Only about fifty emoji are drawn by fewer of the free
/// vendors.
const MINIMUM: usize = 4;

/// A request to fetch emoji: which ones, and where to.
#[derive(Clone, Copy, Debug)]
pub struct FetchEmoji<'a> {
    /// The folder; it is made if it is not there.
    pub directory: &'a Path,
    /// Whose drawings, see [`FetchEmoji::select`].
    pub vendors: &'a [Vendor],
    /// The npm client: a path, or a name that is looked for in `PATH`.
    pub npm: &'a Path,
    /// Whether the tarballs stay in the folder's `packages`.
    pub keep_packages: bool,
}

impl FetchEmoji<'_> {
    /// The free vendors, and those named in `with`.
    ///
    /// # Errors
    /// [`FetchError::Vendor`] for a name that is no vendor's.
    pub fn select(with: &[String]) -> Result<Vec<Vendor>, FetchError> {
        if let Some(name) = with.iter().find(|name| !VENDORS.iter().any(|vendor| vendor.name == **name)) {
            let known = VENDORS.iter().map(|vendor| vendor.name).collect();
            return Err(FetchError::Vendor { name: name.clone(), known });
        }
        let asked = |vendor: &Vendor| vendor.free || with.iter().any(|name| name == vendor.name);
        Ok(VENDORS.into_iter().filter(asked).collect())
    }
}

/// Downloads, checks and draws what is not there yet, then writes the manifest of the vendors that were asked for.
/// After an interruption a second call goes on: packages that are there and right and vendors whose images are complete
/// are kept. Only files that this function has written are replaced or removed. `show` is told what happens.
///
/// # Errors
/// No npm client, a download that fails or is not what was pinned, a package or image that is damaged, a file that
/// cannot be written.
pub fn fetch_emoji(request: &FetchEmoji, show: &mut dyn FnMut(FetchEvent)) -> Result<(), FetchError> {
    let mut folder = EmojiFolder::open(request.directory)?;
    for vendor in request.vendors {
        let name = vendor.name.to_owned();
        if let Some(images) = folder.complete(vendor)? {
            show(FetchEvent::Complete { vendor: name, images });
            continue;
        }
        let tarball = npm::tarball(request.npm, vendor, &folder.packages(), show)?;
        show(FetchEvent::Drawing { vendor: name.clone(), package: vendor.id() });
        let images = folder.add(vendor, |aside| draw(vendor, &tarball, aside))?;
        show(FetchEvent::Drawn { vendor: name, images });
    }
    let asked = |name: &str| request.vendors.iter().any(|vendor| vendor.name == name);
    for vendor in folder.vendors().filter(|name| !asked(name)) {
        show(FetchEvent::LeftOut { vendor: vendor.to_owned() });
    }
    folder.write_licences()?;
    let listed = folder.list(request.vendors, MINIMUM)?;
    if !request.keep_packages {
        folder.remove_packages(request.vendors)?;
    }
    show(FetchEvent::Listed {
        path: listed.path,
        images: listed.images,
        classes: listed.classes,
        minimum: MINIMUM,
        left_out: listed.left_out,
    });
    Ok(())
}

/// Draws the images of a tarball into the folder `aside`.
fn draw(vendor: &Vendor, tarball: &Path, aside: &Path) -> Result<(), FetchError> {
    archive::images(tarball, vendor, |class, entry, bytes| {
        let problem = |problem| FetchError::Image { package: vendor.id(), entry: entry.to_owned(), problem };
        let drawn = render::png(vendor.format, bytes).map_err(problem)?;
        let file = aside.join(class).with_extension("png");
        fs::write(&file, drawn).map_err(FetchError::file(&file))
    })
}
