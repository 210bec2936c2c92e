//! Vendors of emoji, and the packages with their drawings.
//!
//! `npm view NAME@VERSION dist.integrity` prints the integrity of a package.

/// One vendor's drawings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vendor {
    /// The name, which becomes the name of its files.
    pub name: &'static str,
    /// Whether everybody may use and share the images. The others are fetched only if they are asked for by name.
    pub free: bool,
    /// The npm package.
    pub package: &'static str,
    /// Its version.
    pub version: &'static str,
    /// `sha512-` and the SHA-512 of the tarball in base 64.
    pub integrity: &'static str,
    /// The folder of the images in the package, with a slash at the end. Each file there is named by the code points.
    pub folder: &'static str,
    /// The files' format.
    pub format: Format,
    /// The images' licence.
    pub licence: &'static str,
}

/// The format of image files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// PNG.
    Png,
    /// WebP.
    WebP,
    /// SVG.
    Svg,
}

impl Format {
    /// How the names of such files end.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Png => ".png",
            Self::WebP => ".webp",
            Self::Svg => ".svg",
        }
    }
}

impl Vendor {
    /// Name and version of the package, as npm writes them.
    pub(super) fn id(&self) -> String {
        format!("{}@{}", self.package, self.version)
    }

    /// The name that `npm pack` gives the tarball.
    pub(super) fn tarball(&self) -> String {
        format!("{}-{}.tgz", self.package.trim_start_matches('@').replace('/', "-"), self.version)
    }
}

/// All vendors.
pub const VENDORS: [Vendor; 10] = [
    Vendor {
        name: "google",
        free: true,
        package: "emoji-datasource-google",
        version: "16.0.0",
        integrity: "sha512-ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A==",
        folder: "package/img/google/64/",
        format: Format::Png,
        licence: "Noto Emoji by Google, Apache License 2.0",
    },
    Vendor {
        name: "blob",
        free: true,
        package: "emoji-datasource-google",
        version: "4.0.4",
        integrity: "sha512-5sz0aIeNJfta2F4E+PNdOc6bqHWt29vOYtFGBXWZQnrxuSQlLpddd04y9K+P6mHiTYZkMe8z5y0lDeYaODBKmA==",
        folder: "package/img/google/64/",
        format: Format::Png,
        licence: "Noto Emoji by Google of 2017, Apache License 2.0",
    },
    Vendor {
        name: "twitter",
        free: true,
        package: "emoji-datasource-twitter",
        version: "16.0.0",
        integrity: "sha512-7F+uCuHH+7Qnrc15P5tnbvKkg9E6tlzi4MnT2uW1RlN4pLYTza6cP/dstIfSDMtpjFLWuZewWg8jBbuL2eyELQ==",
        folder: "package/img/twitter/64/",
        format: Format::Png,
        licence: "Twemoji by Twitter and contributors, Creative Commons Attribution 4.0 (CC-BY 4.0)",
    },
    Vendor {
        name: "fluent-3d",
        free: true,
        package: "@lobehub/fluent-emoji-3d",
        version: "1.1.0",
        integrity: "sha512-Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
        folder: "package/assets/",
        format: Format::WebP,
        licence: "Fluent Emoji by Microsoft, MIT licence",
    },
    Vendor {
        name: "fluent-flat",
        free: true,
        package: "@lobehub/fluent-emoji-flat",
        version: "1.1.0",
        integrity: "sha512-lPYCg8+N56MIj+iOgeBeH6AF0tneXxJCvgi41rOTjAWpA5rU2WUcmU1fiIXouEe8GrSTarWCYLY2ML+rdLRHsg==",
        folder: "package/assets/",
        format: Format::Svg,
        licence: "Fluent Emoji by Microsoft, MIT licence",
    },
    Vendor {
        name: "fluent-modern",
        free: true,
        package: "@lobehub/fluent-emoji-modern",
        version: "1.0.0",
        integrity: "sha512-YdZEgLC/vh29uDEl440q3W2vN50FdUFarQoKUHH9Clzx61/wW6mImLJywVBMKQPa3+GL59j3NvOlTLhH4rxleA==",
        folder: "package/assets/",
        format: Format::Svg,
        licence: "Fluent Emoji by Microsoft, MIT licence",
    },
    Vendor {
        name: "apple",
        free: false,
        package: "emoji-datasource-apple",
        version: "16.0.0",
        integrity: "sha512-dVYjsK0FnCry9F+PBtnivhG2K0xdwlmqYaSgiUtztUdAGPYiHYhZcVKvNBqC791g2qyEcFNTBO6utg4eQ3uLTw==",
        folder: "package/img/apple/64/",
        format: Format::Png,
        licence: "Copyright Apple Inc., not licensed for commercial use; do not share",
    },
    Vendor {
        name: "facebook",
        free: false,
        package: "emoji-datasource-facebook",
        version: "16.0.0",
        integrity: "sha512-b9ZxJdB7nMWGckH1vyCjPSosaa6MJYuojPPFiQ0LmDIZS8vlG454XKcmTFKrXIMAA72O4MRJMYFhvWI8pjyciQ==",
        folder: "package/img/facebook/64/",
        format: Format::Png,
        licence: "Copyright Facebook, Inc., no clear licence; do not share",
    },
    Vendor {
        name: "emojione",
        free: false,
        package: "emoji-datasource-emojione",
        version: "4.0.4",
        integrity: "sha512-/zLMWD5AhzULdpE5BHzVeDYLj6B/eCNRw5mDdfQ/VcO8BUXh0Ovwmgn+tY+jNMh0x94/9Vf4RPVRlP0IGs+x4w==",
        folder: "package/img/emojione/64/",
        format: Format::Png,
        licence: "EmojiOne; see the licence of its publisher; do not share",
    },
    Vendor {
        name: "messenger",
        free: false,
        package: "emoji-datasource-messenger",
        version: "4.1.0",
        integrity: "sha512-OmqsNl/3M76gmRHQ1AcR/CKOMkdPMsqgUbvAhSES8UAuDSKEf5H43328ZqqFYOXTMcgLV3k8VmUcgAMpm6CyQA==",
        folder: "package/img/messenger/64/",
        format: Format::Png,
        licence: "Copyright Facebook, Inc., no clear licence; do not share",
    },
];
