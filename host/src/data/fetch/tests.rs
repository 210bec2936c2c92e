//! Whole fetches with an npm client that hands out tarballs of the test.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use image::{ImageFormat, Rgba, RgbaImage};
use sha2::{Digest, Sha512};
use tempfile::TempDir;

use super::*;
use crate::data::{DataConfig, DataKind, Dataset};

const SVG: &[u8] =
    br#"<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><circle cx="4" cy="4" r="3"/></svg>"#;

fn drawing(format: ImageFormat, side: u32) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    RgbaImage::from_pixel(side, side, Rgba([9, 80, 200, 255])).write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// An npm client that hands out what is in the folder `registry` of the test.
fn npm() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/fetch/npm")
}

/// A gzipped tarball of these files. The names are written as they are, even those that a writer of archives refuses.
fn pack(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name.get_mut(..name.len()).unwrap().copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append(&header, *bytes).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

/// A folder with an npm client, the packages that it can download, and the fetched data.
struct Lab {
    root: TempDir,
    vendors: Vec<Vendor>,
}

impl Lab {
    /// Four vendors with the classes 1f600 and 1f601, one of which has 1f602 as well.
    fn new() -> Self {
        let (png, webp) = (drawing(ImageFormat::Png, 64), drawing(ImageFormat::WebP, 100));
        let mut lab = Self { root: tempfile::tempdir().unwrap(), vendors: Vec::new() };
        lab.add(
            "one",
            Format::Png,
            &[
                ("package/img/64/1f600.png", &png),
                ("package/img/64/1f601-fe0f.png", &png),
                ("package/img/64/1f602.png", &png),
                ("package/img/64/1f44b-1f3fb.png", &png),
                ("package/img/64/1f1e9-1f1ea.png", &png),
                ("package/img/sheet/1f603.png", &png),
                ("package/img/64/more/1f603.png", &png),
                ("package/README.md", b"text"),
            ],
        );
        for (name, format, image) in
            [("two", Format::WebP, webp.as_slice()), ("@scope/three", Format::Svg, SVG), ("four", Format::Svg, SVG)]
        {
            let file = |class: &str| format!("package/img/64/{class}{}", format.ending());
            lab.add(name, format, &[(&file("1f600"), image), (&file("1F601"), image)]);
        }
        lab
    }

    /// Makes a package and pins it.
    fn add(&mut self, package: &'static str, format: Format, files: &[(&str, &[u8])]) {
        self.vendors.retain(|vendor| vendor.package != package);
        let name = package.trim_start_matches("@scope/");
        let vendor = Vendor {
            name,
            free: true,
            package,
            version: "1.2.3",
            integrity: "",
            folder: "package/img/64/",
            format,
            licence: "free",
        };
        let tarball = pack(files);
        let integrity: &'static str = format!("sha512-{}", STANDARD.encode(Sha512::digest(&tarball))).leak();
        self.publish(&vendor, &tarball);
        self.vendors.push(Vendor { integrity, ..vendor });
    }

    /// What the registry hands out for a vendor's package.
    fn publish(&self, vendor: &Vendor, tarball: &[u8]) {
        fs::create_dir_all(self.path("registry")).unwrap();
        fs::write(self.path("registry").join(vendor.tarball()), tarball).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Fetches, and returns the lines that were shown.
    fn fetch_by(&self, npm: &Path, keep_packages: bool) -> Result<Vec<String>, FetchError> {
        let directory = self.path("emoji");
        let mut lines = Vec::new();
        let request = FetchEmoji { directory: &directory, vendors: &self.vendors, npm, keep_packages };
        fetch_emoji(&request, &mut |event| lines.push(event.to_string())).map(|()| lines)
    }

    fn fetch(&self) -> Result<Vec<String>, FetchError> {
        self.fetch_by(&npm(), false)
    }

    /// The packages that were downloaded since the last call.
    fn downloads(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let _ = fs::remove_file(self.path("log"));
        log.lines().map(str::to_owned).collect()
    }

    /// Every file of the fetched data with its bytes.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        fn walk(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(root, &path, files);
                } else {
                    files.insert(path.strip_prefix(root).unwrap().display().to_string(), fs::read(&path).unwrap());
                }
            }
        }
        let mut files = BTreeMap::new();
        walk(&self.path("emoji"), &self.path("emoji"), &mut files);
        files
    }
}

#[test]
fn the_wanted_images_are_drawn_and_listed() {
    let lab = Lab::new();
    let lines = lab.fetch().unwrap();
    assert!(lines.last().unwrap().contains("8 images of 2 classes; 1 classes with fewer than 4"), "{lines:?}");
    let files = lab.files();
    let manifest = String::from_utf8(files.get("manifest.csv").unwrap().clone()).unwrap();
    let rows: Vec<&str> = manifest.lines().collect();
    assert_eq!(rows[..3], ["path,class,vendor", "images/1f600/four.png,1f600,four", "images/1f600/one.png,1f600,one"]);
    assert!(rows.len() == 9 && rows[1..].is_sorted(), "{rows:?}");
    let images: Vec<&String> = files.keys().filter(|name| name.ends_with(".png")).collect();
    assert_eq!(images.len(), 9, "{images:?}");
    assert!(images.iter().all(|name| image::load_from_memory(&files[*name]).unwrap().width() == 64));
    assert_eq!(files.len(), 9 + 3, "{:?}", files.keys());
    let licences = String::from_utf8(files["LICENCES.md"].clone()).unwrap();
    assert!(licences.contains("| three | @scope/three@1.2.3 |"), "{licences}");

    let config = DataConfig { path: Some(lab.path("emoji")), ..DataConfig::new(DataKind::Emoji) };
    let dataset = Dataset::open(&config, 1).unwrap();
    assert_eq!((dataset.images(), dataset.class_names()), (8, &["1f600".to_owned(), "1f601".to_owned()][..]));
}

#[test]
fn what_is_there_is_not_downloaded_again() {
    let lab = Lab::new();
    lab.fetch_by(&npm(), true).unwrap();
    assert_eq!(lab.downloads().len(), 4);
    let before = lab.files();
    assert_eq!(before.keys().filter(|name| name.starts_with("packages/")).count(), 4);
    // Images that the user has removed are drawn again from the package that is there.
    fs::remove_file(lab.path("emoji/images/1f600/two.png")).unwrap();
    let lines = lab.fetch_by(&npm(), true).unwrap();
    assert!(lines.contains(&"two@1.2.3: downloaded already".to_owned()), "{lines:?}");
    assert!(lab.downloads().is_empty() && lab.files() == before);
    // A package that is damaged is not used.
    fs::remove_file(lab.path("emoji/images/1f600/two.png")).unwrap();
    fs::write(lab.path("emoji/packages/two-1.2.3.tgz"), "half").unwrap();
    lab.fetch_by(&npm(), true).unwrap();
    assert_eq!((lab.downloads(), lab.files() == before), (vec!["two@1.2.3".to_owned()], true));
}

#[test]
fn a_fetch_that_was_stopped_goes_on() {
    let whole = Lab::new();
    whole.fetch().unwrap();
    let lab = Lab::new();
    // Killed in the middle of the third package.
    let kill = lab.path("registry/scope-three-1.2.3.tgz.kill");
    fs::write(&kill, "").unwrap();
    let error = lab.fetch().unwrap_err();
    fs::remove_file(kill).unwrap();
    assert!(matches!(&error, FetchError::Command { .. }), "{error}");
    assert!(!lab.path("emoji/manifest.csv").exists());
    assert_eq!(lab.downloads().len(), 3);
    // And what a process leaves that is killed while it draws and moves images.
    fs::create_dir_all(lab.path("emoji/.partial/four")).unwrap();
    fs::write(lab.path("emoji/.partial/four/1f999.png"), "half").unwrap();
    fs::write(lab.path("emoji/images/1f600/three.png"), "half").unwrap();
    let lines = lab.fetch().unwrap();
    assert_eq!(lines[..2], ["one: 3 images are there", "two: 2 images are there"]);
    assert_eq!(lab.downloads(), ["@scope/three@1.2.3", "four@1.2.3"]);
    assert!(lab.files() == whole.files());
}

#[test]
fn a_package_that_is_not_the_pinned_one_is_refused() {
    let lab = Lab::new();
    let vendor = lab.vendors[1];
    let right = fs::read(lab.path("registry").join(vendor.tarball())).unwrap();
    for wrong in [pack(&[("package/img/64/1f600.webp", b"another")]), right[..right.len() / 2].to_vec()] {
        lab.publish(&vendor, &wrong);
        let error = lab.fetch().unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, FetchError::Integrity { .. }), "{text}");
        assert!(text.contains("two@1.2.3") && text.contains(vendor.integrity), "{text}");
        assert!(!lab.path("emoji/packages").join(vendor.tarball()).exists());
    }
    lab.publish(&vendor, &right);
    lab.fetch().unwrap();
}

#[test]
fn a_damaged_tarball_that_is_pinned_is_named() {
    let mut lab = Lab::new();
    let vendor = lab.vendors[1];
    let right = fs::read(lab.path("registry").join(vendor.tarball())).unwrap();
    let half = &right[..right.len() / 2];
    lab.publish(&vendor, half);
    lab.vendors[1].integrity = format!("sha512-{}", STANDARD.encode(Sha512::digest(half))).leak();
    let error = lab.fetch().unwrap_err();
    assert!(matches!(&error, FetchError::Archive { package, .. } if package == "two@1.2.3"), "{error}");
}

#[test]
fn an_image_that_cannot_be_drawn_is_named() {
    let mut lab = Lab::new();
    lab.add("four", Format::Svg, &[("package/img/64/1f600.svg", SVG), ("package/img/64/1f601.svg", b"<svg")]);
    let error = lab.fetch().unwrap_err().to_string();
    assert!(error.contains("package/img/64/1f601.svg of the package four@1.2.3 cannot be drawn"), "{error}");
    assert!(!lab.path("emoji/manifest.csv").exists());
}

#[test]
fn a_path_that_leads_out_of_the_package_is_refused() {
    for name in ["package/img/64/../../../../1f600.svg", "/tmp/1f600.svg", "../1f600.svg"] {
        let mut lab = Lab::new();
        lab.add("four", Format::Svg, &[(name, SVG)]);
        let error = lab.fetch().unwrap_err();
        assert!(matches!(&error, FetchError::Escape { entry, .. } if entry == name), "{error}");
        assert!(!lab.path("1f600.svg").exists() && !lab.path("emoji/1f600.svg").exists());
    }
}

#[test]
fn without_a_client_or_a_network_the_remedy_is_named() {
    let lab = Lab::new();
    let error = lab.fetch_by(&lab.path("no-npm"), false).unwrap_err();
    assert!(matches!(error, FetchError::Program { .. }), "{error}");
    assert!(miette::Diagnostic::help(&error).unwrap().to_string().contains("install npm"));
    fs::remove_file(lab.path("registry/one-1.2.3.tgz")).unwrap();
    let error = lab.fetch().unwrap_err().to_string();
    assert!(error.contains("pack --silent") && error.contains("npm error 404 not found"), "{error}");
}

#[test]
fn files_of_the_user_stay_and_other_vendors_are_left_out() {
    let mut lab = Lab::new();
    fs::create_dir_all(lab.path("emoji/packages")).unwrap();
    fs::write(lab.path("emoji/packages/mine.tgz"), "mine").unwrap();
    fs::write(lab.path("emoji/notes.txt"), "mine").unwrap();
    lab.add("five", Format::Svg, &[("package/img/64/1f600.svg", SVG)]);
    lab.fetch().unwrap();
    lab.vendors.pop();
    let lines = lab.fetch().unwrap();
    assert!(lines.iter().any(|line| line.contains("five: there, but not in the manifest; `--with five`")), "{lines:?}");
    let files = lab.files();
    assert!(["packages/mine.tgz", "notes.txt", "images/1f600/five.png"].iter().all(|name| files.contains_key(*name)));
    assert!(!String::from_utf8_lossy(&files["manifest.csv"]).contains("five"));
}

#[test]
fn a_damaged_record_is_named() {
    let lab = Lab::new();
    lab.fetch().unwrap();
    fs::write(lab.path("emoji/fetched.json"), "{").unwrap();
    let error = lab.fetch().unwrap_err();
    assert!(matches!(&error, FetchError::Record { path, .. } if path.ends_with("fetched.json")), "{error}");
}

#[test]
fn vendors_that_are_not_free_are_asked_for_by_name() {
    let names = |with: &[&str]| {
        let with: Vec<String> = with.iter().map(|name| (*name).to_owned()).collect();
        FetchEmoji::select(&with).map(|vendors| vendors.iter().map(|vendor| vendor.name).collect::<Vec<_>>())
    };
    let free = ["google", "blob", "twitter", "fluent-3d", "fluent-flat", "fluent-modern"];
    assert_eq!(names(&[]).unwrap(), free);
    assert_eq!(names(&["apple", "google"]).unwrap(), [&free[..], &["apple"]].concat());
    assert!(names(&["samsung"]).unwrap_err().to_string().contains("`samsung` is not a vendor"));
}

#[test]
fn the_pinned_integrities_are_whole() {
    for vendor in VENDORS {
        let bytes = STANDARD.decode(vendor.integrity.trim_start_matches("sha512-")).unwrap();
        assert_eq!(bytes.len(), 64, "{}", vendor.name);
    }
}

#[test]
fn an_installed_fashion_mnist_is_not_downloaded() {
    let root = tempfile::tempdir().unwrap();
    crate::data::fixtures::write_fashion_mnist(root.path(), 10, 10);
    let mut events = Vec::new();
    fetch_fashion_mnist(Some(root.path()), &mut |event| events.push(event)).unwrap();
    assert_eq!(events, [FetchEvent::Present { path: root.path().to_owned() }]);
}
