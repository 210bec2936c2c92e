//! The data sets, one file for each layout: from a folder that the user has to a list of images with their classes.
//! [`scan`] chooses the file by the kind.

mod affectnet;
mod cars196;
mod class_folders;
mod cub;
mod fashion_mnist;
mod fer2013;
mod folder;
mod manifest;
mod manifest_row;
mod posed_faces;
mod products;
mod raf_db;
mod scan;
mod sfew;
mod split_column;

pub(super) use scan::scan;
