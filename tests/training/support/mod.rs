//! What the tests stand on: a folder with an experiment, the command, small data, and readers of a run's files.

mod command;
mod data;
mod lab;
mod run;

pub(crate) use command::{Outcome, Running, lossmith, unwrapped};
pub(crate) use data::{fashion_mnist, folder, gzip, idx_images, idx_labels, picture};
pub(crate) use lab::{Lab, MINED_TRIPLETS, PROXIES};
pub(crate) use run::{Run, Stored, tensors};
