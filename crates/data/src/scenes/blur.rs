//! Gaussian blur of a small radius, in place: rows, then columns; edges repeat.

/// Blurs `height` rows of `width` pixels. `sigma`: pixels; nothing happens below a hundredth.
pub fn gaussian(pixels: &mut [[f32; 3]], width: usize, sigma: f64) {
    if sigma < 0.01 || width == 0 {
        return;
    }
    let kernel = kernel(sigma);
    let mut line: Vec<[f32; 3]> = Vec::new();
    for row in pixels.chunks_mut(width) {
        line.clear();
        line.extend_from_slice(row);
        convolve(&line, &kernel, |x, value| row[x] = value);
    }
    let height = pixels.len() / width;
    for x in 0..width {
        line.clear();
        line.extend((0..height).map(|y| pixels[y * width + x]));
        convolve(&line, &kernel, |y, value| pixels[y * width + x] = value);
    }
}

/// Weights from the centre outwards; the sum over both sides is 1.
fn kernel(sigma: f64) -> Vec<f32> {
    let reach = (3.0 * sigma).ceil() as usize;
    let weight = |k: usize| libm::exp(-((k * k) as f64) / (2.0 * sigma * sigma));
    let sum: f64 = 1.0 + 2.0 * (1..=reach).map(weight).sum::<f64>();
    (0..=reach).map(|k| (weight(k) / sum) as f32).collect()
}

fn convolve(line: &[[f32; 3]], kernel: &[f32], mut put: impl FnMut(usize, [f32; 3])) {
    let last = line.len() - 1;
    for at in 0..line.len() {
        let mut sum = line[at].map(|v| v * kernel[0]);
        for (k, weight) in kernel.iter().enumerate().skip(1) {
            let (before, behind) = (line[at.saturating_sub(k)], line[(at + k).min(last)]);
            (0..3).for_each(|c| sum[c] += weight * (before[c] + behind[c]));
        }
        put(at, sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_becomes_the_bell_and_nothing_is_lost() {
        let mut pixels = vec![[0.0; 3]; 21 * 21];
        pixels[10 * 21 + 10] = [1.0, 2.0, 0.0];
        gaussian(&mut pixels, 21, 1.5);
        let sum: f32 = pixels.iter().map(|p| p[0]).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        let variance: f32 = (0..21 * 21)
            .map(|i| pixels[i][0] * ((i % 21) as f32 - 10.0).powi(2))
            .sum();
        assert!((variance - 2.25).abs() < 0.05, "{variance}");
        assert_eq!(pixels[10 * 21 + 8], pixels[8 * 21 + 10]);
        assert_eq!(pixels[10 * 21 + 10][1], 2.0 * pixels[10 * 21 + 10][0]);
    }

    #[test]
    fn one_colour_stays_and_no_radius_changes_nothing() {
        let mut flat = vec![[50.0; 3]; 12];
        gaussian(&mut flat, 4, 0.8);
        assert!(flat.iter().flatten().all(|v| (v - 50.0).abs() < 1e-4));
        let mut some = vec![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
        gaussian(&mut some, 2, 0.0);
        assert_eq!(some, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    }
}
