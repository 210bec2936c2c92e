//! Chooses the module that reads a kind of data.

use std::path::Path;

use super::manifest_row::Vendors;
use super::{affectnet, cars196, cub, fashion_mnist, fer2013, folder, manifest, posed_faces, products, raf_db, sfew};
use crate::data::files::Scan;
use crate::data::split::relabel;
use crate::data::{DataConfig, DataError, DataKind};

/// Lists the images in `path`, with the classes that `data.relabel` gives them.
pub(in crate::data) fn scan(config: &DataConfig, path: &Path) -> Result<Scan, DataError> {
    let scan = match config.kind {
        DataKind::FashionMnist => fashion_mnist::scan(path),
        DataKind::Folder => folder::scan(path),
        DataKind::Manifest => manifest::scan(path, Vendors::Ignored),
        DataKind::Emoji if !path.join("manifest.csv").is_file() => {
            Err(DataError::NotInstalled { kind: config.kind, places: vec![path.to_owned()] })
        }
        DataKind::Emoji => manifest::scan(&path.join("manifest.csv"), Vendors::AreSubjects),
        DataKind::Cub => cub::scan(path),
        DataKind::Cars196 => cars196::scan(path),
        DataKind::StanfordOnlineProducts => products::scan(path),
        DataKind::RafDb => raf_db::scan(path),
        DataKind::Fer2013 => fer2013::scan(path),
        DataKind::Sfew => sfew::scan(path),
        DataKind::CkPlus | DataKind::Mmi => posed_faces::scan(path),
        DataKind::AffectNet => affectnet::scan(path),
    }?;
    match &config.relabel {
        Some(table) => relabel(scan, table),
        None => Ok(scan),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use std::collections::BTreeSet;

    use super::*;
    use crate::data::fixtures::{fer2013_line, write_affectnet, write_class, write_png, write_raf_db, write_subjects};
    use crate::data::{Dataset, Part, SplitKind};

    fn open(kind: DataKind, path: &Path, change: impl FnOnce(&mut DataConfig)) -> Result<Dataset, DataError> {
        let mut config = DataConfig { path: Some(path.to_owned()), ..DataConfig::new(kind) };
        change(&mut config);
        Dataset::open(&config, 1)
    }

    fn sizes(dataset: &Dataset) -> [usize; 3] {
        [dataset.train(), dataset.validation(), dataset.test()].map(Part::len)
    }

    fn subjects<'a>(dataset: &'a Dataset, part: &Part) -> BTreeSet<&'a str> {
        part.indices().iter().filter_map(|image| dataset.subject(*image)).collect()
    }

    #[test]
    fn faces_from_the_web_have_the_parts_of_their_publishers() {
        let root = tempfile::tempdir().unwrap();
        write_raf_db(&root.path().join("raf"));
        let raf = open(DataKind::RafDb, &root.path().join("raf"), |_| ()).unwrap();
        assert_eq!((sizes(&raf), raf.channels(), raf.size()), ([13, 1, 7], 3, 100));
        write_affectnet(&root.path().join("affect"));
        let affect = open(DataKind::AffectNet, &root.path().join("affect"), |c| c.validation = 0.0).unwrap();
        assert_eq!((sizes(&affect), affect.picture(0).unwrap().unwrap().dimensions()), ([8, 0, 8], (6, 5)));
        let line = |image: usize| fer2013_line(image, image % 7, ["Training", "PublicTest", "PrivateTest"][image / 7]);
        let text = "emotion,pixels,Usage\n".to_owned() + &(0..21).map(line).collect::<String>();
        std::fs::write(root.path().join("fer2013.csv"), text).unwrap();
        let fer = open(DataKind::Fer2013, root.path(), |c| c.validation = 0.5).unwrap();
        assert_eq!((sizes(&fer), fer.channels(), fer.size()), ([7; 3], 1, 48));
        for part in ["Train", "Val"] {
            write_class(&root.path().join("sfew").join(part).join("Happy"), 5);
            write_class(&root.path().join("sfew").join(part).join("Sad"), 5);
        }
        let sfew = open(DataKind::Sfew, &root.path().join("sfew"), |c| c.validation = 0.2).unwrap();
        assert_eq!((sizes(&sfew), sfew.summary().subjects), ([6, 4, 10], None));
    }

    #[test]
    fn posed_faces_are_divided_by_subjects() {
        for kind in [DataKind::CkPlus, DataKind::Mmi] {
            let root = tempfile::tempdir().unwrap();
            write_subjects(root.path(), &["anger", "fear", "joy"], 20);
            let data = open(kind, root.path(), |_| ()).unwrap();
            assert_eq!(sizes(&data), [48, 6, 6]);
            let [train, validation, test] =
                [data.train(), data.validation(), data.test()].map(|part| subjects(&data, part));
            assert_eq!([&train, &validation, &test].map(BTreeSet::len), [16, 2, 2]);
            assert_eq!(train.iter().chain(&validation).chain(&test).collect::<BTreeSet<_>>().len(), 20);
            assert_eq!((data.summary().subjects, data.subject(60)), (Some(20), None));
            assert!(data.summary().to_string().contains("\n  subjects        20"), "{}", data.summary());
            let other = open(kind, root.path(), |c| c.fold = 9).unwrap();
            assert!(subjects(&other, other.test()).is_disjoint(&subjects(&data, data.test())));
            assert_eq!(sizes(&open(kind, root.path(), |c| c.split = SplitKind::ClosedSet).unwrap()), [43, 5, 12]);
        }
    }

    #[test]
    fn emoji_are_divided_by_designers() {
        let root = tempfile::tempdir().unwrap();
        let mut manifest = "path,class,vendor\n".to_owned();
        for class in ["1f600", "1f601"] {
            for vendor in ["fluent-3d", "fluent-flat", "google", "blob", "twitter"] {
                write_png(&root.path().join(class).join(vendor).with_extension("png"), 12, 10);
                manifest += &format!("{class}/{vendor}.png,{class},{vendor}\n");
            }
        }
        std::fs::write(root.path().join("manifest.csv"), manifest).unwrap();
        let folds = |c: &mut DataConfig| (c.split, c.folds, c.validation) = (SplitKind::SubjectFolds, Some(4), 0.0);
        let tested = (0..4).map(|fold| {
            let data = open(DataKind::Emoji, root.path(), |c| {
                folds(c);
                c.fold = fold;
            });
            let data = data.unwrap();
            let names: Vec<String> = subjects(&data, data.test()).into_iter().map(str::to_owned).collect();
            (names.join(" "), data.test().len())
        });
        let expected = [("blob", 2), ("fluent", 4), ("google", 2), ("twitter", 2)];
        assert_eq!(tested.collect::<BTreeSet<_>>(), expected.map(|(name, count)| (name.to_owned(), count)).into());
        let error = open(DataKind::Folder, root.path(), |c| c.split = SplitKind::SubjectFolds).err().unwrap();
        assert!(error.to_string().contains("this data of kind `folder` names no subjects"), "{error}");
    }

    #[test]
    fn classes_are_relabelled_before_the_split() {
        let root = tempfile::tempdir().unwrap();
        write_affectnet(root.path());
        let table = root.path().join("table.csv");
        std::fs::write(&table, "class,label\nhappiness,good\nsadness,bad\nanger,bad\n").unwrap();
        let with =
            |relabel| open(DataKind::AffectNet, root.path(), |c| (c.relabel, c.validation) = (relabel, 0.0)).unwrap();
        let (data, whole) = (with(Some(table.clone())), with(None));
        assert_eq!(
            (data.class_names(), sizes(&data), data.images()),
            (["bad", "good"].map(str::to_owned).as_slice(), [3, 0, 3], 6)
        );
        assert_eq!(data.train().labels(), [1, 0, 0]);
        assert_ne!(data.digest(), whole.digest());
        std::fs::write(&table, "class,label\nhapiness,good\nsadness,bad\n").unwrap();
        let error = open(DataKind::AffectNet, root.path(), |c| c.relabel = Some(table)).err().unwrap().to_string();
        assert!(error.contains("table.csv, line 2: the data has no class `hapiness`"), "{error}");
    }
}
