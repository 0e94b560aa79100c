//! Where the catalogue's datasets are published, and what exactly is published there.

use crate::download::Wanted;

/// How to come by a dataset.
pub(super) enum Source {
    /// Files at an official address.
    Files {
        /// Directory of the files, without a slash at its end.
        address: &'static str,
        files: &'static [PublishedFile],
    },
    /// Not without a person: what to do.
    ByHand(&'static str),
}

/// One published file.
pub(super) struct PublishedFile {
    pub name: &'static str,
    /// Bytes.
    pub size: u64,
    pub sha256: &'static str,
    /// A tar file that is unpacked: what is there afterwards.
    pub unpacks: Option<&'static str>,
}

impl PublishedFile {
    pub fn wanted(&self, address: &str) -> Wanted {
        Wanted {
            url: format!("{}/{}", address.trim_end_matches('/'), self.name),
            size: self.size,
            sha256: self.sha256.to_owned(),
        }
    }
}

const fn file(name: &'static str, size: u64, sha256: &'static str) -> PublishedFile {
    PublishedFile {
        name,
        size,
        sha256,
        unpacks: None,
    }
}

const fn tar(
    name: &'static str,
    size: u64,
    sha256: &'static str,
    unpacks: &'static str,
) -> PublishedFile {
    PublishedFile {
        name,
        size,
        sha256,
        unpacks: Some(unpacks),
    }
}

/// Where a dataset of the catalogue comes from; `None` for one that needs no files.
pub(super) fn of(name: &str) -> Option<Source> {
    Some(match name {
        "imagenet" => Source::ByHand(
            "ImageNet needs an account: register at https://image-net.org/download, fetch ILSVRC2012_img_train.tar \
             (138 GB), ILSVRC2012_img_val.tar (6.3 GB) and the devkit (or all of it from Kaggle, \
             \"ImageNet Object Localization Challenge\"), unpack it into train/SYNSET/ and val/, then: \
             runner data add imagenet DIR",
        ),
        "fashion-mnist" => Source::Files {
            address: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            files: FASHION_MNIST,
        },
        "mnist" => Source::Files {
            address: "https://storage.googleapis.com/cvdf-datasets/mnist",
            files: MNIST,
        },
        "kmnist" => Source::Files {
            address: "http://codh.rois.ac.jp/kmnist/dataset/kmnist",
            files: KMNIST,
        },
        "cifar10" => Source::Files {
            address: "https://www.cs.toronto.edu/~kriz",
            files: CIFAR10,
        },
        "cifar100" => Source::Files {
            address: "https://www.cs.toronto.edu/~kriz",
            files: CIFAR100,
        },
        "places365-standard" => Source::Files {
            address: "http://data.csail.mit.edu/places/places365",
            files: PLACES365_STANDARD,
        },
        "places365-challenge" => Source::ByHand(
            "Places365-Challenge needs no account, but nobody publishes SHA-256 sums of it, so it is not fetched \
             unchecked: fetch filelist_places365-challenge.tar, train_256_places365challenge.tar (108 GB) and \
             val_256.tar from http://data.csail.mit.edu/places/places365/, unpack them into one directory, then: \
             runner data add places365-challenge DIR",
        ),
        "voc0712" => Source::ByHand(
            "PASCAL VOC needs no account, but nobody publishes SHA-256 sums of it, so it is not fetched unchecked: \
             fetch VOCtrainval_06-Nov-2007.tar and VOCtest_06-Nov-2007.tar from \
             http://host.robots.ox.ac.uk/pascal/VOC/voc2007/ and VOCtrainval_11-May-2012.tar from \
             http://host.robots.ox.ac.uk/pascal/VOC/voc2012/, unpack them into one directory (it then holds \
             VOCdevkit/), then: runner data add voc0712 DIR",
        ),
        "ade20k" => Source::ByHand(
            "ADE20K's scene parsing set needs no account, but nobody publishes SHA-256 sums of it, so it is not \
             fetched unchecked: fetch ADEChallengeData2016.zip (923 MB) from \
             http://data.csail.mit.edu/places/ADEchallenge/, unpack it, then: runner data add ade20k DIR",
        ),
        "fashion-scenes" => Source::ByHand(
            "fashion-scenes is composed of Fashion-MNIST's garments: `runner data fetch fashion-mnist` is all that it \
             needs; where those files have no name here: runner data add fashion-scenes DIR, the directory of them",
        ),
        _ => return None,
    })
}

const FASHION_MNIST: &[PublishedFile] = &[
    file(
        "train-images-idx3-ubyte.gz",
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    file(
        "train-labels-idx1-ubyte.gz",
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    file(
        "t10k-images-idx3-ubyte.gz",
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    file(
        "t10k-labels-idx1-ubyte.gz",
        5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
];
const MNIST: &[PublishedFile] = &[
    file(
        "train-images-idx3-ubyte.gz",
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    file(
        "train-labels-idx1-ubyte.gz",
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    file(
        "t10k-images-idx3-ubyte.gz",
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    file(
        "t10k-labels-idx1-ubyte.gz",
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
];
const KMNIST: &[PublishedFile] = &[
    file(
        "train-images-idx3-ubyte.gz",
        18_165_135,
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
    ),
    file(
        "train-labels-idx1-ubyte.gz",
        29_497,
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
    ),
    file(
        "t10k-images-idx3-ubyte.gz",
        3_041_136,
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
    ),
    file(
        "t10k-labels-idx1-ubyte.gz",
        5_120,
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    ),
];
const CIFAR10: &[PublishedFile] = &[file(
    "cifar-10-binary.tar.gz",
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)];
const CIFAR100: &[PublishedFile] = &[file(
    "cifar-100-binary.tar.gz",
    168_513_733,
    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
)];
/// 27 GB in all, images of 256 px.
const PLACES365_STANDARD: &[PublishedFile] = &[
    tar(
        "filelist_places365-standard.tar",
        67_498_496,
        "520699e00d69b63ddc29fac54645aa00ce1c10ca42e288960aa1cf791d6e9aa9",
        "places365_train_standard.txt",
    ),
    tar(
        "val_256.tar",
        525_158_400,
        "24b4e639ef12a0012af525bc4cb443e4ab4aaea8369a1fb009b70e4a4aad5d48",
        "val_256",
    ),
    tar(
        "train_256_places365standard.tar",
        26_103_685_120,
        "0ade5d7d38c682aa0203014a2b99ad3bf608bf1de0f151dc0d80efba54660a0a",
        "data_256",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use rungs_spec::dataset::DATASETS;

    #[test]
    fn every_dataset_of_the_catalogue_has_a_source_and_every_sum_is_whole() {
        for known in DATASETS.iter().filter(|known| known.name != "synthetic") {
            match of(known.name).expect(known.name) {
                Source::ByHand(words) => {
                    assert!(words.contains(&format!("runner data add {}", known.name)))
                }
                Source::Files { address, files } => {
                    for file in files {
                        let wanted = file.wanted(address);
                        assert!(
                            wanted.url.starts_with("http") && wanted.size > 0,
                            "{}",
                            wanted.url
                        );
                        let hex = wanted.sha256.bytes().all(|b| b.is_ascii_hexdigit());
                        assert!(hex && wanted.sha256.len() == 64, "{}", wanted.url);
                    }
                }
            }
        }
        assert!(of("synthetic").is_none());
    }
}
