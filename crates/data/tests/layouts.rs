//! One dataset, three layouts: a folder, tar shards and a pack of the same images have one digest and give
//! the same batches, whatever the number of threads.

mod support;

use std::path::Path;

use proptest::prelude::*;
use rungs_data::datasets::pack;
use rungs_data::datasets::splits;
use rungs_data::preprocess::Layout;
use rungs_data::{FileLayout, Loader, LoaderConfig, Pixels, Split, digest, open};
use rungs_spec::recipe::{Augment, Variant};

fn config(seed: u64, workers: usize) -> LoaderConfig {
    LoaderConfig {
        seed,
        batch_size: 4,
        input_size: 8,
        augment: Augment {
            crop_area: [0.3, 1.0],
            crop_ratio: [0.75, 4.0 / 3.0],
            flip: 0.5,
            hue: 0.4,
            saturation: 0.4,
            brightness: 0.4,
            contrast: 0.0,
            pca_std: 0.1,
            antialias: false,
            resize_short: 10,
        },
        variant: Variant::Paper,
        max_corrupt: 0,
        layout: Layout::ChannelsLast,
        output: rungs_data::Output::Floats,
        workers,
    }
}

/// Bits and labels of all training batches of an epoch.
fn batches(path: &Path, seed: u64, workers: usize) -> Vec<(Vec<u32>, Vec<i64>)> {
    let data = open("mine", Some(path), Split::Train).unwrap();
    let loader = Loader::train(data, &config(seed, workers), 3, 0).unwrap();
    loader
        .map(|batch| {
            let batch = batch.unwrap();
            let Pixels::F32(values) = &batch.images else {
                panic!("doubles")
            };
            (
                values.iter().map(|v| v.to_bits()).collect(),
                batch.labels.clone(),
            )
        })
        .collect()
}

/// The images of a folder as shards of three images each: a training shard, another one, a val shard.
fn shards_of(folder: &Path, into: &Path) {
    for split in Split::ALL {
        let data = open("mine", Some(folder), split).unwrap();
        let mut members = Vec::new();
        for index in 0..data.len() {
            let name = data.image_name(index);
            let mut bytes = Vec::new();
            data.bytes(index, &mut bytes).unwrap();
            let label = name.replace(".png", ".cls");
            members.push((name, bytes));
            members.push((label, data.label(index).to_string().into_bytes()));
        }
        // Samples of a shard come in any order.
        members.rotate_left(2);
        for (number, part) in members.chunks(6).enumerate() {
            let file = into.join(format!("x-{}-{number:06}.tar", split.word()));
            support::tar(&file, part);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn folder_shards_and_pack_are_one_dataset(
        images in proptest::collection::btree_map("[ab][-/._0-9]{0,1}/[a-c0-9][-_a-z0-9]{0,5}", any::<[u8; 3]>(), 8..20),
        seed in any::<u64>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (folder, shards) = (dir.path().join("folder"), dir.path().join("shards"));
        for (number, (name, colour)) in images.iter().enumerate() {
            let name = name.replace("//", "/").replace("./", "/");
            let bytes = support::png(9 + number as u32, 12, *colour);
            support::write(&folder.join(format!("train/{name}.png")), &bytes);
            support::write(&folder.join(format!("val/{name}.png")), &bytes[..]);
        }
        shards_of(&folder, &shards);
        let packed = dir.path().join("mine.pack");
        let all = splits("mine", &folder, FileLayout::Folder).unwrap();
        let written = pack::write(&packed, &all, None, &|_| ()).unwrap();
        let expected = batches(&folder, seed, 1);
        prop_assert!(!expected.is_empty());
        for path in [&folder, &shards, &packed] {
            for (split, expected) in &written.digests {
                let data = open("mine", Some(path), *split).unwrap();
                prop_assert_eq!(&digest(data.as_ref()).unwrap(), expected, "{:?}", path);
            }
            for workers in [2, 7] {
                prop_assert_eq!(&batches(path, seed, workers), &expected, "{:?}", path);
            }
        }
    }
}

#[test]
fn numbered_keys_in_the_order_of_the_folder_are_the_same_dataset() {
    let dir = tempfile::tempdir().unwrap();
    let mut members = Vec::new();
    for (number, class) in ["cat", "dog"].into_iter().enumerate() {
        let bytes = support::png(10, 10, [number as u8; 3]);
        support::write(&dir.path().join(format!("train/{class}/x.png")), &bytes);
        members.push((format!("{number:06}.png"), bytes));
        members.push((format!("{number:06}.cls"), number.to_string().into_bytes()));
    }
    let shard = dir.path().join("shards/train-0.tar");
    support::tar(&shard, &members);
    let of =
        |path: &Path| digest(open("mine", Some(path), Split::Train).unwrap().as_ref()).unwrap();
    assert_eq!(of(dir.path()), of(&dir.path().join("shards")));
    assert_eq!(of(dir.path()), of(&shard));
}

#[test]
fn the_imagenet_sample_is_one_dataset_in_all_layouts() {
    let Some(root) = support::real("imagenet-sample", "imagenet-sample-200.tar") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let train = open("sample", Some(&root), Split::Train).unwrap();
    assert_eq!((train.len(), train.classes()), (200, 200));
    assert!(train.class_names()[0] == "n01440764" && train.class_names().is_sorted());
    let whole = digest(train.as_ref()).unwrap();
    let members: Vec<(String, Vec<u8>)> = (0..train.len())
        .flat_map(|index| {
            let mut bytes = Vec::new();
            train.bytes(index, &mut bytes).unwrap();
            let name = train.image_name(index);
            let key = name.rsplit_once('.').unwrap().0.to_owned();
            let label = format!("{{\"label\": {}}}", train.label(index)).into_bytes();
            [(name, bytes), (format!("{key}.json"), label)]
        })
        .collect();
    for (number, part) in members.chunks(100).enumerate() {
        support::tar(&dir.path().join(format!("s/sample-{number:06}.tar")), part);
    }
    let packed = dir.path().join("sample.pack");
    let all = splits("sample", &root, FileLayout::Folder).unwrap();
    let written = pack::write(&packed, &all, None, &|_| ()).unwrap();
    assert_eq!(written.digests, [(Split::Train, whole.clone())]);
    for path in [dir.path().join("s"), packed] {
        let data = open("sample", Some(&path), Split::Train).unwrap();
        assert_eq!(digest(data.as_ref()).unwrap(), whole, "{}", path.display());
    }
    // Real JPEGs decode; a copy made smaller is another dataset.
    let report = rungs_data::verify::verify(&all, None, &|_| ()).unwrap();
    assert_eq!(report.splits[0].undecodable, Vec::<String>::new());
    assert_eq!(report.splits[0].digest, Some(whole.clone()));
    let small = dir.path().join("small.pack");
    let written = pack::write(&small, &all, Some(200), &|_| ()).unwrap();
    assert!(
        written.smaller > 150 && written.digests[0].1 != whole,
        "{}",
        written.smaller
    );
}

#[test]
fn cifar10_as_a_folder_has_its_classes_and_counts() {
    let Some(root) = support::real("cifar10", "cifar10-imagefolder.tar.gz") else {
        return;
    };
    let train = open("cifar10", Some(&root), Split::Train).unwrap();
    let val = open("cifar10", Some(&root), Split::Val).unwrap();
    assert_eq!(
        (train.len(), val.len(), train.classes()),
        (50_000, 10_000, 10)
    );
    assert_eq!(
        (
            train.class_names()[0].as_str(),
            train.class_names()[9].as_str()
        ),
        ("airplane", "truck")
    );
    let mut image = rungs_data::Image::default();
    train.image(49_999, &mut image).unwrap();
    assert_eq!(
        (image.width, image.height, train.label(49_999)),
        (32, 32, 9)
    );
}
