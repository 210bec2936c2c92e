//! Taking a vendor's images out of its tarball.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path};

use flate2::read::GzDecoder;
use tar::Archive;

use super::{FetchError, Vendor};

/// Hands the bytes of each wanted image to `take`, with its class and the name of its file. Of two images of a class
/// the first one is taken.
pub(super) fn images(
    tarball: &Path,
    vendor: &Vendor,
    mut take: impl FnMut(&str, &str, &[u8]) -> Result<(), FetchError>,
) -> Result<(), FetchError> {
    let damaged = |cause| FetchError::Archive { package: vendor.id(), cause };
    let file = File::open(tarball).map_err(FetchError::file(tarball))?;
    let mut archive = Archive::new(GzDecoder::new(BufReader::new(file)));
    let mut seen = BTreeSet::new();
    let mut bytes = Vec::new();
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.into_owned();
        let name = path.to_string_lossy().into_owned();
        // No path of a package becomes a path here, see `class`. But a package with such a path is no package of emoji.
        if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(FetchError::Escape { package: vendor.id(), entry: name });
        }
        let file = name.strip_prefix(vendor.folder).filter(|_| entry.header().entry_type().is_file());
        let Some(class) = file.and_then(|file| file.strip_suffix(vendor.format.ending())).and_then(class) else {
            continue;
        };
        if seen.insert(class.clone()) {
            bytes.clear();
            entry.read_to_end(&mut bytes).map_err(damaged)?;
            take(&class, &name, &bytes)?;
        }
    }
    Ok(())
}

/// The class of an image: its code points in lower-case hexadecimal with at least four digits, joined by hyphens. None
/// for names that are no code points, for skin tones and for flags: a skin tone is a variant of an emoji and not one of
/// its own, and flags differ by detail that 32 pixels do not show.
fn class(stem: &str) -> Option<String> {
    const PRESENTATION: u32 = 0xfe0f;
    let points: Result<Vec<u32>, _> = stem.split('-').map(|point| u32::from_str_radix(point, 16)).collect();
    let points: Vec<u32> = points.ok()?.into_iter().filter(|point| *point != PRESENTATION).collect();
    let left_out = |point: &u32| matches!(point, 0x1f3fb..=0x1f3ff | 0x1f1e6..=0x1f1ff);
    if points.is_empty() || points.iter().any(left_out) {
        return None;
    }
    Some(points.iter().map(|point| format!("{point:04x}")).collect::<Vec<_>>().join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_the_code_points() {
        for (stem, expected) in [
            ("1f600", "1f600"),
            ("1F468-200D-2764-FE0F-200D-1F468", "1f468-200d-2764-200d-1f468"),
            ("00a9-fe0f", "00a9"),
            ("a9", "00a9"),
        ] {
            assert_eq!(class(stem).as_deref(), Some(expected));
        }
    }

    #[test]
    fn skin_tones_flags_and_other_names_have_none() {
        for stem in [
            "1f44b-1f3fb",
            "1f44b-1f3ff-200d-2642-fe0f",
            "1f1e9-1f1ea",
            "fe0f",
            "",
            "smile",
            "1f600-",
            "a/b",
            "../1f600",
        ] {
            assert_eq!(class(stem), None, "{stem}");
        }
    }
}
