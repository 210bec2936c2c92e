//! The kinds of data, and the defaults that differ between them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DataKind {
    /// The four IDX files of Fashion-MNIST, plain or gzipped: 28 x 28 pixels, one channel, ten classes.
    FashionMnist,
    /// A folder with one sub-folder per class that holds JPEG and PNG files, or with the folders `train` and `test` that hold
    /// such class folders. Images are read as RGB, three channels.
    Folder,
    /// A CSV file with the columns `path`, a JPEG or PNG file relative to the CSV file, and `class`; other columns are
    /// ignored. Images are read as RGB, three channels.
    Manifest,
    /// The emoji that `lossmith data fetch emoji` fetches: 64 x 64 pixels, RGB, each class drawn by several vendors.
    Emoji,
    /// Birds: the folder of CUB-200-2011 with `images.txt`, `image_class_labels.txt`, `classes.txt` and `images`. RGB, three
    /// channels.
    #[serde(rename = "cub-200-2011")]
    Cub,
    /// Cars: the folder of Cars196 with `cars_annos.mat` and `car_ims`. RGB, three channels.
    Cars196,
    /// Products of a shop: the folder of Stanford Online Products with `Ebay_train.txt`, `Ebay_test.txt` and the images. RGB,
    /// three channels.
    StanfordOnlineProducts,
}

impl DataKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::FashionMnist,
        Self::Emoji,
        Self::Cub,
        Self::Cars196,
        Self::StanfordOnlineProducts,
        Self::Folder,
        Self::Manifest,
    ];

    /// The name in an experiment file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FashionMnist => "fashion-mnist",
            Self::Folder => "folder",
            Self::Manifest => "manifest",
            Self::Emoji => "emoji",
            Self::Cub => "cub-200-2011",
            Self::Cars196 => "cars196",
            Self::StanfordOnlineProducts => "stanford-online-products",
        }
    }

    /// The name in a sentence.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::FashionMnist => "Fashion-MNIST",
            Self::Folder => "image folder",
            Self::Manifest => "image list",
            Self::Emoji => "emoji",
            Self::Cub => "CUB-200-2011",
            Self::Cars196 => "Cars196",
            Self::StanfordOnlineProducts => "Stanford Online Products",
        }
    }

    /// What experiments it is good for, in a few words.
    #[must_use]
    pub fn purpose(self) -> &'static str {
        match self {
            Self::FashionMnist => "few classes, many images each: closed sets, quick tries",
            Self::Emoji => "many classes, few images each: retrieval, embedding transfer",
            Self::Cub => "birds that differ in detail: fine-grained retrieval, the usual benchmark",
            Self::Cars196 => "cars that differ in detail: fine-grained retrieval",
            Self::StanfordOnlineProducts => "very many classes, about five images each: retrieval at scale",
            Self::Folder | Self::Manifest => "images of your own",
        }
    }

    /// How to get it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::FashionMnist => {
                "`lossmith data fetch fashion-mnist` fetches it; or let `data.path` name a folder with its four IDX files"
            }
            Self::Emoji => "`lossmith data fetch emoji` fetches it",
            Self::Cub | Self::Cars196 | Self::StanfordOnlineProducts => {
                "obtain it from its publisher under their terms, and let `data.path` name its folder"
            }
            Self::Folder => "`data.path` must name a folder with one sub-folder per class",
            Self::Manifest => "`data.path` must name a CSV file with the columns `path` and `class`",
        }
    }

    /// Channels of an image: 1 or 3.
    #[must_use]
    pub fn channels(self) -> usize {
        match self {
            Self::FashionMnist => 1,
            _ => 3,
        }
    }

    /// Whether the data's publisher has divided the classes into those for training and those for testing.
    pub(super) fn has_official_split(self) -> bool {
        matches!(self, Self::Cub | Self::Cars196 | Self::StanfordOnlineProducts)
    }

    /// Height and width of the network's input in pixels, if none is configured.
    pub(super) fn size(self) -> usize {
        match self {
            Self::FashionMnist => 28,
            Self::Emoji => 32,
            Self::Folder | Self::Manifest => 64,
            Self::Cub | Self::Cars196 | Self::StanfordOnlineProducts => 224,
        }
    }

    /// Mean of each channel, if none is configured.
    pub(super) fn mean(self) -> Vec<f64> {
        match self {
            Self::FashionMnist => vec![0.2860],
            _ => vec![0.485, 0.456, 0.406],
        }
    }

    /// Standard deviation of each channel, if none is configured.
    pub(super) fn std(self) -> Vec<f64> {
        match self {
            Self::FashionMnist => vec![0.3530],
            _ => vec![0.229, 0.224, 0.225],
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn the_name_is_that_of_the_experiment_file() {
        for kind in DataKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
