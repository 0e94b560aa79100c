//! Two greys, one ground, eight row colours, light and dark: those of the dashboard.

use std::str::FromStr;

use plotters::style::RGBColor;

use crate::error::{ReportError, choose};

/// Row colours (light, dark), safe for colour-blind readers and stable for a row. The longest tables of the
/// paper (8 and 9) have seven rows, and no two curves of one chart should look alike.
pub const ROW_COLOURS: [(u32, u32); 8] = [
    (0x4477aa, 0x7fb0e6),
    (0xee7733, 0xff9e5e),
    (0x228833, 0x66c279),
    (0xaa3377, 0xe07ab8),
    (0x66a5d9, 0xa8d4f5),
    (0x997700, 0xd9b93b),
    (0x555b63, 0xb9bec6),
    (0xd0607a, 0xf4a0b2),
];

/// Colours of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Theme {
    /// On white.
    Light,
    /// On near-black.
    Dark,
    /// As the reader's system: light where a viewer knows no CSS.
    #[default]
    Auto,
}

impl FromStr for Theme {
    type Err = ReportError;
    fn from_str(word: &str) -> Result<Self, ReportError> {
        choose(
            "theme",
            word,
            &[
                ("light", Theme::Light),
                ("dark", Theme::Dark),
                ("auto", Theme::Auto),
            ],
        )
    }
}

/// (light, dark) of everything that is not a row.
pub(super) const PANEL: (u32, u32) = (0xffffff, 0x1b1d20);
pub(super) const INK: (u32, u32) = (0x1c1d1f, 0xeceef0);
pub(super) const MUTE: (u32, u32) = (0x6d7177, 0x9aa0a7);
pub(super) const LINE: (u32, u32) = (0xe6e6e3, 0x2c2f33);

pub(super) fn row(index: usize) -> (u32, u32) {
    ROW_COLOURS[index % ROW_COLOURS.len()]
}

impl Theme {
    /// The colour to draw with; `Auto` draws light and [`Theme::style`] repaints it.
    pub(super) fn pick(self, (light, dark): (u32, u32)) -> RGBColor {
        let [_, r, g, b] = (if self == Theme::Dark { dark } else { light }).to_be_bytes();
        RGBColor(r, g, b)
    }

    /// CSS of the SVG. Attribute selectors repaint what was drawn in light colours, so a viewer
    /// without CSS still shows a whole picture.
    pub(super) fn style(self) -> String {
        self.style_with(&[])
    }

    /// As [`Theme::style`], for a picture with colours of its own.
    pub(super) fn style_with(self, own: &[(u32, u32)]) -> String {
        let mut css = ".rungs-chart{font-variant-numeric:tabular-nums}\
                       .rungs-chart polyline{stroke-linejoin:round;stroke-linecap:round}"
            .to_owned();
        if self == Theme::Auto {
            css.push_str("@media(prefers-color-scheme:dark){");
            let known = [PANEL, INK, MUTE, LINE].into_iter().chain(ROW_COLOURS);
            for (light, dark) in known.chain(own.iter().copied()) {
                css.push_str(&format!(
                    ".rungs-chart [fill=\"#{light:06X}\"]{{fill:#{dark:06x}}}.rungs-chart [stroke=\"#{light:06X}\"]{{stroke:#{dark:06x}}}"
                ));
            }
            css.push('}');
        }
        css
    }
}
