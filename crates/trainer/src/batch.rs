//! From a loader's batch to tensors on the device.

use rungs_data::{Batch, Pixels};
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
        Pixels::F32(values) => Tensor::f_from_slice(values)?,
        Pixels::F64(values) => Tensor::f_from_slice(values)?,
    };
    let images = flat
        .to_device(device)
        .to_kind(kind)
        .view([n, h, w, 3])
        .permute([0, 3, 1, 2]);
    Ok((
        images,
        Tensor::f_from_slice(&batch.labels)?.to_device(device),
    ))
}
