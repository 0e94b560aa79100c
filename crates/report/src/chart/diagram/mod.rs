//! Block diagrams of networks, drawn from the models' own layers (Figures 1 and 2 of the paper).
//!
//! One model: its parts, its stem, its last stage and that stage's first block. Several models: what each
//! changes in the one before it, the changed steps marked in words and by their edges.

mod compare;
mod panel;
mod parts;
mod pen;
mod pixels;
mod vector;

pub use compare::{Difference, differences, marked};
pub use parts::{Block, Network, Part, Step, network};

use rungs_spec::SpecError;
use serde::Serialize;

use self::panel::{Content, Entry, Look, Panel};
use self::pen::{Area, Pen, Shape};
use super::{Theme, png};
use crate::error::ReportError;

/// Between panels.
const GAP: f64 = 26.0;
/// Between columns of panels where lines lead from a box to its enlargement.
const LEAD: f64 = 52.0;
/// Around all of them.
const MARGIN: f64 = 2.0;

/// What a figure with `models = [...]` shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagram {
    /// In the order of the file, each marked beside the one before it.
    pub networks: Vec<Network>,
    /// What each network after the first changes in the one before it.
    pub changes: Vec<Change>,
}

/// What a network changes in the one before it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Model that changes.
    pub model: String,
    /// Model before it.
    pub beside: String,
    /// Kinds of difference, each once.
    pub differences: Vec<Difference>,
}

impl Diagram {
    /// The diagram of those models, in their published shapes.
    ///
    /// Errors: an unknown name.
    pub fn new(models: &[String]) -> Result<Diagram, SpecError> {
        let plain = models
            .iter()
            .map(|name| network(name))
            .collect::<Result<Vec<_>, _>>()?;
        let changes = plain.windows(2).map(|pair| Change {
            model: pair[1].model.clone(),
            beside: pair[0].model.clone(),
            differences: differences(&pair[0], &pair[1]),
        });
        let marks = plain.windows(2).map(|pair| marked(&pair[0], &pair[1]));
        Ok(Diagram {
            changes: changes.collect(),
            networks: plain.first().cloned().into_iter().chain(marks).collect(),
        })
    }

    /// One sentence: what it shows.
    pub fn title(&self) -> String {
        let names: Vec<&str> = self.networks.iter().map(|n| n.title.as_str()).collect();
        match names.as_slice() {
            [] => "No model".to_owned(),
            [one] => format!("Architecture of {one}"),
            [first, rest @ ..] => format!(
                "What {} change in {first}, one after the other",
                rest.join(", ")
            ),
        }
    }

    /// Width and height of the picture where it has `width` pixels.
    pub fn size(&self, width: u32) -> (u32, u32) {
        let (.., size, _) = self.arranged(width);
        (size.0.ceil() as u32, size.1.ceil() as u32)
    }

    /// The picture as one self-contained SVG, at most `width` pixels wide where its widest panel is not wider.
    pub fn svg(&self, width: u32, theme: Theme) -> String {
        let (shapes, size) = self.drawn(width);
        vector::svg(&shapes, theme, size, &self.title(), &self.description())
    }

    /// The same as pixels, PNG; [`Theme::Auto`] is light here. Errors: more than 4 megapixels.
    pub fn png(&self, width: u32, theme: Theme) -> Result<Vec<u8>, ReportError> {
        let (shapes, (w, h)) = self.drawn(width);
        png::picture(w.ceil() as u32, h.ceil() as u32, |root, k| {
            pixels::draw(root, &shapes, theme, k)
        })
    }

    /// All that is drawn, and the size of the picture.
    fn drawn(&self, width: u32) -> (Vec<Shape>, (f64, f64)) {
        let (panels, places, size, look) = self.arranged(width);
        let mut pen = Pen::default();
        let mut boxes: Vec<Vec<Area>> = Vec::new();
        for (panel, place) in panels.iter().zip(&places) {
            boxes.push(panel.draw(&mut pen, *place, look));
        }
        for (panel, place) in panels.iter().zip(&places) {
            let Some(of) = panel.of.and_then(|(panel, at)| boxes.get(panel)?.get(at)) else {
                continue;
            };
            // From a box to its enlargement beside it; below each other the headings say it.
            if place.x > of.right() {
                pen.line(&[(of.right() + 3.0, of.y), (place.x, place.y + 8.0)], true);
                pen.line(
                    &[
                        (of.right() + 3.0, of.bottom()),
                        (place.x, place.bottom() - 8.0),
                    ],
                    true,
                );
            }
        }
        (pen.shapes, size)
    }

    /// The same in words, for who cannot see it.
    pub fn description(&self) -> String {
        let mut text = Vec::new();
        if let [net] = self.networks.as_slice() {
            for part in &net.parts {
                let [c, h, w] = part.output;
                let first = part.blocks.first();
                let paths = first.map_or_else(String::new, path_words);
                let many = match part.blocks.len() {
                    0 | 1 => String::new(),
                    n => format!("{n} blocks, the first: "),
                };
                text.push(format!(
                    "{}: {many}{paths}; output {h} \u{d7} {w} \u{d7} {c}.",
                    part.title
                ));
            }
        }
        for change in &self.changes {
            let title = |model: &str| {
                self.networks
                    .iter()
                    .find(|n| n.model == model)
                    .map_or(model, |n| n.title.as_str())
                    .to_owned()
            };
            for difference in &change.differences {
                let gone: String = difference
                    .block
                    .instead_of
                    .iter()
                    .map(|t| format!(", instead of {t}"))
                    .collect();
                text.push(format!(
                    "{} beside {}: {}: {}{gone}.",
                    title(&change.model),
                    title(&change.beside),
                    difference.place,
                    path_words(&difference.block)
                ));
            }
        }
        text.join(" ")
    }

    /// Panels, their places, the size of all, and how boxes look there.
    fn arranged(&self, width: u32) -> (Vec<Panel>, Vec<Area>, (f64, f64), Look) {
        let panels = if self.networks.len() == 1 {
            self.architecture()
        } else {
            self.tweaks()
        };
        let sizes = |look| -> Vec<(f64, f64)> { panels.iter().map(|p| p.size(look)).collect() };
        let wide = sizes(Look::WIDE);
        let columns = if self.networks.len() == 1 {
            by_paper(&wide)
        } else {
            row(&wide)
        };
        let (places, size) = placed(&wide, &columns, self.networks.len() > 1);
        if size.0 <= f64::from(width.max(120)) {
            return (panels, places, size, Look::WIDE);
        }
        let one: Vec<usize> = (0..wide.len()).collect();
        let (places, size) = placed(&sizes(Look::NARROW), &[one], true);
        (panels, places, size, Look::NARROW)
    }

    /// Figure 1: outline, stem, last stage, its first block.
    fn architecture(&self) -> Vec<Panel> {
        let Some(net) = self.networks.first() else {
            return Vec::new();
        };
        let shape = |[c, h, w]: [u32; 3]| format!("{h} \u{d7} {w} \u{d7} {c}");
        let blocks = |part: &Part| match part.blocks.as_slice() {
            [one] if one.title.is_empty() => String::new(),
            many => format!(
                "{} block{} \u{b7} ",
                many.len(),
                if many.len() == 1 { "" } else { "s" }
            ),
        };
        let entries = net.parts.iter().map(|part| Entry {
            title: part.title.clone(),
            small: format!("{}{}", blocks(part), shape(part.output)),
        });
        let mut panels = vec![Panel {
            title: format!("(a) {}", net.title),
            lines: counts(net).to_vec(),
            content: Content::Outline(entries.collect()),
            of: None,
        }];
        if let Some(block) = net.parts.first().and_then(|p| p.blocks.first()) {
            panels.push(Panel {
                title: "(b) Input stem".to_owned(),
                lines: Vec::new(),
                content: Content::Block(block.clone()),
                of: Some((0, 0)),
            });
        }
        let stage = net
            .parts
            .iter()
            .enumerate()
            .rev()
            .find(|(_, p)| p.blocks.iter().any(|b| b.paths.len() > 1));
        let Some((place, part)) = stage else {
            return panels;
        };
        let entries = part.blocks.iter().map(|block| Entry {
            title: block.title.clone(),
            small: shape(block.output),
        });
        panels.push(Panel {
            title: format!("(c) {}", part.title),
            lines: Vec::new(),
            content: Content::Outline(entries.collect()),
            of: Some((0, place)),
        });
        if let Some(block) = part.blocks.first() {
            panels.push(Panel {
                title: format!("(d) {}", block.title),
                lines: vec![format!(
                    "of {}, first of its blocks",
                    part.title.to_lowercase()
                )],
                content: Content::Block(block.clone()),
                of: Some((2, 0)),
            });
        }
        panels
    }

    /// Figure 2: what each changes.
    fn tweaks(&self) -> Vec<Panel> {
        let mut panels = Vec::new();
        for change in &self.changes {
            let Some(net) = self.networks.iter().find(|n| n.model == change.model) else {
                continue;
            };
            for difference in &change.differences {
                let letter = char::from(b'a' + (panels.len() % 26) as u8);
                panels.push(Panel {
                    title: format!("({letter}) {}", net.title),
                    lines: [vec![difference.place.clone()], counts(net).to_vec()].concat(),
                    content: Content::Block(difference.block.clone()),
                    of: None,
                });
            }
        }
        panels
    }
}

/// `25.6 M parameters`, `4.33 G multiply-adds`
fn counts(net: &Network) -> [String; 2] {
    [
        format!("{:.1} M parameters", net.parameters as f64 / 1e6),
        format!("{:.2} G multiply-adds", net.macs as f64 / 1e9),
    ]
}

/// `path A: Conv 1 × 1, 512 (was stride 2), ...; path B: as it is; sum, ReLU`
fn path_words(block: &Block) -> String {
    let words = |path: &[Step]| {
        let steps: Vec<String> = path
            .iter()
            .map(|step| match &step.change {
                Some(change) => format!("{} ({change})", step.text()),
                None => step.text(),
            })
            .collect();
        if steps.is_empty() {
            "as it is".to_owned()
        } else {
            steps.join(", then ")
        }
    };
    if let [one] = block.paths.as_slice() {
        return words(one);
    }
    let mut paths: Vec<String> = block
        .paths
        .iter()
        .enumerate()
        .map(|(i, path)| {
            format!(
                "path {}: {}",
                char::from(b'A' + (i % 26) as u8),
                words(path)
            )
        })
        .collect();
    paths.extend(block.join.map(str::to_owned));
    paths.join("; ")
}

/// Panels by column: the outline, stem over stage, the block.
fn by_paper(sizes: &[(f64, f64)]) -> Vec<Vec<usize>> {
    match sizes.len() {
        4 => vec![vec![0], vec![1, 2], vec![3]],
        n => (0..n).map(|i| vec![i]).collect(),
    }
}

fn row(sizes: &[(f64, f64)]) -> Vec<Vec<usize>> {
    (0..sizes.len()).map(|i| vec![i]).collect()
}

/// Places of the panels, and the size of all. Panels of one column have one width. The last panel of a
/// column reaches down to the end; where not all are `level`, one that is alone in the last column keeps its
/// height and stands in the middle.
fn placed(sizes: &[(f64, f64)], columns: &[Vec<usize>], level: bool) -> (Vec<Area>, (f64, f64)) {
    let height = |column: &[usize]| {
        let gaps = GAP * column.len().saturating_sub(1) as f64;
        column.iter().map(|i| sizes[*i].1).sum::<f64>() + gaps
    };
    let tallest = columns.iter().map(|c| height(c)).fold(0.0, f64::max);
    let nowhere = Area {
        x: 0.0,
        y: 0.0,
        w: 0.0,
        h: 0.0,
    };
    let mut places = vec![nowhere; sizes.len()];
    let apart = if level { GAP } else { LEAD };
    let mut x = MARGIN;
    for (number, column) in columns.iter().enumerate() {
        let wide = column.iter().map(|i| sizes[*i].0).fold(0.0, f64::max);
        let spare = tallest - height(column);
        let floats = !level && number + 1 == columns.len() && column.len() == 1;
        let mut y = MARGIN + if floats { spare / 2.0 } else { 0.0 };
        for (at, i) in column.iter().enumerate() {
            let last = at + 1 == column.len() && !floats;
            let h = sizes[*i].1 + if last { spare } else { 0.0 };
            places[*i] = Area { x, y, w: wide, h };
            y += h + GAP;
        }
        x += wide + apart;
    }
    (places, (x - apart + MARGIN, tallest + 2.0 * MARGIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagram(models: &[&str]) -> Diagram {
        let models: Vec<String> = models.iter().map(|m| (*m).to_owned()).collect();
        Diagram::new(&models).unwrap()
    }

    #[test]
    fn figure_1_and_2_as_pictures() {
        insta::assert_snapshot!("figure1", diagram(&["resnet50"]).svg(1000, Theme::Auto));
        let two = diagram(&["resnet50", "resnet50b", "resnet50c", "resnet50d"]);
        insta::assert_snapshot!("figure2", two.svg(1200, Theme::Light));
    }

    #[test]
    fn a_png_is_the_same_picture_in_its_size() {
        let figure = diagram(&["resnet50", "resnet50b"]);
        for theme in [Theme::Light, Theme::Dark] {
            let bytes = figure.png(1200, theme).unwrap();
            let decoder = ::png::Decoder::new(std::io::Cursor::new(bytes));
            let mut reader = decoder.read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            assert_eq!((info.width, info.height), figure.size(1200));
            let has = |pair| {
                let plotters::style::RGBColor(r, g, b) = theme.pick(pair);
                pixels.chunks(3).any(|p| p == [r, g, b])
            };
            assert!(has(super::super::theme::PANEL), "the ground");
            assert!(has(pen::LAYER) && has(pen::CHANGED), "boxes");
            assert!(has(pen::CHANGED_EDGE), "the edge of a changed step");
        }
    }

    #[test]
    fn the_description_says_what_the_picture_shows() {
        insta::assert_snapshot!("figure1_words", diagram(&["resnet50"]).description());
        insta::assert_snapshot!(
            "figure2_words",
            diagram(&["resnet50", "resnet50b", "resnet50c", "resnet50d"]).description()
        );
    }

    #[test]
    fn panels_stand_below_each_other_where_there_is_no_room_and_never_overlap() {
        for models in [
            &["resnet50"][..],
            &["resnet50", "resnet50b", "resnet50c", "resnet50d"],
            &["inception-v3"],
            &["mobilenet"],
        ] {
            let figure = diagram(models);
            let (wide, narrow) = (figure.size(4000), figure.size(340));
            assert!(
                narrow.0 <= wide.0 && narrow.1 >= wide.1,
                "{models:?}: {wide:?} {narrow:?}"
            );
            for width in [340, 4000] {
                let (_, places, size, _) = figure.arranged(width);
                for (i, a) in places.iter().enumerate() {
                    assert!(a.right() <= size.0 && a.bottom() <= size.1, "{models:?}");
                    for b in &places[i + 1..] {
                        let apart = a.right() < b.x
                            || b.right() < a.x
                            || a.bottom() < b.y
                            || b.bottom() < a.y;
                        assert!(apart, "{models:?}: {a:?} {b:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn themes_repaint_every_colour() {
        let figure = diagram(&["resnet50", "resnet50b"]);
        let light = figure.svg(1000, Theme::Light);
        let dark = figure.svg(1000, Theme::Dark);
        let colours = |svg: &str| -> std::collections::BTreeSet<String> {
            svg.split("=\"#")
                .skip(1)
                .map(|rest| rest[..6].to_owned())
                .collect()
        };
        assert!(colours(&light).is_disjoint(&colours(&dark)));
        let auto = figure.svg(1000, Theme::Auto);
        for colour in colours(&light) {
            assert!(
                auto.contains(&format!("[fill=\"#{colour}\"]{{fill")),
                "{colour} is not repainted"
            );
        }
    }
}
