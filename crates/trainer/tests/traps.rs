//! Traps of recipes.md section 7 that need libtorch's own operators beside the loader, or weights that other
//! people trained.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rungs_data::dataset::Channels;
use rungs_data::preprocess::Layout;
use rungs_data::{DataError, Dataset, Image, Loader, LoaderConfig, Output, Pixels};
use rungs_spec::recipe::{Augment, Variant};
use tch::{Kind, Tensor};

/// One image of `side` x `side`: squares of `cell` pixels, black and white in turn.
struct Checkerboard {
    side: usize,
    cell: usize,
}

impl Checkerboard {
    fn pixels(&self) -> Vec<u8> {
        let white = |i: usize| (i % self.side / self.cell + i / self.side / self.cell) % 2 * 255;
        (0..self.side * self.side).map(|i| white(i) as u8).collect()
    }
}

impl Dataset for Checkerboard {
    fn name(&self) -> &str {
        "checkerboard"
    }
    fn len(&self) -> usize {
        1
    }
    fn classes(&self) -> usize {
        1
    }
    fn class_names(&self) -> &[String] {
        &[]
    }
    fn label(&self, _: usize) -> i64 {
        0
    }
    fn image(&self, _: usize, into: &mut Image) -> Result<(), DataError> {
        into.set(self.side, self.side, Channels::Grey, &self.pixels());
        Ok(())
    }
    fn bytes(&self, _: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        into.extend(self.pixels());
        Ok(())
    }
}

/// recipes.md section 7, trap 11: OpenCV's bilinear resize, the paper's, does not antialias; torchvision's does.
#[test]
fn trap_11_a_checkerboard_shrinks_as_upsample_bilinear2d_without_antialias_shrinks_it() {
    for cell in [1, 3] {
        let board = Checkerboard { side: 500, cell };
        let grey: Vec<f32> = board.pixels().into_iter().map(f32::from).collect();
        let grey = Tensor::from_slice(&grey).view([1, 1, 500, 500]);
        let data = Arc::new(board);
        for antialias in [false, true] {
            let expected = if antialias {
                grey.internal_upsample_bilinear2d_aa([256, 256], false, None, None)
            } else {
                grey.upsample_bilinear2d([256, 256], false, None, None)
            };
            let config = LoaderConfig {
                seed: 1,
                batch_size: 1,
                input_size: 256,
                augment: Augment {
                    crop_area: [1.0; 2],
                    crop_ratio: [1.0; 2],
                    flip: 0.0,
                    hue: 0.0,
                    saturation: 0.0,
                    brightness: 0.0,
                    contrast: 0.0,
                    pca_std: 0.0,
                    antialias,
                    resize_short: 256,
                },
                variant: Variant::Paper,
                max_corrupt: 0,
                layout: Layout::ChannelsLast,
                output: Output::Floats,
                workers: 0,
            };
            let mut pass = Loader::eval(data.clone(), &config, 1).expect("a loader");
            let batch = pass.next().expect("a batch").expect("an image");
            let Pixels::F32(values) = &batch.images else {
                panic!("bytes become single precision")
            };
            // Red, without the normalisation of recipes.md section 1.
            let red = Tensor::from_slice(values).view([256, 256, 3]).select(2, 0);
            let red = red * 58.393 + 123.68;
            let error = (red - expected.view([256, 256])).abs().max();
            assert!(error.double_value(&[]) < 1.0, "cell {cell}: {error:?}");
            let spread = expected.std(true).to_kind(Kind::Double).double_value(&[]);
            assert_eq!(
                spread < 30.0,
                antialias && cell == 1,
                "cell {cell}: {spread}"
            );
        }
    }
}

/// recipes.md section 7, trap 10: the authors' published weights reach their published accuracy, which
/// validates models and evaluation at once.
///
/// `RUNGS_TEST_WEIGHTS` names a directory with timm's `model.safetensors` files, renamed; `RUNGS_TEST_IMAGENET`
/// ILSVRC2012.
#[test]
fn trap_10_published_weights_reach_their_published_accuracy() {
    let directory = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (Some(weights), Some(imagenet)) = (
        directory("RUNGS_TEST_WEIGHTS"),
        directory("RUNGS_TEST_IMAGENET"),
    ) else {
        eprintln!(
            "SKIPPED: trap 10 needs RUNGS_TEST_WEIGHTS (resnet50d.gluon_in1k.safetensors and so on) and \
             RUNGS_TEST_IMAGENET"
        );
        return;
    };
    for (file, model, top1) in [
        ("resnet50d.gluon_in1k", "resnet50d", 79.08),
        ("inception_v3.gluon_in1k", "inception-v3", 78.81),
        ("resnet152d.gluon_in1k", "resnet152d", 80.48),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_trainer"))
            .args(["eval", "--json", "--model", model, "--dataset", "imagenet"])
            .arg("--weights")
            .arg(weights.join(format!("{file}.safetensors")))
            .arg("--data-path")
            .arg(&imagenet)
            .output()
            .expect("the trainer starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{model}: {said}");
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let got = found["top1"].as_f64().expect("a percentage");
        assert!(
            (got - top1).abs() <= 0.1,
            "{model}: {got}, published {top1}"
        );
    }
}
