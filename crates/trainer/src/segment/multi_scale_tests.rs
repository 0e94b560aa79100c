//! Sliding windows against a slow second implementation, written pixel by pixel from the released
//! code's description.

use tch::Device;

use super::*;
use crate::determinism::Stream;

fn ask(scales: &[f64], flip: bool) -> MultiScale {
    MultiScale {
        base_size: 13,
        crop_size: 12,
        scales: scales.to_vec(),
        flip,
        stride_share: 2.0 / 3.0,
        black: [-2.0, -1.5, -1.0],
    }
}

fn image(h: i64, w: i64) -> Tensor {
    let mut stream = Stream::new(9, "image");
    let values: Vec<f32> = (0..3 * h * w).map(|_| stream.uniform() as f32).collect();
    Tensor::from_slice(&values).view([1, 3, h, w])
}

/// A "network" of two classes that sees neighbours and knows left from right.
fn forward(x: &Tensor) -> Tensor {
    let right = x.roll([-1], [3]);
    let one = x.narrow(1, 0, 1) * 0.7 + right.narrow(1, 1, 1) * 0.4;
    let two = x.narrow(1, 2, 1) - right.narrow(1, 0, 1) * 0.3;
    Tensor::cat(&[one, two], 1)
}

#[test]
fn sizes_keep_the_shape_and_round_as_released() {
    let ask = MultiScale {
        base_size: 520,
        ..ask(&[], true)
    };
    assert_eq!(ask.size_at(0.5, 512, 683), (195, 260));
    assert_eq!(ask.size_at(1.75, 683, 512), (910, 682));
    assert_eq!(ask.size_at(1.25, 300, 300), (650, 650));
}

/// One value of the image resized with aligned corners.
fn sample(x: &Tensor, c: i64, height: i64, width: i64, at: (i64, i64)) -> f64 {
    let (h, w) = (x.size()[2], x.size()[3]);
    let source = |i: i64, from: i64, to: i64| match to {
        1 => 0.0,
        to => i as f64 * (from - 1) as f64 / (to - 1) as f64,
    };
    let (y, x_at) = (source(at.0, h, height), source(at.1, w, width));
    let (y0, x0) = (y.floor() as i64, x_at.floor() as i64);
    let (fy, fx) = (y - y0 as f64, x_at - x0 as f64);
    let value = |y: i64, x_at: i64| x.double_value(&[0, c, y.min(h - 1), x_at.min(w - 1)]);
    (1.0 - fy) * ((1.0 - fx) * value(y0, x0) + fx * value(y0, x0 + 1))
        + fy * ((1.0 - fx) * value(y0 + 1, x0) + fx * value(y0 + 1, x0 + 1))
}

/// Scores of one scale, on the resized image, by loops.
fn slow(ask: &MultiScale, x: &Tensor) -> Tensor {
    let side = i64::from(ask.crop_size);
    let (h, w) = (x.size()[2], x.size()[3]);
    let (ph, pw) = (h.max(side), w.max(side));
    let step = i64::from(ask.crop_size) * 2 / 3;
    let scores = Tensor::zeros([1, 2, h, w], (Kind::Double, Device::Cpu));
    for y in 0..h {
        for x_at in 0..w {
            let (mut sum, mut count) = ([0.0; 2], 0.0);
            let mut top = 0;
            loop {
                let mut left = 0;
                loop {
                    if (top..top + side).contains(&y) && (left..left + side).contains(&x_at) {
                        let window = Tensor::zeros([1, 3, side, side], (Kind::Double, Device::Cpu));
                        for c in 0..3 {
                            for wy in 0..side {
                                for wx in 0..side {
                                    let inside = top + wy < h && left + wx < w;
                                    let value = match inside {
                                        true => x.double_value(&[0, c, top + wy, left + wx]),
                                        false => ask.black[c as usize],
                                    };
                                    let cell = window.get(0).get(c).get(wy).get(wx);
                                    let _ = cell.shallow_clone().fill_(value);
                                }
                            }
                        }
                        let mut logits = forward(&window);
                        if ask.flip {
                            logits += forward(&window.flip([3])).flip([3]);
                        }
                        for (class, sum) in sum.iter_mut().enumerate() {
                            let at = [0, class as i64, y - top, x_at - left];
                            *sum += logits.double_value(&at).exp();
                        }
                        count += 1.0;
                    }
                    if left + side >= pw {
                        break;
                    }
                    left += step;
                }
                if top + side >= ph {
                    break;
                }
                top += step;
            }
            for (class, sum) in sum.iter().enumerate() {
                let cell = scores.get(0).get(class as i64).get(y).get(x_at);
                let _ = cell.shallow_clone().fill_(sum / count);
            }
        }
    }
    scores
}

#[test]
fn windows_are_averaged_where_they_overlap_and_scales_are_summed() {
    for (h, w, flip) in [(10, 14, true), (15, 9, true), (7, 7, false)] {
        let scales = [0.5, 1.75];
        let x = image(h, w);
        let got = ask(&scales, flip).scores_of(&forward, 2, &x);
        assert_eq!(got.size(), [1, 2, h, w]);
        let one = ask(&scales, flip);
        let parts: Vec<Tensor> = scales
            .iter()
            .map(|scale| {
                let (height, width) = one.size_at(*scale, h, w);
                // 1.75 x 13 = 23: more than one window; 7: a part of one.
                assert_eq!(height.max(width) > 12, *scale > 1.0);
                slow(&one, &fcn::resize(&x, height, width))
            })
            .collect();
        for (y, x_at, class) in [(0, 0, 0), (h - 1, w - 1, 1), (h / 2, w / 3, 0), (2, 5, 1)] {
            let expected: f64 = parts
                .iter()
                .map(|p| sample(p, class, h, w, (y, x_at)))
                .sum();
            let got = got.double_value(&[0, class, y, x_at]);
            assert!(
                (got / expected - 1.0).abs() < 1e-5,
                "{h}x{w} {y} {x_at}: {got} {expected}"
            );
        }
    }
}
