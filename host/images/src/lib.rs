//! Images, from the bytes of a file to the input of a network.
//!
//! [`Header`] reads the beginning of a file, [`decode`] all of it, as a viewer shows it; a [`Crop`] says what of it is
//! seen, and a [`Preparation`] makes of that the normalised numbers of a network's input.
//!
//! It is a crate of its own for the sake of speed: the crate `lossmith`, whose compilation has to be quick, is hardly
//! optimised, nor is what it takes of generic decoders. A crop of 375 x 375 pixels becomes 224 x 224 in 0.45 ms here
//! and took 1.5 there.

mod area;
mod axis;
mod crop;
mod decode;
mod header;
mod image_fault;
mod picture;
mod preparation;
mod resample;

pub use area::Area;
pub use crop::Crop;
pub use decode::{decode, on_white};
pub use header::Header;
pub use image_fault::ImageFault;
pub use picture::Picture;
pub use preparation::Preparation;
pub use resample::Scratch;
