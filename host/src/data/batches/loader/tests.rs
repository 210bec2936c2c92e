#![expect(clippy::unwrap_used, reason = "a test")]
use std::path::Path;

use super::*;
use crate::data::fixtures::{idx_images, idx_labels, write_class, write_fashion_mnist, write_jpeg, write_png};
use crate::data::{DataConfig, DataKind, Sampler, SamplerConfig, SplitKind};

fn open(kind: DataKind, path: &Path, change: impl FnOnce(&mut DataConfig)) -> Arc<Dataset> {
    let mut config = DataConfig { path: Some(path.to_owned()), ..DataConfig::new(kind) };
    change(&mut config);
    Arc::new(Dataset::open(&config, 1).unwrap())
}

fn fashion_mnist(change: impl FnOnce(&mut DataConfig)) -> Arc<Dataset> {
    let folder = tempfile::tempdir().unwrap();
    write_fashion_mnist(folder.path(), 200, 50);
    open(DataKind::FashionMnist, folder.path(), change)
}

/// The bits of every batch: pixels, labels, image numbers.
fn bits(loader: BatchLoader) -> Vec<(Vec<u32>, Vec<i64>, Vec<usize>)> {
    let batch = |batch: Result<ImageBatch, DataError>| {
        let ImageBatch { images, labels, indices, .. } = batch.unwrap();
        let pixels = Vec::<f32>::try_from(images.flatten(0, -1)).unwrap();
        (pixels.into_iter().map(f32::to_bits).collect(), Vec::try_from(labels).unwrap(), indices)
    };
    loader.map(batch).collect()
}

fn drawn(seed: u64, epoch: u64) -> Drawn {
    Drawn { seed, epoch, ..Drawn::default() }
}

fn epoch(dataset: &Arc<Dataset>, seed: u64, epoch: u64) -> BatchLoader {
    let sampler =
        Sampler::new(&SamplerConfig { classes: 4, samples: 3, ..SamplerConfig::default() }, dataset, 7).unwrap();
    BatchLoader::train_from(dataset, sampler.epoch(0), drawn(seed, epoch), None, Device::Cpu).unwrap()
}

#[test]
fn batches_do_not_depend_on_the_number_of_workers() {
    let with = |workers| bits(epoch(&fashion_mnist(|c| c.workers = workers), 1, 0));
    let one = with(1);
    assert_eq!(one.len(), 15);
    assert!(one == with(3) && one == with(20));
}

#[test]
fn batches_arrive_in_the_order_of_the_sampler() {
    let dataset = fashion_mnist(|c| c.workers = 3);
    let sampler =
        Sampler::new(&SamplerConfig { classes: 4, samples: 3, ..SamplerConfig::default() }, &dataset, 7).unwrap();
    let batches = bits(BatchLoader::train_from(&dataset, sampler.epoch(0), drawn(1, 0), None, Device::Cpu).unwrap());
    let indices: Vec<Vec<usize>> = batches.iter().map(|(.., indices)| indices.clone()).collect();
    assert_eq!(indices, sampler.epoch(0));
    for (_, labels, indices) in batches {
        assert!(labels.iter().zip(indices).all(|(label, index)| *label == dataset.labels()[index]));
    }
}

#[test]
fn seed_epoch_and_position_decide_the_augmentation() {
    let dataset = fashion_mnist(|_| ());
    let pixels = |seed, number| bits(epoch(&dataset, seed, number));
    assert_ne!(pixels(1, 0), pixels(2, 0));
    assert_ne!(pixels(1, 0), pixels(1, 1));
    let twice =
        bits(BatchLoader::train_from(&dataset, vec![vec![0, 0], vec![0]], drawn(1, 0), None, Device::Cpu).unwrap());
    let (first, second) = twice[0].0.split_at(28 * 28);
    assert!(first != second && first != twice[1].0 && second != twice[1].0);
}

#[test]
fn an_epoch_that_goes_on_is_the_same_epoch() {
    let dataset = fashion_mnist(|_| ());
    let sampler =
        Sampler::new(&SamplerConfig { classes: 4, samples: 3, ..SamplerConfig::default() }, &dataset, 7).unwrap();
    let rest = BatchLoader::train_from(
        &dataset,
        sampler.epoch(0).split_off(6),
        Drawn { first: 6, ..drawn(1, 0) },
        None,
        Device::Cpu,
    )
    .unwrap();
    assert!(bits(rest) == bits(epoch(&dataset, 1, 0)).split_off(6));
}

#[test]
fn a_part_of_a_batch_is_what_it_is_in_the_whole() {
    let dataset = fashion_mnist(|_| ());
    let batch: Vec<usize> = dataset.train().indices()[..12].to_vec();
    let images = |rows: std::ops::Range<usize>| {
        let drawn = Drawn { place: rows.start, ..drawn(1, 0) };
        let part = vec![batch[rows].to_vec()];
        bits(BatchLoader::train_from(&dataset, part, drawn, None, Device::Cpu).unwrap()).remove(0).0
    };
    assert!([images(0..5), images(5..12)].concat() == images(0..12));
}

#[test]
fn without_augmentation_training_images_are_as_for_evaluation() {
    let dataset = fashion_mnist(|c| c.augmentation.enabled = false);
    let images = dataset.train().indices();
    let trained = BatchLoader::train_from(
        &dataset,
        images.chunks(32).map(<[usize]>::to_vec).collect(),
        drawn(1, 0),
        None,
        Device::Cpu,
    )
    .unwrap();
    assert!(bits(trained) == bits(BatchLoader::evaluation(&dataset, images, 32).unwrap()));
}

#[test]
fn evaluation_gives_the_pixels_of_the_file() {
    let dataset = fashion_mnist(|c| (c.mean, c.std) = (Some(vec![0.25]), Some(vec![0.5])));
    let test = dataset.test().indices();
    let batches: Vec<ImageBatch> = BatchLoader::evaluation(&dataset, test, 20).unwrap().map(Result::unwrap).collect();
    let sizes: Vec<Vec<i64>> = batches.iter().map(|batch| batch.images.size()).collect();
    assert_eq!(sizes, [20, 20, 10].map(|n| vec![n, 1, 28, 28]));
    assert!(batches.iter().all(|batch| batch.labels.kind() == tch::Kind::Int64));
    let pixels: Vec<f32> =
        batches.iter().flat_map(|b| Vec::<f32>::try_from(b.images.flatten(0, -1)).unwrap()).collect();
    let labels: Vec<i64> = batches.iter().flat_map(|b| Vec::<i64>::try_from(&b.labels).unwrap()).collect();
    assert_eq!(labels, idx_labels(50)[8..].iter().map(|label| i64::from(*label)).collect::<Vec<_>>());
    let expected =
        idx_images(50)[16..].iter().map(|pixel| (f32::from(*pixel) / 255.0 - 0.25) / 0.5).collect::<Vec<_>>();
    assert_eq!(pixels.len(), expected.len());
    assert!(pixels.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-6));
}

#[test]
fn labels_of_training_batches_count_the_training_classes() {
    let dataset = fashion_mnist(|c| (c.split, c.validation) = (SplitKind::ClassDisjoint, 0.0));
    assert_eq!(dataset.train_classes().len(), 5);
    for (_, labels, indices) in bits(epoch(&dataset, 1, 0)) {
        for (label, index) in labels.iter().zip(indices) {
            assert_eq!(dataset.train_classes()[*label as usize], dataset.labels()[index]);
        }
    }
    let tested = dataset.test().indices()[0];
    let error = BatchLoader::train_from(&dataset, vec![vec![tested]], drawn(1, 0), None, Device::Cpu)
        .unwrap()
        .next()
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, DataError::NotTrained { index, .. } if index == tested), "{error}");
    let error = BatchLoader::evaluation(&dataset, &[250], 1).unwrap().next().unwrap().unwrap_err();
    assert!(error.to_string().contains("no image 250; the data set has 250 images"), "{error}");
}

#[test]
fn jpeg_and_png_of_any_size_and_colour_become_rgb_squares() {
    let folder = tempfile::tempdir().unwrap();
    let class = folder.path().join("a");
    write_jpeg(&class.join("0.jpg"), 90, 70);
    write_png(&class.join("1.JPEG"), 20, 300);
    image::DynamicImage::new_luma_a8(30, 30).save(class.join("2.png")).unwrap();
    image::DynamicImage::new_rgb16(5, 5).save(class.join("3.png")).unwrap();
    let dataset = open(DataKind::Folder, folder.path(), |c| {
        (c.size, c.test, c.validation, c.workers) = (Some(32), 0.0, 0.0, 1);
        (c.mean, c.std) = (Some(vec![0.0; 3]), Some(vec![1.0; 3]));
    });
    let batch = BatchLoader::evaluation(&dataset, dataset.train().indices(), 4).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.images.size(), [4, 3, 32, 32]);
    let pixels = Vec::<f32>::try_from(batch.images.flatten(0, -1)).unwrap();
    let planes: Vec<&[f32]> = pixels.chunks(32 * 32).collect();
    // The files are of one colour, and the third is transparent; JPEG is exact to a few of 255 levels.
    for (plane, expected) in
        planes.iter().zip([200.0, 100.0, 50.0, 200.0, 100.0, 50.0, 255.0, 255.0, 255.0, 0.0, 0.0, 0.0])
    {
        assert!(plane.iter().all(|value| (value * 255.0 - expected).abs() < 4.0), "{expected}: {:?}", plane[0]);
    }
}

#[test]
fn a_bad_file_is_an_error_in_place_of_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    let class = folder.path().join("a");
    write_class(&class, 8);
    write_jpeg(&class.join("4.jpg"), 90, 70);
    std::fs::remove_file(class.join("4.png")).unwrap();
    let dataset = open(DataKind::Folder, folder.path(), |c| (c.test, c.validation) = (0.0, 0.0));
    let good = std::fs::read(class.join("4.jpg")).unwrap();
    let png = std::fs::read(class.join("3.png")).unwrap();
    type Damage<'a> = (&'a str, &'a dyn Fn(&Path));
    let damages: [Damage; 6] = [
        ("cannot decode", &|path| std::fs::write(path, "no image").unwrap()),
        ("cannot decode", &|path| std::fs::write(path, "").unwrap()),
        ("cannot decode", &|path| std::fs::write(path, &good[..good.len() / 2]).unwrap()),
        ("cannot decode", &|path| std::fs::write(path, &good[..good.len() - 10]).unwrap()),
        ("cannot decode", &|path| std::fs::write(path, &png[..png.len() - 20]).unwrap()),
        ("cannot read", &|path| std::fs::remove_file(path).unwrap()),
    ];
    for (text, damage) in damages {
        damage(&class.join("4.jpg"));
        let mut loader = BatchLoader::evaluation(&dataset, dataset.train().indices(), 2).unwrap();
        for expected in [[0, 1], [2, 3]] {
            assert_eq!(loader.next().unwrap().unwrap().indices, expected);
        }
        let error = loader.next().unwrap().unwrap_err().to_string();
        assert!(error.contains(text) && error.contains("4.jpg"), "{error}");
        assert!(loader.next().is_none());
    }
}

#[test]
fn dropping_a_loader_ends_its_threads() {
    let dataset = fashion_mnist(|c| c.workers = 3);
    let mut loader = epoch(&dataset, 1, 0);
    loader.next().unwrap().unwrap();
    assert!(Arc::strong_count(&dataset) > 1);
    drop(loader);
    assert_eq!(Arc::strong_count(&dataset), 1);
}

#[test]
fn no_images_are_no_batches() {
    let dataset = fashion_mnist(|_| ());
    assert!(BatchLoader::evaluation(&dataset, &[], 8).unwrap().next().is_none());
}
