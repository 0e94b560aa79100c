//! What happens to an image before the network sees it: the six steps of the paper's section 2.1.
//!
//! | step | file |
//! |---|---|
//! | 1. decode | [`mod@crate::decode`], or the dataset; everything below works on the 0..255 scale |
//! | 2. crop a random area at a random aspect ratio, resize to the input | [`crop`], [`resize`] |
//! | 3. flip | [`flip`] |
//! | 4. hue, saturation, brightness (contrast is 0 in the paper) | [`hue`], [`saturation`], [`brightness`], [`contrast`] |
//! | 5. PCA noise | [`pca`] |
//! | 6. normalise | [`normalise`] |
//!
//! The resize rounds to bytes, as OpenCV and the authors' pipeline do. Steps 4 to 6 are affine in
//! (R, G, B), and so is their composition: one 3x4 matrix an image ([`affine`]), applied to each row as it
//! leaves the resize, or by the device. What was drawn is a [`draw::Draw`]. A [`Plan`] is made as
//! soon as an image's size is known, so that no more of it is decoded than the plan needs.
//! The authors' code rounds to bytes between the steps instead: [`gluoncv`].
//! Evaluation takes a centre crop and normalises: [`evaluate`].

pub mod affine;
pub(crate) mod axis;
pub mod brightness;
mod check;
pub mod contrast;
pub mod crop;
pub mod draw;
pub mod evaluate;
pub mod flip;
pub mod gluoncv;
pub mod hue;
pub mod normalise;
pub mod pca;
pub mod resize;
pub mod saturation;

use rungs_spec::recipe::{Augment, Variant};

use crate::dataset::Image;
use crate::error::DataError;
use crate::random::Stream;
use affine::{Affine, Matrix, Painter};
use crop::Rect;
use draw::Draw;
use resize::{Resizer, Row, Window};

/// Weights of R, G, B in a grey value (Rec. 601), as the authors' framework has them.
pub const LUMA: [f64; 3] = [0.299, 0.587, 0.114];

/// Order of the values of an image in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// H, W, 3: what convolutions on a CPU prefer.
    #[default]
    ChannelsLast,
    /// 3, H, W.
    Nchw,
}

/// The steps for one recipe.
#[derive(Debug, Clone)]
pub struct Pipeline {
    augment: Augment,
    variant: Variant,
    size: usize,
    layout: Layout,
}

/// What will be done with one image: known as soon as its size is.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Part of the image whose pixels are needed.
    pub needed: Rect,
    window: Window,
    /// None: evaluation.
    draw: Option<Draw>,
}

/// Where a prepared image goes.
#[derive(Debug)]
pub enum Out<'a> {
    /// `size * size * 3` values, ready for the network, in the pipeline's layout.
    Floats(&'a mut [f32]),
    /// Resized pixels, `size * size * 3` bytes in the order H, W, 3, and what turns them into the same
    /// values as those of `Floats`, but for float rounding.
    Bytes(&'a mut [u8], &'a mut Matrix),
}

/// Buffers of one thread, reused from image to image.
#[derive(Debug, Default)]
pub struct Scratch {
    resizer: Resizer,
    pixels: Vec<[f32; 4]>,
}

impl Pipeline {
    /// Error: a value of `augment` that makes no sense.
    pub fn new(
        augment: &Augment,
        variant: Variant,
        size: u32,
        layout: Layout,
    ) -> Result<Self, DataError> {
        check::check(augment, size)?;
        Ok(Pipeline {
            augment: augment.clone(),
            variant,
            size: size as usize,
            layout,
        })
    }

    /// Side of the output, pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// All six steps for an image of `width` x `height` pixels, with the draws of `stream`.
    pub fn plan_train(
        &self,
        width: usize,
        height: usize,
        stream: &mut Stream,
        scratch: &mut Scratch,
    ) -> Plan {
        let draw = Draw::new(&self.augment, self.variant, width, height, stream);
        self.plan_drawn(&draw, scratch)
    }

    /// All six steps with these draws.
    pub fn plan_drawn(&self, draw: &Draw, scratch: &mut Scratch) -> Plan {
        let window = Window {
            region: draw.crop,
            full: [self.size; 2],
            offset: [0; 2],
            size: self.size,
            flip: draw.flip,
            antialias: self.augment.antialias,
        };
        Plan {
            needed: scratch.resizer.plan(&window),
            window,
            draw: Some(*draw),
        }
    }

    /// Resize, centre crop, normalise.
    pub fn plan_evaluate(&self, width: usize, height: usize, scratch: &mut Scratch) -> Plan {
        let window = evaluate::window(
            width,
            height,
            self.augment.resize_short as usize,
            self.size,
            self.augment.antialias,
        );
        Plan {
            needed: scratch.resizer.plan(&window),
            window,
            draw: None,
        }
    }

    /// Carries out a plan. `image` is the part of the whole image that begins at `origin` and has at
    /// least [`Plan::needed`].
    pub fn carry_out(
        &self,
        plan: &Plan,
        image: &Image,
        origin: [usize; 2],
        scratch: &mut Scratch,
        out: Out<'_>,
    ) {
        let Scratch { resizer, pixels } = scratch;
        resizer.plan(&plan.window);
        match &plan.draw {
            None => self.paint(image, origin, &normalise::affine(), resizer, out),
            Some(draw) if self.variant == Variant::Gluoncv => {
                gluoncv::byte_steps(image, origin, draw, resizer, pixels);
                let rows = pixels.chunks_exact(self.size).map(Row::Colour).enumerate();
                self.write(&normalise::affine(), out, |each| {
                    rows.for_each(|(y, row)| each(y, row));
                });
            }
            Some(draw) => {
                let mut colour = hue::affine(draw.hue)
                    .then(&saturation::affine(draw.saturation))
                    .then(&brightness::affine(draw.brightness));
                if draw.contrast != 1.0 {
                    // The only step that needs the whole image first: its mean.
                    let mean = resizer.mean(image, origin);
                    colour = colour.then(&contrast::affine(draw.contrast, colour.apply(mean)));
                }
                let colour = colour
                    .then(&Affine::shift(pca::noise(draw.pca)))
                    .then(&normalise::affine());
                self.paint(image, origin, &colour, resizer, out);
            }
        }
    }

    /// Plans and carries out training on a whole image.
    pub fn train(
        &self,
        image: &Image,
        stream: &mut Stream,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        let plan = self.plan_train(image.width, image.height, stream, scratch);
        self.carry_out(&plan, image, [0, 0], scratch, Out::Floats(out));
    }

    /// Plans and carries out evaluation on a whole image.
    pub fn evaluate(&self, image: &Image, scratch: &mut Scratch, out: &mut [f32]) {
        let plan = self.plan_evaluate(image.width, image.height, scratch);
        self.carry_out(&plan, image, [0, 0], scratch, Out::Floats(out));
    }

    fn paint(
        &self,
        image: &Image,
        origin: [usize; 2],
        colour: &Affine,
        resizer: &mut Resizer,
        out: Out<'_>,
    ) {
        self.write(colour, out, |each| resizer.rows(image, origin, each));
    }

    /// Writes the rows that `rows` gives.
    fn write(
        &self,
        colour: &Affine,
        out: Out<'_>,
        rows: impl FnOnce(&mut dyn FnMut(usize, Row<'_>)),
    ) {
        match out {
            Out::Floats(out) => {
                let painter = Painter::new(colour, self.layout, self.size);
                rows(&mut |y, row| painter.row(y, row, out));
            }
            Out::Bytes(out, matrix) => {
                *matrix = colour.matrix();
                let lines = out.as_chunks_mut::<3>().0;
                rows(&mut |y, row| row.bytes(&mut lines[y * self.size..][..self.size]));
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::dataset::Channels;
    use crate::random::Purpose;

    /// The paper's ranges.
    pub(crate) fn paper(resize_short: u32) -> Augment {
        Augment {
            crop_area: [0.08, 1.0],
            crop_ratio: [0.75, 4.0 / 3.0],
            flip: 0.5,
            hue: 0.4,
            saturation: 0.4,
            brightness: 0.4,
            contrast: 0.0,
            pca_std: 0.1,
            antialias: false,
            resize_short,
        }
    }

    pub(crate) fn picture(width: usize, height: usize, channels: Channels) -> Image {
        let mut stream = Stream::new(Purpose::Synthetic, 9, width as u64, height as u64);
        let data = (0..width * height * channels.count())
            .map(|_| stream.below(256) as u8)
            .collect();
        Image {
            width,
            height,
            channels,
            data,
        }
    }

    fn run(pipeline: &Pipeline, image: &Image, index: u64) -> Vec<f32> {
        let mut out = vec![f32::NAN; pipeline.size * pipeline.size * 3];
        let mut stream = Stream::new(Purpose::Augment, 1, 0, index);
        pipeline.train(image, &mut stream, &mut Scratch::default(), &mut out);
        out
    }

    /// Grey's shortcut and the RGB path are the same function.
    #[test]
    fn grey_equals_three_equal_channels() {
        let grey = picture(28, 31, Channels::Grey);
        let data = grey.data.iter().flat_map(|b| [*b; 3]).collect();
        let rgb = Image {
            channels: Channels::Rgb,
            data,
            ..grey.clone()
        };
        for variant in [Variant::Paper, Variant::Gluoncv] {
            for contrast in [0.0, 0.4] {
                let augment = Augment {
                    contrast,
                    ..paper(32)
                };
                let pipeline = Pipeline::new(&augment, variant, 28, Layout::ChannelsLast).unwrap();
                for index in 0..20 {
                    for (a, b) in run(&pipeline, &grey, index)
                        .iter()
                        .zip(run(&pipeline, &rgb, index))
                    {
                        assert!((a - b).abs() < 1e-4, "{variant:?} {a} {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn layouts_hold_the_same_values() {
        let image = picture(40, 30, Channels::Rgb);
        for variant in [Variant::Paper, Variant::Gluoncv] {
            let last = Pipeline::new(&paper(32), variant, 28, Layout::ChannelsLast).unwrap();
            let first = Pipeline::new(&paper(32), variant, 28, Layout::Nchw).unwrap();
            let (a, b) = (run(&last, &image, 3), run(&first, &image, 3));
            for pixel in 0..28 * 28 {
                for channel in 0..3 {
                    assert_eq!(a[pixel * 3 + channel], b[channel * 28 * 28 + pixel]);
                }
            }
        }
    }

    /// The composed matrix does what the steps do one after the other on a pixel.
    #[test]
    fn one_matrix_equals_the_steps_in_order() {
        let image = picture(28, 28, Channels::Rgb);
        let augment = Augment {
            contrast: 0.4,
            ..paper(28)
        };
        let pipeline = Pipeline::new(&augment, Variant::Paper, 28, Layout::ChannelsLast).unwrap();
        let mut draw = Draw::new(
            &augment,
            Variant::Paper,
            28,
            28,
            &mut Stream::new(Purpose::Augment, 5, 5, 5),
        );
        (draw.crop, draw.flip) = (
            crop::Rect {
                x: 0,
                y: 0,
                width: 28,
                height: 28,
            },
            false,
        );
        let mut out = vec![0.0; 28 * 28 * 3];
        let mut scratch = Scratch::default();
        let plan = pipeline.plan_drawn(&draw, &mut scratch);
        pipeline.carry_out(&plan, &image, [0, 0], &mut scratch, Out::Floats(&mut out));

        let mut pixels: Vec<[f64; 3]> = (0..784)
            .map(|i| image.rgb(i % 28, i / 28).map(f64::from))
            .collect();
        for step in [
            hue::affine(draw.hue),
            saturation::affine(draw.saturation),
            brightness::affine(draw.brightness),
        ] {
            pixels.iter_mut().for_each(|p| *p = step.apply(*p));
        }
        let mean = pixels
            .iter()
            .map(|p| (0..3).map(|c| LUMA[c] * p[c]).sum::<f64>())
            .sum::<f64>()
            / 784.0;
        let noise = pca::noise(draw.pca);
        for (pixel, got) in pixels.iter().zip(out.chunks_exact(3)) {
            for c in 0..3 {
                let jittered = pixel[c] * draw.contrast + mean * (1.0 - draw.contrast) + noise[c];
                let want = (jittered - normalise::MEAN[c]) / normalise::STD[c];
                assert!((want - f64::from(got[c])).abs() < 1e-4, "{want} {}", got[c]);
            }
        }
    }
}
