//! What a run says about a few images of its last evaluation, beside the truth: boxes or masks.
//! RUNDIR/pictures/ holds, of attempt N, `N.json` ([`Pictures`]) and the PNG files it names.
//! Written by the trainer, shown by the server; no number of a table depends on them.

use serde::{Deserialize, Serialize};

/// Images shown of a run.
pub const COUNT: usize = 6;

/// RUNDIR/pictures/N.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pictures {
    /// [`crate::protocol::PROTOCOL_VERSION`].
    pub v: u32,
    /// Finished epochs when they were predicted.
    pub epoch: u64,
    /// Name of each class.
    pub classes: Vec<String>,
    /// In the order of the split.
    pub pictures: Vec<Picture>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// What the dataset calls it.
    pub name: String,
    /// PNG file in the same directory.
    pub image: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// What the annotation says.
    pub truth: Marks,
    /// What the network says.
    pub predicted: Marks,
}

/// What is marked on an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Marks {
    /// PNG file in the same directory, as large as the image, each class in its [`color`], what has
    /// no label transparent.
    Mask {
        /// File name.
        file: String,
        /// Classes that occur in it, ascending.
        classes: Vec<u32>,
    },
    /// Objects.
    Boxes(Vec<Object>),
}

/// A box around an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Left, top, right, bottom in pixels of the image.
    pub at: [f64; 4],
    /// Index of its class.
    pub class: u32,
    /// How sure the network is, 0 to 1; none for the truth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Marked difficult, which counts neither for nor against a prediction.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub difficult: bool,
}

impl Pictures {
    /// Names of the files of attempt N: what is said, the i-th image, its truth, its prediction.
    pub fn file(attempt: u32) -> String {
        format!("{attempt}.json")
    }

    /// As [`Pictures::file`], of one PNG; `what` is `image`, `truth` or `predicted`.
    pub fn png(attempt: u32, picture: usize, what: &str) -> String {
        format!("{attempt}-{picture}-{what}.png")
    }

    /// Whether a file of that name may be one of them: what a server may send.
    pub fn is_png(name: &str) -> bool {
        let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let parts: Option<[&str; 3]> = name
            .strip_suffix(".png")
            .and_then(|stem| stem.split('-').collect::<Vec<_>>().try_into().ok());
        parts.is_some_and(|[attempt, picture, what]| {
            number(attempt) && number(picture) && ["image", "truth", "predicted"].contains(&what)
        })
    }
}

/// The colour of a class, red, green and blue: the hue goes round by the golden angle, so that
/// neighbouring numbers are far apart, and lightness alternates for those who see few hues.
pub fn color(class: u32) -> [u8; 3] {
    let hue = (f64::from(class) * 137.507_764 + 210.0) % 360.0;
    let lightness = [0.42, 0.66, 0.54][class as usize % 3];
    let chroma = 0.62 * (1.0 - (2.0 * lightness - 1.0_f64).abs());
    let part = |offset: f64| {
        let k = (offset + hue / 30.0) % 12.0;
        let value = lightness - chroma / 2.0 * (-1.0_f64).max((k - 3.0).min(9.0 - k).min(1.0));
        (255.0 * value).round() as u8
    };
    [part(0.0), part(8.0), part(4.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_and_known_again() {
        assert_eq!(Pictures::file(3), "3.json");
        assert!(Pictures::is_png(&Pictures::png(12, 0, "truth")));
        for other in [
            "1-0-image.jpg",
            "../1-0-image.png",
            "1-0-secret.png",
            "-0-image.png",
            "1-0-image-2.png",
            "1.json",
        ] {
            assert!(!Pictures::is_png(other), "{other}");
        }
    }

    #[test]
    fn classes_have_colours_of_their_own() {
        let colors: std::collections::BTreeSet<_> = (0..150).map(color).collect();
        assert_eq!(colors.len(), 150);
        let far = |a: [u8; 3], b: [u8; 3]| -> u32 {
            a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(b))).sum()
        };
        for class in 0..20 {
            assert!(far(color(class), color(class + 1)) > 60, "{class}");
        }
    }
}
