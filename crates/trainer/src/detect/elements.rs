//! How does plain Rust read and make a tensor of the CPU without copying it? The pooled features of one
//! image are 100 MB, and a copy of them takes as long as computing them.

use tch::{Device, Kind, Tensor};

/// Lends the elements of an f32 tensor, row by row. `kernel` must not write to the tensor by another handle.
/// Panics if the tensor is not contiguous, not f32 or not on the CPU: the caller sees to that.
pub fn read<R>(tensor: &Tensor, kernel: impl FnOnce(&[f32]) -> R) -> R {
    assert!(tensor.is_contiguous(), "elements of a strided tensor");
    let count = count_of(tensor);
    if count == 0 {
        return kernel(&[]);
    }
    #[expect(unsafe_code, reason = "tch lends its memory as a pointer only")]
    // SAFETY: the memory holds `count` f32 one after the other (asserted here and in `count_of`), lives as long
    // as `tensor`, which is borrowed until the kernel has returned, and is written by nobody meanwhile: libtorch
    // computes on the CPU only while a call into it runs, and the kernel makes none on this tensor.
    let elements = unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), count) };
    kernel(elements)
}

/// A new f32 tensor of that shape on the CPU, whose elements `kernel` writes: all of them, for they are whatever
/// was in the memory before.
pub fn write(shape: &[i64], kernel: impl FnOnce(&mut [f32])) -> Tensor {
    let tensor = Tensor::empty(shape, (Kind::Float, Device::Cpu));
    let count = count_of(&tensor);
    if count == 0 {
        kernel(&mut []);
        return tensor;
    }
    #[expect(unsafe_code, reason = "tch lends its memory as a pointer only")]
    // SAFETY: as in `read`, and nobody else has a handle of this tensor yet. Any bits are an f32.
    let elements =
        unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), count) };
    kernel(elements);
    tensor
}

fn count_of(tensor: &Tensor) -> usize {
    assert_eq!(tensor.device(), Device::Cpu, "elements of another device");
    assert_eq!(tensor.kind(), Kind::Float, "elements of another kind");
    tensor.numel()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let tensor = write(&[2, 3], |elements| {
            for (i, element) in elements.iter_mut().enumerate() {
                *element = i as f32;
            }
        });
        assert_eq!(tensor.double_value(&[1, 2]), 5.0);
        assert_eq!(
            read(&tensor, |elements| elements.to_vec()),
            [0., 1., 2., 3., 4., 5.]
        );
        assert_eq!(
            write(&[0, 4], |elements| assert!(elements.is_empty())).numel(),
            0
        );
    }

    #[test]
    #[should_panic(expected = "strided")]
    fn a_strided_tensor_is_refused() {
        read(
            &Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)).tr(),
            |_| (),
        );
    }
}
