//! The kinds of data, and the defaults that differ between them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DataKind {
    /// The four IDX files of Fashion-MNIST, plain or gzipped: 28 x 28 pixels, one channel, ten classes.
    FashionMnist,
    /// A folder with one sub-folder per class that holds JPEG, PNG and WebP files, or with the folders `train`, `val`
    /// (or `valid`, `validation`) and `test` that hold such class folders; one of the last two may be missing. Images
    /// are read as RGB, three channels: turned as their EXIF orientation says, and with white where they are
    /// transparent.
    Folder,
    /// A CSV file with the columns `path`, a JPEG, PNG or WebP file relative to the CSV file, and `class` or `label`;
    /// if it has them, also `subject`; `split`, which is `train`, `validation` or `test`, or the number of a fold from
    /// 0; `is_query` and `is_gallery`, for retrieval; `x_1`, `x_2`, `y_1` and `y_2`, left, right, top and bottom of
    /// what is cut out, in pixels. Other columns are named in a warning. Images are read as those of a `folder`.
    Manifest,
    /// The emoji that `lossmith data fetch emoji` fetches: 64 x 64 pixels, RGB, each class drawn by several vendors.
    Emoji,
    /// Birds: the folder of CUB-200-2011 with `images.txt`, `image_class_labels.txt`, `classes.txt` and `images`. RGB,
    /// three channels.
    #[serde(rename = "cub-200-2011")]
    Cub,
    /// Cars: the folder of Cars196 with `cars_annos.mat` and `car_ims`. RGB, three channels.
    Cars196,
    /// Products of a shop: the folder of Stanford Online Products with `Ebay_train.txt`, `Ebay_test.txt` and the
    /// images. RGB, three channels.
    StanfordOnlineProducts,
    /// Expressions of faces: the folder of RAF-DB with `EmoLabel/list_patition_label.txt` and `Image/aligned`. RGB,
    /// three channels.
    RafDb,
    /// Expressions of faces: the folder with `fer2013.csv` or `icml_face_data.csv`. 48 x 48 pixels, one channel.
    Fer2013,
    /// Expressions of faces in films: the folder of SFEW 2.0 with `Train` and `Val`, or `Train_Aligned_Faces` and
    /// `Val_Aligned_Faces`. RGB, three channels.
    Sfew,
    /// Posed expressions: images of CK+ as `<class>/<subject>_<anything>.png`. RGB, three channels.
    CkPlus,
    /// Posed expressions: images of MMI as `<class>/<subject>_<anything>.png`. RGB, three channels.
    Mmi,
    /// Expressions of faces: the folder of AffectNet with `training.csv`, `validation.csv` and
    /// `Manually_Annotated_Images`, of which the faces are cut out. RGB, three channels.
    #[serde(rename = "affectnet")]
    AffectNet,
}

impl DataKind {
    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::FashionMnist,
        Self::Emoji,
        Self::Cub,
        Self::Cars196,
        Self::StanfordOnlineProducts,
        Self::RafDb,
        Self::AffectNet,
        Self::Fer2013,
        Self::Sfew,
        Self::CkPlus,
        Self::Mmi,
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
            Self::RafDb => "raf-db",
            Self::Fer2013 => "fer2013",
            Self::Sfew => "sfew",
            Self::CkPlus => "ck-plus",
            Self::Mmi => "mmi",
            Self::AffectNet => "affectnet",
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
            Self::RafDb => "RAF-DB",
            Self::Fer2013 => "FER2013",
            Self::Sfew => "SFEW 2.0",
            Self::CkPlus => "CK+",
            Self::Mmi => "MMI",
            Self::AffectNet => "AffectNet",
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
            Self::RafDb => "seven expressions of faces from the web: the usual benchmark of expression recognition",
            Self::AffectNet => "eight expressions of very many faces from the web",
            Self::Fer2013 => "seven expressions of small grey faces: quick tries of expression recognition",
            Self::Sfew => "seven expressions in frames of films, few images: hard closed sets",
            Self::CkPlus | Self::Mmi => "posed expressions of known people: cross-validation over subjects",
            Self::Folder | Self::Manifest => "images of your own",
        }
    }

    /// How to get it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::FashionMnist => {
                "`lossmith data fetch fashion-mnist` fetches it; or let `data.path` name a folder with its four IDX \
                 files"
            }
            Self::Emoji => "`lossmith data fetch emoji` fetches it",
            Self::Cub | Self::Cars196 | Self::StanfordOnlineProducts => {
                "obtain it from its publisher under their terms, and let `data.path` name its folder"
            }
            Self::RafDb => {
                "ask its authors for the basic emotions, for research only, and let `data.path` name the folder with \
                 EmoLabel/list_patition_label.txt and Image/aligned"
            }
            Self::AffectNet => {
                "ask its authors for it, for research only, and let `data.path` name the folder with training.csv, \
                 validation.csv and Manually_Annotated_Images"
            }
            Self::Fer2013 => {
                "obtain it from the Kaggle challenge of 2013 under its rules, and let `data.path` name the folder with \
                 fer2013.csv or icml_face_data.csv"
            }
            Self::Sfew => {
                "ask the organisers of EmotiW for SFEW 2.0, for research only, and let `data.path` name the folder \
                 with Train and Val (or Train_Aligned_Faces and Val_Aligned_Faces), one sub-folder per class in each"
            }
            Self::CkPlus => {
                "ask its authors for CK+, for research only, choose the frames and store them as \
                 <class>/<subject>_<anything>.png in the folder that `data.path` names"
            }
            Self::Mmi => {
                "ask its authors for MMI, for research only, choose the frames and store them as \
                 <class>/<subject>_<anything>.png in the folder that `data.path` names"
            }
            Self::Folder => {
                "`data.path` must name a folder with one sub-folder per class, directly or in train, val and test; \
                 `lossmith data list --help` says more"
            }
            Self::Manifest => {
                "`data.path` must name a CSV file with the columns `path` and `class`; `lossmith data list --help` \
                 says more"
            }
        }
    }

    /// Channels of an image: 1 or 3.
    #[must_use]
    pub fn channels(self) -> usize {
        match self {
            Self::FashionMnist | Self::Fer2013 => 1,
            _ => 3,
        }
    }

    /// Whether the data's publisher has divided the classes into those for training and those for testing.
    pub(super) fn has_official_split(self) -> bool {
        matches!(self, Self::Cub | Self::Cars196 | Self::StanfordOnlineProducts)
    }

    /// Whether the data names its subjects and has no parts of its own, so that folds of subjects are the usual split.
    pub(super) fn has_subject_folds(self) -> bool {
        matches!(self, Self::CkPlus | Self::Mmi)
    }

    /// Height and width of the network's input in pixels, if none is configured.
    pub(super) fn size(self) -> usize {
        match self {
            Self::FashionMnist => 28,
            Self::Emoji => 32,
            Self::Folder | Self::Manifest => 64,
            Self::Fer2013 => 48,
            Self::RafDb | Self::Sfew | Self::CkPlus | Self::Mmi | Self::AffectNet => 100,
            Self::Cub | Self::Cars196 | Self::StanfordOnlineProducts => 224,
        }
    }

    /// Mean of each channel, if none is configured.
    pub(super) fn mean(self) -> Vec<f64> {
        match self {
            Self::FashionMnist => vec![0.2860],
            Self::Fer2013 => vec![0.5],
            _ => vec![0.485, 0.456, 0.406],
        }
    }

    /// Standard deviation of each channel, if none is configured.
    pub(super) fn std(self) -> Vec<f64> {
        match self {
            Self::FashionMnist => vec![0.3530],
            Self::Fer2013 => vec![0.25],
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
