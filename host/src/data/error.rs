//! Errors of data.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use super::{DataKind, ImageFault};

/// An error of the data, its settings or its loading.
#[derive(Debug, Error, Diagnostic)]
pub enum DataError {
    /// A setting is out of its range.
    #[error("`{key}` is {found}, expected {expected}")]
    Setting {
        /// The key with its table.
        key: &'static str,
        /// Its value.
        found: String,
        /// What is allowed.
        expected: String,
    },
    /// The data is of a kind whose path must be given.
    #[error("`data.path` is missing")]
    #[diagnostic(help("for data of kind `{}`, {}", kind.name(), kind.remedy()))]
    NoPath {
        /// The kind.
        kind: DataKind,
    },
    /// The data is in none of the places where it is looked for.
    #[error("{} is not installed; looked in {}", kind.name(), list(places))]
    #[diagnostic(help("{}", kind.remedy()))]
    NotInstalled {
        /// The kind.
        kind: DataKind,
        /// The folders that were tried.
        places: Vec<PathBuf>,
    },
    /// A record of a file that lists images is not what it should be.
    #[error("{place}: {problem}")]
    #[diagnostic(help("{help}"))]
    Record {
        /// The file and the record.
        place: String,
        /// What is wrong there.
        problem: String,
        /// What to do.
        help: String,
    },
    /// A file or folder cannot be read; a truncated gzip file ends up here as well.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system or the decompressor says; the message says it, so it is no source to be told once more.
        cause: io::Error,
    },
    /// An IDX file is not what it should be.
    #[error("{}: {item} is {found}, expected {expected}", path.display())]
    #[diagnostic(help("the file is damaged or not the one of Fashion-MNIST; fetch it again"))]
    Idx {
        /// The file.
        path: PathBuf,
        /// Which part of it.
        item: &'static str,
        /// What it says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// An image file cannot be decoded.
    #[error("cannot decode {}: {fault}", path.display())]
    #[diagnostic(help("replace the file, or take it out of the data"))]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; the message says it, so it is no cause to be told once more.
        fault: ImageFault,
    },
    /// Image files of which the beginning shows that they cannot be used.
    #[error("{} of {} cannot be used:{}", files.len(), images(*total), first(files))]
    #[diagnostic(help("replace these files, or take them out of the folder or the list"))]
    Images {
        /// The files, each with what is wrong with it.
        files: Vec<(PathBuf, ImageFault)>,
        /// All images of the data.
        total: usize,
    },
    /// A folder has no class folders.
    #[error("{} has no sub-folder", path.display())]
    #[diagnostic(help("each class needs a sub-folder with its JPEG, PNG or WebP files"))]
    NoClasses {
        /// The folder.
        path: PathBuf,
    },
    /// A class folder has no images.
    #[error("{} has no JPEG, PNG or WebP file{}", path.display(), if *folders { ", only sub-folders" } else { "" })]
    #[diagnostic(help(
        "remove the folder, or put the images of the class directly into it; deeper folders are not read"
    ))]
    EmptyClass {
        /// The folder of the class.
        path: PathBuf,
        /// Whether it has sub-folders.
        folders: bool,
    },
    /// A folder that is named as a part, without the other parts.
    #[error("{} has folders and no images: it is no class, and as a part of the data it lacks others", path.display())]
    #[diagnostic(help(
        "for parts there is `train` and beside it `test` or `val`, or both, each with a folder of images for each \
         class; without parts the folders of the classes are in the folder of the data itself"
    ))]
    LonePart {
        /// The folder.
        path: PathBuf,
    },
    /// A folder has both names for one part.
    #[error("{} has both `{one}` and `{other}`, which mean the same part", path.display())]
    #[diagnostic(help("put the class folders of both into one of them"))]
    TwoParts {
        /// The folder.
        path: PathBuf,
        /// The first of the names.
        one: &'static str,
        /// The second.
        other: &'static str,
    },
    /// The name of a class or an image is not Unicode.
    #[error("the name of {} is not valid UTF-8", path.display())]
    Name {
        /// The file or folder.
        path: PathBuf,
    },
    /// A closed-set test part has a class that the training part lacks.
    #[error("class `{class}` is in `{part}` but not in `train`")]
    #[diagnostic(help(
        "a closed-set split trains on every class that it tests; leave `data.split` out to use the data's own parts as \
         they are, or add the class to `train`"
    ))]
    UntrainedClass {
        /// The class.
        class: String,
        /// The part of it: `validation` or `test`.
        part: &'static str,
    },
    /// The data's own parts have no image for training.
    #[error("no image is for training: all images are in the data's own validation and test parts")]
    #[diagnostic(help("let `data.path` or `data.relabel` name data with training images"))]
    NoTraining,
    /// A split of subjects of data that has none.
    #[error("`data.split` is \"subject-folds\", but this data of kind `{}` names no subjects", kind.name())]
    #[diagnostic(help(
        "use another split, or name the subject of each image in the column `subject` of a `manifest`; `ck-plus` and \
         `mmi` have subjects"
    ))]
    NoSubjects {
        /// The kind.
        kind: DataKind,
    },
    /// More folds than subjects.
    #[error("{folds} folds need at least {folds} subjects, but the data has {subjects}")]
    #[diagnostic(help("lower `data.folds`; with as many folds as subjects each fold leaves one subject out"))]
    FewSubjects {
        /// The folds that were asked for.
        folds: usize,
        /// The subjects of the data.
        subjects: usize,
    },
    /// The data has folds of its own, and another number was asked for.
    #[error("`data.folds` is {asked}, but the data has {found} folds of its own")]
    #[diagnostic(help("leave `data.folds` out; `data.fold` says which of the data's folds is tested"))]
    OwnFolds {
        /// The folds that were asked for.
        asked: usize,
        /// The folds of the data.
        found: usize,
    },
    /// No image is in the fold that is to be tested.
    #[error("fold {fold} has no image")]
    #[diagnostic(help("choose another `data.fold`, or list more classes in the table of `data.relabel`"))]
    EmptyFold {
        /// The fold.
        fold: usize,
    },
    /// A split of subjects leaves less than two subjects for training.
    #[error(
        "of {subjects} subjects, {test} are for testing and {validation} for validation, which leaves {left} for \
         training; at least 2 are needed"
    )]
    #[diagnostic(help(
        "lower `data.validation` (0 for none; else at least one subject is taken), or raise `data.folds`"
    ))]
    FewTrainingSubjects {
        /// Subjects of the data.
        subjects: usize,
        /// Subjects of the test part.
        test: usize,
        /// Subjects of the validation part.
        validation: usize,
        /// Subjects of the training part.
        left: usize,
    },
    /// The official split, when one label has classes of both of its parts.
    #[error(
        "`data.split` is \"official\", but `data.relabel` gives one label to classes for training and to classes for \
         testing"
    )]
    #[diagnostic(help("use `split = \"class-disjoint\"`, or give them different labels"))]
    RelabelledSplit,
    /// A split that the data does not have.
    #[error("`data.split` is \"official\", but data of kind `{}` has no official split of its classes", kind.name())]
    #[diagnostic(help("use `split = \"class-disjoint\"`, and `data.seed` to say which"))]
    NoOfficialSplit {
        /// The kind.
        kind: DataKind,
    },
    /// A split of classes leaves less than two classes for training.
    #[error(
        "of {classes} classes, {test} are for testing and {validation} for validation, which leaves {left} for \
         training; at least 2 are needed"
    )]
    #[diagnostic(help(
        "lower `data.validation` (0 for none; else at least two classes are taken), or `data.test-classes` if the \
         split is `class-disjoint`"
    ))]
    FewClasses {
        /// Classes of the data.
        classes: usize,
        /// Classes of the test part.
        test: usize,
        /// Classes of the validation part.
        validation: usize,
        /// Classes of the training part.
        left: usize,
    },
    /// A batch is to have more classes than there are.
    #[error("`sampler.classes` is {asked}, but the training part has {}: {}", classes(*found), shorten(names))]
    #[diagnostic(help("lower `sampler.classes`"))]
    FewSamplerClasses {
        /// The classes of a batch.
        asked: usize,
        /// The classes of the training part.
        found: usize,
        /// Their names.
        names: Vec<String>,
    },
    /// Two views of an image would be the same.
    #[error("`sampler.views` is 2, but `data.augmentation.enabled` is false: both views of an image would be equal")]
    #[diagnostic(help("enable the augmentation, or leave `sampler.views` at 1"))]
    EqualViews,
    /// A batch is to have more images of a class than there are.
    #[error("`sampler.samples` is {asked}, but class `{class}` has only {} for training", images(*found))]
    #[diagnostic(help(
        "lower `sampler.samples`, add images to the class, or let `sampler.repeat` give its images more than once in a \
         batch; a class needs at least 2 training images to have a positive pair of different images"
    ))]
    FewSamples {
        /// The images of a class in a batch.
        asked: usize,
        /// The smallest class.
        class: String,
        /// Its training images.
        found: usize,
    },
    /// A batch asks for an image that the data does not have.
    #[error("there is no image {index}; the data set has {}", images(*found))]
    NoSuchImage {
        /// The number of the image.
        index: usize,
        /// The number of images.
        found: usize,
    },
    /// A training batch asks for an image of a class that is not trained on.
    #[error("image {index} is of class `{class}`, which is not in the training part")]
    NotTrained {
        /// The number of the image.
        index: usize,
        /// Its class.
        class: String,
    },
    /// A batch could not become a tensor.
    #[error("cannot make the tensors of a batch: {0}")]
    Tensor(#[from] tch::TchError),
    /// A worker thread could not be started.
    #[error("cannot start a thread that loads images: {0}")]
    #[diagnostic(help("lower `data.workers`"))]
    Thread(io::Error),
    /// A worker thread ended before its work was done.
    #[error("a thread that loads images ended unexpectedly")]
    #[diagnostic(help("this is a bug; its message is above"))]
    Worker,
}

/// The first of the files, each in a line.
fn first(files: &[(PathBuf, ImageFault)]) -> String {
    let shown = 10;
    let line = |(path, fault): &(PathBuf, ImageFault)| format!("\n  {}: {fault}", path.display());
    let more = match files.len().saturating_sub(shown) {
        0 => String::new(),
        more => format!("\n  and {more} more"),
    };
    files.iter().take(shown).map(line).collect::<String>() + &more
}

fn list(places: &[PathBuf]) -> String {
    places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn images(count: usize) -> String {
    if count == 1 { "1 image".to_owned() } else { format!("{count} images") }
}

fn classes(count: usize) -> String {
    if count == 1 { "1 class".to_owned() } else { format!("{count} classes") }
}

fn shorten(names: &[String]) -> String {
    let shown = 10;
    let more = if names.len() > shown { ", ..." } else { "" };
    names.iter().take(shown).cloned().collect::<Vec<_>>().join(", ") + more
}
