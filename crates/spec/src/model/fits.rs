//! Does a network accept images of this size? Asked before anything starts: inside a training it
//! would end as an error of libtorch about some kernel.

use super::{Layer, Model};

/// Why a model does not accept `size` x `size` images: the first layer whose kernel is larger than
/// what reaches it. `None` where it accepts them.
pub fn too_small(model: &Model, size: u32) -> Option<String> {
    sequence(&model.layers, [size, size]).err().map(|stop| {
        format!(
            "{} does not accept {size} x {size} images: {} needs at least {} x {} and {} x {} reach it; choose a \
             larger input_size",
            model.name, stop.layer, stop.needs[0], stop.needs[1], stop.got[0], stop.got[1]
        )
    })
}

struct Stop {
    layer: String,
    needs: [u32; 2],
    got: [u32; 2],
}

/// Height and width behind the layers.
fn sequence(layers: &[Layer], mut at: [u32; 2]) -> Result<[u32; 2], Stop> {
    for layer in layers {
        at = one(layer, at)?;
    }
    Ok(at)
}

struct Window {
    kernel: [u32; 2],
    stride: [u32; 2],
    padding: [u32; 2],
    ceil: bool,
}

impl Window {
    fn square(kernel: u32, stride: u32, padding: u32, ceil: bool) -> Window {
        Window {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            ceil,
        }
    }

    fn slide(&self, name: &str, at: [u32; 2]) -> Result<[u32; 2], Stop> {
        let mut out = [0; 2];
        let mut needs = [1; 2];
        for i in 0..2 {
            let extra = if self.ceil { self.stride[i] - 1 } else { 0 };
            let reach = at[i] + 2 * self.padding[i] + extra;
            needs[i] = self.kernel[i]
                .saturating_sub(2 * self.padding[i] + extra)
                .max(1);
            out[i] = reach
                .checked_sub(self.kernel[i])
                .map_or(0, |span| span / self.stride[i] + 1);
        }
        if out.contains(&0) {
            return Err(Stop {
                layer: name.to_owned(),
                needs,
                got: at,
            });
        }
        Ok(out)
    }
}

fn one(layer: &Layer, at: [u32; 2]) -> Result<[u32; 2], Stop> {
    match layer {
        Layer::Conv(conv) => {
            let window = Window {
                kernel: conv.kernel.map(|side| conv.dilation * (side - 1) + 1),
                stride: conv.stride,
                padding: conv.padding,
                ceil: false,
            };
            window.slide(&conv.name, at)
        }
        Layer::MaxPool {
            kernel,
            stride,
            padding,
        } => Window::square(*kernel, *stride, *padding, false).slide("a max pool", at),
        Layer::AvgPool {
            kernel,
            stride,
            padding,
            ceil,
            count_include_pad: _,
        } => Window::square(*kernel, *stride, *padding, *ceil).slide("an average pool", at),
        Layer::GlobalAvgPool | Layer::Linear { .. } => Ok([1, 1]),
        Layer::BatchNorm(_) | Layer::Relu | Layer::Dropout { .. } => Ok(at),
        Layer::Residual {
            name: _,
            main,
            shortcut,
        } => {
            sequence(shortcut, at)?;
            sequence(main, at)
        }
        Layer::Branches { name: _, branches } => {
            let mut out = at;
            for branch in branches {
                out = sequence(branch, at)?;
            }
            Ok(out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MODELS, counts, rows};
    use crate::recipe::Variant;

    #[test]
    fn every_model_accepts_its_own_size() {
        for info in MODELS {
            let model = Model::published(info.name, Variant::Paper).expect("a known model");
            assert_eq!(too_small(&model, info.input_size), None);
        }
    }

    #[test]
    fn inception_needs_75_pixels_and_says_so() {
        let model = Model::published("inception-v3", Variant::Paper).expect("a known model");
        assert_eq!(too_small(&model, 75), None);
        let message = too_small(&model, 74).expect("too small");
        assert!(
            message.starts_with("inception-v3 does not accept 74 x 74 images"),
            "{message}"
        );
        assert!(
            message.contains("at least 3 x 3 and 2 x 2 reach it"),
            "{message}"
        );
    }

    #[test]
    fn what_is_accepted_can_be_counted() {
        for name in ["resnet50", "mobilenet"] {
            let model = Model::published(name, Variant::Paper).expect("a known model");
            assert_eq!(too_small(&model, 1), None, "{name}");
            assert!(counts(&model, 1).macs > 0);
            assert!(!rows(&model, 1).is_empty());
        }
    }
}
