//! Which ranges of `augment` make sense.

use rungs_spec::recipe::Augment;

use crate::error::DataError;

/// Error: the key, its value, and what to give instead.
pub(crate) fn check(augment: &Augment, size: u32) -> Result<(), DataError> {
    let Augment {
        crop_area,
        crop_ratio,
        flip,
        hue,
        saturation,
        brightness,
        contrast,
        pca_std,
        antialias: _,
        resize_short,
    } = augment;
    let range = |[low, high]: [f64; 2], max: f64| low > 0.0 && low <= high && high <= max;
    let bad = if size == 0 {
        format!("input_size is {size}; give a side in pixels")
    } else if !range(*crop_area, 1.0) {
        format!("augment.crop_area is {crop_area:?}; give [a, b] with 0 < a <= b <= 1")
    } else if !range(*crop_ratio, 1e3) {
        format!("augment.crop_ratio is {crop_ratio:?}; give [a, b] with 0 < a <= b")
    } else if !(0.0..=1.0).contains(flip) {
        format!("augment.flip is {flip}; give a probability from 0 to 1")
    } else if let Some((name, value)) = [
        ("hue", hue),
        ("saturation", saturation),
        ("brightness", brightness),
        ("contrast", contrast),
    ]
    .into_iter()
    .find(|(_, value)| !(0.0..=1.0).contains(*value))
    {
        format!(
            "augment.{name} is {value}; give x from 0 to 1, the coefficient is drawn from U[1 - x, 1 + x]"
        )
    } else if !(*pca_std >= 0.0 && pca_std.is_finite()) {
        format!("augment.pca_std is {pca_std}; give a standard deviation of at least 0")
    } else if *resize_short < size {
        format!(
            "augment.resize_short is {resize_short}, less than input_size {size}: no centre crop of that size \
             fits; leave it out, or give at least {size}"
        )
    } else {
        return Ok(());
    };
    Err(DataError::Recipe(bad))
}

#[cfg(test)]
mod tests {
    use rungs_spec::recipe::Variant;

    use super::*;
    use crate::preprocess::tests::paper;
    use crate::preprocess::{Layout, Pipeline};

    #[test]
    fn ranges_that_make_no_sense_are_refused_by_name() {
        let refused = |augment: Augment| {
            let Err(error) = Pipeline::new(&augment, Variant::Paper, 28, Layout::default()) else {
                panic!("accepted")
            };
            error.to_string()
        };
        assert!(
            refused(Augment {
                crop_area: [0.0, 1.0],
                ..paper(32)
            })
            .contains("augment.crop_area")
        );
        assert!(
            refused(Augment {
                crop_area: [0.5, 0.1],
                ..paper(32)
            })
            .contains("augment.crop_area")
        );
        assert!(
            refused(Augment {
                crop_ratio: [f64::NAN, 1.0],
                ..paper(32)
            })
            .contains("augment.crop_ratio")
        );
        assert!(
            refused(Augment {
                flip: -0.1,
                ..paper(32)
            })
            .contains("augment.flip")
        );
        assert!(
            refused(Augment {
                saturation: 1.5,
                ..paper(32)
            })
            .contains("augment.saturation")
        );
        assert!(
            refused(Augment {
                pca_std: f64::NAN,
                ..paper(32)
            })
            .contains("augment.pca_std")
        );
        assert!(refused(paper(27)).contains("give at least 28"));
    }
}
