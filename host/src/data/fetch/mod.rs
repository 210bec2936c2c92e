//! Fetching data that package managers offer.
//!
//! The emoji come as npm packages: [`fetch_emoji`] lets the npm client download them (`npm`), takes the wanted images
//! out of the tarballs (`archive`), draws each at 64 x 64 pixels (`render`) and lists them in a manifest
//! (`collection`). Fashion-MNIST comes as a Debian package ([`fetch_fashion_mnist`]). [`places()`] says where installed
//! data is looked for.

mod archive;
mod emoji;
mod emoji_folder;
mod error;
mod event;
mod fashion_mnist;
mod npm;
mod places;
mod render;
#[cfg(test)]
mod tests;
mod vendor;

pub use emoji::{FetchEmoji, fetch_emoji};
pub use error::FetchError;
pub use event::FetchEvent;
pub use fashion_mnist::fetch_fashion_mnist;
pub use places::{find, places};
pub use vendor::{Format, VENDORS, Vendor};
