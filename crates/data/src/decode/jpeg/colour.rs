//! Which colour have the samples of a pixel? YCbCr becomes RGB with 16 bits of fraction, as in
//! libjpeg; inks are put on white paper as PIL does it (`cmyk2rgb` in its `Convert.c`). All functions take
//! one line of samples of each component, and write pixels of four bytes.

use multiversion::multiversion;

/// R, G, B.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
pub fn join(samples: [&[u8]; 4], out: &mut [u8]) {
    let [red, green, blue, _] = samples;
    let pixels = out.as_chunks_mut::<4>().0.iter_mut();
    for (((pixel, r), g), b) in pixels.zip(red).zip(green).zip(blue) {
        *pixel = [*r, *g, *b, 0];
    }
}

/// Y, Cb, Cr.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
pub fn convert(samples: [&[u8]; 4], out: &mut [u8]) {
    let [luma, blue, red, _] = samples;
    let pixels = out.as_chunks_mut::<4>().0.iter_mut();
    for (((pixel, y), blue), red) in pixels.zip(luma).zip(blue).zip(red) {
        let (y, blue, red) = (i32::from(*y), i32::from(*blue) - 128, i32::from(*red) - 128);
        let half = 1 << 15;
        let r = (y + ((91_881 * red + half) >> 16)).clamp(0, 255) as u32;
        let g = (y + ((-22_554 * blue - 46_802 * red + half) >> 16)).clamp(0, 255) as u32;
        let b = (y + ((116_130 * blue + half) >> 16)).clamp(0, 255) as u32;
        *pixel = (r | g << 8 | b << 16).to_le_bytes();
    }
}

/// Cyan, magenta, yellow, black, 255 being no ink.
pub fn ink(samples: [&[u8]; 4], out: &mut [u8]) {
    let [cyan, magenta, yellow, black] = samples;
    let pixels = out.as_chunks_mut::<4>().0.iter_mut();
    for ((((pixel, c), m), y), k) in pixels.zip(cyan).zip(magenta).zip(yellow).zip(black) {
        *pixel = on_paper([255 - c, 255 - m, 255 - y], *k);
    }
}

/// Pixels of [`convert`] are cyan, magenta and yellow, 255 being all ink; black comes to them.
pub fn blacken(black: &[u8], out: &mut [u8]) {
    for (pixel, k) in out.as_chunks_mut::<4>().0.iter_mut().zip(black) {
        *pixel = on_paper([pixel[0], pixel[1], pixel[2]], *k);
    }
}

/// What inks, 255 being all of it, leave of the light that black leaves.
fn on_paper(inks: [u8; 3], light: u8) -> [u8; 4] {
    let left = inks.map(|ink| {
        // Ink times light / 255, rounded.
        let product = u32::from(ink) * u32::from(light) + 128;
        light - ((product + (product >> 8)) >> 8) as u8
    });
    [left[0], left[1], left[2], 0]
}
