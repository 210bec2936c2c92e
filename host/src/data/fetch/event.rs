//! Events of fetching data, for a person or a program to read.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Something that happened. `Display` writes it as one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum FetchEvent {
    /// The images of a vendor are there from an earlier time.
    Complete {
        /// The vendor.
        vendor: String,
        /// Its images.
        images: usize,
    },
    /// A package is there from an earlier time and right.
    Kept {
        /// Name and version.
        package: String,
    },
    /// A package is there but wrong, so it is downloaded again.
    Damaged {
        /// Name and version.
        package: String,
    },
    /// A package is being downloaded.
    Downloading {
        /// Name and version.
        package: String,
    },
    /// The images of a package are being drawn.
    Drawing {
        /// The vendor.
        vendor: String,
        /// Name and version.
        package: String,
    },
    /// The images of a vendor are now there.
    Drawn {
        /// The vendor.
        vendor: String,
        /// Its images.
        images: usize,
    },
    /// The images of a vendor are there from an earlier time, but this time it was not asked for.
    LeftOut {
        /// The vendor.
        vendor: String,
    },
    /// Data is there already.
    Present {
        /// Its folder.
        path: PathBuf,
    },
    /// A package was unpacked.
    Unpacked {
        /// The folder of the data.
        path: PathBuf,
    },
    /// All emoji are there.
    Listed {
        /// The manifest.
        path: PathBuf,
        /// Its images.
        images: usize,
        /// Its classes.
        classes: usize,
        /// Images that a class needs to be listed.
        minimum: usize,
        /// Classes that have fewer.
        left_out: usize,
    },
}

impl fmt::Display for FetchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete { vendor, images } => write!(f, "{vendor}: {images} images are there"),
            Self::Kept { package } => write!(f, "{package}: downloaded already"),
            Self::Damaged { package } => write!(f, "{package}: the file is damaged"),
            Self::Downloading { package } => write!(f, "{package}: downloading"),
            Self::Drawing { vendor, package } => write!(f, "{vendor}: drawing the images of {package}"),
            Self::Drawn { vendor, images } => write!(f, "{vendor}: {images} images"),
            Self::LeftOut { vendor } => {
                write!(f, "{vendor}: there, but not in the manifest; `--with {vendor}` puts it in")
            }
            Self::Present { path } => write!(f, "already in {}", path.display()),
            Self::Unpacked { path } => write!(f, "unpacked into {}", path.display()),
            Self::Listed { path, images, classes, minimum, left_out } => write!(
                f,
                "{}: {images} images of {classes} classes; {left_out} classes with fewer than {minimum} images are \
                 left out",
                path.display()
            ),
        }
    }
}
