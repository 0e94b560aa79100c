//! From a loader's batch to tensors on the device.

use rungs_data::{Batch, Pixels};
use tch::kind::Element;
use tch::{Device, Kind, Tensor};

use crate::failure::Failure;

/// Images (N, 3, H, W) in channels-last memory and labels (N).
pub fn tensors(batch: &Batch, kind: Kind, device: Device) -> Result<(Tensor, Tensor), Failure> {
    let (n, h, w) = (
        batch.labels.len() as i64,
        batch.height as i64,
        batch.width as i64,
    );
    let flat = match &batch.images {
        Pixels::F32(values) => upload(values, device)?,
        Pixels::F64(values) => upload(values, device)?,
        Pixels::Bytes { pixels, matrices } => {
            let pixels = upload(pixels, device)?
                .view([n, h * w, 3])
                .to_kind(Kind::Float);
            // (N, 3, 4): factors of R, G, B, and what is added.
            let matrices = upload(matrices.as_flattened().as_flattened(), device)?
                .view([n, 3, 4])
                .transpose(1, 2);
            pixels.matmul(&matrices.narrow(1, 0, 3)) + matrices.narrow(1, 3, 1)
        }
    };
    let images = flat.to_kind(kind).view([n, h, w, 3]).permute([0, 3, 1, 2]);
    Ok((images, upload(&batch.labels, device)?))
}

/// Values on the device, in a flat tensor. To a GPU they go through page-locked memory, so that the copy
/// runs beside the step before; libtorch keeps that memory until the copy is over.
fn upload<T: Element>(values: &[T], device: Device) -> Result<Tensor, Failure> {
    let here = Tensor::f_from_slice(values)?;
    if !device.is_cuda() {
        return Ok(here.to_device(device));
    }
    let (non_blocking, copy) = (true, false);
    Ok(here
        .f_pin_memory(device)?
        .f_to_device_(device, T::KIND, non_blocking, copy)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rungs_data::{Dataset, Loader, LoaderConfig, Output, Split, open, subset};
    use rungs_spec::recipe::Recipe;

    use super::*;

    /// What a GPU finishes from bytes and matrices is what the loader's threads make for a CPU.
    #[test]
    fn bytes_finished_on_the_device_are_the_loaders_floats() {
        let data: Arc<dyn Dataset> =
            subset(open("synthetic", None, Split::Train).unwrap(), Some(24)).unwrap();
        let golden = include_str!("../tests/golden/plain.json");
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        let recipe = Recipe {
            batch_size: 8,
            input_size: 20,
            ..serde_json::from_value(golden["recipe"].clone()).unwrap()
        };
        let with = |output| {
            let config = LoaderConfig {
                output,
                ..LoaderConfig::from_recipe(&recipe, 3, 1)
            };
            let loader = Loader::train(data.clone(), &config, 0, 0).unwrap();
            let batches = loader.map(|b| tensors(&b.unwrap(), Kind::Float, Device::Cpu).unwrap());
            batches.collect::<Vec<_>>()
        };
        let (floats, bytes) = (with(Output::Floats), with(Output::Bytes));
        assert_eq!((floats.len(), bytes.len()), (3, 3));
        for ((images, labels), (finished, same_labels)) in floats.iter().zip(&bytes) {
            assert_eq!(finished.size(), [8, 3, 20, 20]);
            assert_eq!(labels, same_labels);
            let most = (images - finished).abs().max().double_value(&[]);
            assert!(most < 1e-4, "off by {most}");
            assert!(images.std(true).double_value(&[]) > 0.1, "all one grey");
        }
    }
}
