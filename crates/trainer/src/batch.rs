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
        Pixels::F32(values) => Tensor::f_from_slice(values)?.to_device(device),
        Pixels::F64(values) => Tensor::f_from_slice(values)?.to_device(device),
        Pixels::Bytes { pixels, matrices } => {
            let pixels = Tensor::f_from_slice(pixels)?
                .to_device(device)
                .view([n, h * w, 3])
                .to_kind(Kind::Float);
            // (N, 3, 4): factors of R, G, B, and what is added.
            let matrices = Tensor::f_from_slice(matrices.as_flattened().as_flattened())?
                .to_device(device)
                .view([n, 3, 4])
                .transpose(1, 2);
            pixels.matmul(&matrices.narrow(1, 0, 3)) + matrices.narrow(1, 3, 1)
        }
    };
    let images = flat.to_kind(kind).view([n, h, w, 3]).permute([0, 3, 1, 2]);
    Ok((
        images,
        Tensor::f_from_slice(&batch.labels)?.to_device(device),
    ))
}
