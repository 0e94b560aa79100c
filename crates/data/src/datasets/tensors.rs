//! `tensors:FILE.safetensors`: ready-made inputs for comparing numbers with another program.
//! `images` (N, 3, H, W; f16, bf16, f32 or f64) and `labels` (N; i64) are used as they are: every epoch all
//! of them in order, no augmentation, no normalisation; also the validation split.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use crate::dataset::{Dataset, Image};
use crate::error::DataError;

/// The values, in the order N, 3, H, W.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensors {
    /// Pixels.
    pub height: usize,
    /// Pixels.
    pub width: usize,
    /// All images. Halves are widened to f32, which loses nothing; f64 stays f64.
    pub images: Values,
}

/// Values of either width.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Single.
    F32(Vec<f32>),
    /// Double.
    F64(Vec<f64>),
}

/// The dataset of such a file.
#[derive(Debug)]
pub struct TensorDataset {
    name: String,
    tensors: Tensors,
    labels: Vec<i64>,
    classes: usize,
}

impl TensorDataset {
    /// Reads the whole file.
    pub fn open(name: &str, path: &Path) -> Result<Self, DataError> {
        let bytes = std::fs::read(path).map_err(|source| DataError::Io {
            path: path.to_owned(),
            source,
        })?;
        let (tensors, labels) = parse(&bytes).map_err(|problem| DataError::BadFile {
            path: path.to_owned(),
            problem,
            cure: "write a safetensors file with `images` (N, 3, H, W; float16, bfloat16, float32 or float64) \
                   and `labels` (N; int64, from 0)"
                .to_owned(),
        })?;
        let classes = labels.iter().max().map_or(0, |max| *max as usize + 1);
        Ok(TensorDataset {
            name: name.to_owned(),
            tensors,
            labels,
            classes,
        })
    }
}

/// Error: what was expected and what is there.
fn parse(bytes: &[u8]) -> Result<(Tensors, Vec<i64>), String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| {
        format!(
            "is not a whole safetensors file ({} bytes): {error}",
            bytes.len()
        )
    })?;
    let tensor = |name: &str| {
        file.tensor(name)
            .map_err(|_| format!("has no tensor `{name}`, only {:?}", file.names()))
    };
    let (images, labels) = (tensor("images")?, tensor("labels")?);
    let &[n, 3, height, width] = images.shape() else {
        return Err(format!(
            "`images` has the shape {:?}, expected (N, 3, H, W)",
            images.shape()
        ));
    };
    if n == 0 || height == 0 || width == 0 {
        return Err(format!(
            "`images` has the shape {:?}: it is empty",
            images.shape()
        ));
    }
    if labels.shape() != [n] || labels.dtype() != Dtype::I64 {
        return Err(format!(
            "`labels` is {:?} of the shape {:?}, expected I64 of the shape [{n}], one for each image",
            labels.dtype(),
            labels.shape()
        ));
    }
    let data = images.data();
    let values = match images.dtype() {
        Dtype::F16 => Values::F32(words(data, |b| half::f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => Values::F32(words(data, |b| half::bf16::from_le_bytes(b).to_f32())),
        Dtype::F32 => Values::F32(words(data, f32::from_le_bytes)),
        Dtype::F64 => Values::F64(words(data, f64::from_le_bytes)),
        other => {
            return Err(format!(
                "`images` is {other:?}, expected F16, BF16, F32 or F64"
            ));
        }
    };
    let labels = words(labels.data(), i64::from_le_bytes);
    if let Some(at) = labels
        .iter()
        .position(|l| *l < 0 || *l > i64::from(u32::MAX))
    {
        return Err(format!(
            "label {at} is {}, expected a class from 0",
            labels[at]
        ));
    }
    Ok((
        Tensors {
            height,
            width,
            images: values,
        },
        labels,
    ))
}

fn words<const N: usize, T>(data: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>()
        .0
        .iter()
        .map(|word| read(*word))
        .collect()
}

impl Dataset for TensorDataset {
    fn name(&self) -> &str {
        &self.name
    }
    fn len(&self) -> usize {
        self.labels.len()
    }
    fn classes(&self) -> usize {
        self.classes
    }
    fn class_names(&self) -> &[String] {
        &[]
    }
    fn label(&self, index: usize) -> i64 {
        self.labels[index]
    }
    fn image(&self, _: usize, _: &mut Image) -> Result<(), DataError> {
        Err(DataError::Recipe(format!(
            "{} holds tensors, not 8-bit images",
            self.name
        )))
    }
    fn bytes(&self, index: usize, into: &mut Vec<u8>) -> Result<(), DataError> {
        let size = 3 * self.tensors.height * self.tensors.width;
        let range = index * size..(index + 1) * size;
        match &self.tensors.images {
            Values::F32(v) => v[range]
                .iter()
                .for_each(|x| into.extend_from_slice(&x.to_le_bytes())),
            Values::F64(v) => v[range]
                .iter()
                .for_each(|x| into.extend_from_slice(&x.to_le_bytes())),
        }
        Ok(())
    }
    fn tensors(&self) -> Option<&Tensors> {
        Some(&self.tensors)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use safetensors::tensor::TensorView;

    use super::*;

    fn file(dtype: Dtype, shape: &[usize], images: &[u8], labels: &[i64]) -> Vec<u8> {
        let labels_bytes: Vec<u8> = labels.iter().flat_map(|l| l.to_le_bytes()).collect();
        let tensors = BTreeMap::from([
            (
                "images",
                TensorView::new(dtype, shape.to_vec(), images).unwrap(),
            ),
            (
                "labels",
                TensorView::new(Dtype::I64, vec![labels.len()], &labels_bytes).unwrap(),
            ),
        ]);
        safetensors::serialize(tensors, None).unwrap()
    }

    #[test]
    fn doubles_stay_doubles_and_halves_widen_exactly() {
        let exact = [0.1f64, -1e-9, 3.0];
        let doubles: Vec<u8> = exact.iter().flat_map(|x| x.to_le_bytes()).collect();
        let (tensors, labels) = parse(&file(Dtype::F64, &[1, 3, 1, 1], &doubles, &[4])).unwrap();
        assert_eq!(
            (tensors.images, labels),
            (Values::F64(exact.to_vec()), vec![4])
        );

        let halves: Vec<u8> = exact
            .iter()
            .flat_map(|x| half::f16::from_f64(*x).to_le_bytes())
            .collect();
        let (tensors, _) = parse(&file(Dtype::F16, &[1, 3, 1, 1], &halves, &[4])).unwrap();
        let widened = exact
            .iter()
            .map(|x| half::f16::from_f64(*x).to_f32())
            .collect();
        assert_eq!(tensors.images, Values::F32(widened));
    }

    #[test]
    fn bad_files_say_what_was_expected() {
        let four = [0u8; 16];
        let refused = |bytes: &[u8]| parse(bytes).unwrap_err();
        assert!(
            refused(&file(Dtype::F32, &[1, 4, 1, 1], &four, &[0]))
                .contains("expected (N, 3, H, W)")
        );
        assert!(
            refused(&file(Dtype::F32, &[1, 3, 1, 1], &four[..12], &[0, 1])).contains("shape [1]")
        );
        assert!(
            refused(&file(Dtype::U8, &[1, 3, 1, 1], &four[..3], &[0])).contains("`images` is U8")
        );
        assert!(
            refused(&file(Dtype::F32, &[1, 3, 1, 1], &four[..12], &[-1])).contains("label 0 is -1")
        );
        let whole = file(Dtype::F32, &[1, 3, 1, 1], &four[..12], &[0]);
        assert!(refused(&whole[..whole.len() - 3]).contains("not a whole safetensors file"));
    }
}
