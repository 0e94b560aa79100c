//! One panel of a diagram: how large is it, and how is it drawn?

use super::super::theme::{INK, MUTE, PANEL};
use super::parts::{Block, Step};
use super::pen::{
    Area, At, CHANGED, CHANGED_EDGE, CHANGED_INK, FRAME, LAYER, LAYER_EDGE, POOL, Paint, Pen, SOFT,
};

/// How wide boxes are, and what their first line holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    /// Width of a box.
    box_width: f64,
    /// Between paths.
    between: f64,
    /// The stride stands in the second line: two paths fit a telephone.
    stride_below: bool,
}

impl Look {
    pub(super) const WIDE: Look = Look {
        box_width: 194.0,
        between: 16.0,
        stride_below: false,
    };
    pub(super) const NARROW: Look = Look {
        box_width: 144.0,
        between: 10.0,
        stride_below: true,
    };
}
/// Width of a box of an outline.
const OUTLINE: f64 = 194.0;
/// Between boxes that stand below each other: room for an arrow.
const GAP: f64 = 20.0;
const PAD: f64 = 16.0;
/// Input and output of a block.
const PILL: (f64, f64) = (76.0, 24.0);
const RADIUS: f64 = 10.0;

/// A box of an outline.
pub(super) struct Entry {
    pub title: String,
    pub small: String,
}

/// What a panel shows.
pub(super) enum Content {
    /// Boxes below each other.
    Outline(Vec<Entry>),
    /// A block with its paths.
    Block(Block),
}

/// A panel with its heading.
pub(super) struct Panel {
    pub title: String,
    /// Under the heading.
    pub lines: Vec<String>,
    pub content: Content,
    /// Box of another panel that this one shows enlarged: (panel, box).
    pub of: Option<(usize, usize)>,
}

impl Panel {
    fn head(&self) -> f64 {
        PAD + 22.0 + 17.0 * self.lines.len() as f64 + 10.0
    }

    pub(super) fn size(&self, look: Look) -> (f64, f64) {
        let (w, h) = match &self.content {
            Content::Outline(entries) => (
                OUTLINE,
                stack(entries.iter().map(|_| 46.0)) + 2.0 * (PILL.1 + GAP),
            ),
            Content::Block(block) => {
                let paths = block.paths.len() as f64;
                let label = if block.paths.len() > 1 { 16.0 } else { 0.0 };
                let tallest = block
                    .paths
                    .iter()
                    .map(|p| stack(p.iter().map(|s| height(s, look))))
                    .fold(0.0, f64::max);
                let join = if block.join.is_some() {
                    GAP + 2.0 * RADIUS + GAP
                } else {
                    GAP
                };
                let branch = if block.paths.len() > 1 {
                    2.0 * GAP - 6.0
                } else {
                    GAP
                };
                let notes = 32.0 * block.instead_of.len() as f64;
                let notes = if notes > 0.0 { notes + 8.0 } else { 0.0 };
                let height = 2.0 * PILL.1 + branch + label + tallest + join + notes;
                (
                    paths * look.box_width + (paths - 1.0) * look.between,
                    height,
                )
            }
        };
        let widest = self
            .lines
            .iter()
            .chain([&self.title])
            .map(|t| 6.6 * t.chars().count() as f64);
        (
            w.max(widest.fold(0.0, f64::max)) + 2.0 * PAD,
            self.head() + h + PAD,
        )
    }

    /// Draws it; returns its boxes, of an outline in its order.
    pub(super) fn draw(&self, pen: &mut Pen, at: Area, look: Look) -> Vec<Area> {
        pen.rect(at, FRAME);
        pen.text(
            &self.title,
            (at.x + PAD, at.y + PAD + 14.0),
            At::Left,
            15.0,
            INK,
            true,
        );
        for (i, line) in self.lines.iter().enumerate() {
            pen.text(
                line,
                (at.x + PAD, at.y + PAD + 34.0 + 17.0 * i as f64),
                At::Left,
                12.0,
                MUTE,
                false,
            );
        }
        let top = at.y + self.head();
        match &self.content {
            Content::Outline(entries) => outline(pen, entries, (at.middle(), top)),
            Content::Block(block) => {
                paths(pen, block, at, top, look);
                Vec::new()
            }
        }
    }
}

/// Height of boxes below each other.
fn stack(heights: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = heights.fold((0.0, 0), |(sum, n), h| (sum + h, n + 1));
    sum + GAP * f64::from((count - 1).max(0))
}

/// The lines of a step's box: what it is, and what comes with it.
fn lines(step: &Step, look: Look) -> (String, String) {
    let text = step.text();
    let mut then: Vec<String> = step.then.iter().map(|t| (*t).to_owned()).collect();
    if look.stride_below
        && let Some(stride) = step.stride_text()
    {
        let stride = format!("stride {stride}");
        let head = text.strip_suffix(&format!(", {stride}")).unwrap_or(&text);
        then.insert(0, stride);
        return (head.to_owned(), then.join(", "));
    }
    (text, then.join(", "))
}

fn height(step: &Step, look: Look) -> f64 {
    let more = [!lines(step, look).1.is_empty(), step.change.is_some()];
    30.0 + 16.0 * more.iter().filter(|l| **l).count() as f64
}

fn pill(pen: &mut Pen, text: &str, (x, y): (f64, f64)) {
    let at = Area {
        x: x - PILL.0 / 2.0,
        y,
        w: PILL.0,
        h: PILL.1,
    };
    pen.rect(
        at,
        Paint {
            fill: PANEL,
            edge: MUTE,
            line: 1.0,
            radius: PILL.1 / 2.0,
            dashed: false,
        },
    );
    pen.text(text, (x, y + 16.0), At::Middle, 12.0, INK, false);
}

fn outline(pen: &mut Pen, entries: &[Entry], (middle, top): (f64, f64)) -> Vec<Area> {
    let paint = Paint {
        fill: LAYER,
        edge: LAYER_EDGE,
        line: 1.25,
        radius: 7.0,
        dashed: false,
    };
    let mut boxes = Vec::new();
    pill(pen, "Input", (middle, top));
    let mut y = top + PILL.1;
    for entry in entries {
        pen.arrow(&[(middle, y), (middle, y + GAP)]);
        let at = Area {
            x: middle - OUTLINE / 2.0,
            y: y + GAP,
            w: OUTLINE,
            h: 46.0,
        };
        pen.rect(at, paint);
        pen.text(
            &entry.title,
            (middle, at.y + 19.0),
            At::Middle,
            13.5,
            INK,
            true,
        );
        pen.text(
            &entry.small,
            (middle, at.y + 36.0),
            At::Middle,
            12.0,
            SOFT,
            false,
        );
        y = at.bottom();
        boxes.push(at);
    }
    pen.arrow(&[(middle, y), (middle, y + GAP)]);
    pill(pen, "Output", (middle, y + GAP));
    boxes
}

fn step(pen: &mut Pen, step: &Step, at: Area, look: Look) {
    let weighted = matches!(step.kind, "conv" | "linear");
    let paint = match (&step.change, weighted) {
        (Some(_), _) => Paint {
            fill: CHANGED,
            edge: CHANGED_EDGE,
            line: 2.5,
            radius: 7.0,
            dashed: false,
        },
        (None, true) => Paint {
            fill: LAYER,
            edge: LAYER_EDGE,
            line: 1.25,
            radius: 7.0,
            dashed: false,
        },
        (None, false) => Paint {
            fill: POOL,
            edge: MUTE,
            line: 1.25,
            radius: 7.0,
            dashed: false,
        },
    };
    pen.rect(at, paint);
    let mut y = at.y + 20.0;
    let (first, second) = lines(step, look);
    pen.text(&first, (at.middle(), y), At::Middle, 13.0, INK, false);
    if !second.is_empty() {
        y += 16.0;
        pen.text(&second, (at.middle(), y), At::Middle, 12.0, SOFT, false);
    }
    if let Some(change) = &step.change {
        y += 16.0;
        pen.text(
            change,
            (at.middle(), y),
            At::Middle,
            12.0,
            CHANGED_INK,
            true,
        );
    }
}

/// `Path A`, `Path B`, ...
fn path_name(index: usize) -> String {
    let letter = char::from(b'A' + (index % 26) as u8);
    format!("Path {letter}")
}

fn paths(pen: &mut Pen, block: &Block, frame: Area, top: f64, look: Look) {
    let count = block.paths.len();
    let wide = count as f64 * look.box_width + (count as f64 - 1.0) * look.between;
    let (middle, first) = (frame.middle(), frame.middle() - wide / 2.0);
    pill(pen, "Input", (middle, top));
    let mut y = top + PILL.1;
    let tallest = block
        .paths
        .iter()
        .map(|p| stack(p.iter().map(|s| height(s, look))))
        .fold(0.0, f64::max);
    let fork = y + GAP - 6.0;
    let label = if count > 1 { 16.0 } else { 0.0 };
    let begin = if count > 1 {
        fork + GAP + label
    } else {
        y + GAP
    };
    if count > 1 {
        pen.line(&[(middle, y), (middle, fork)], false);
    }
    let end = begin + tallest;
    let join_at = end + GAP + RADIUS;
    for (index, path) in block.paths.iter().enumerate() {
        let x = first + index as f64 * (look.box_width + look.between) + look.box_width / 2.0;
        let lead = if count > 1 {
            vec![(middle, fork), (x, fork)]
        } else {
            vec![(x, y)]
        };
        if count > 1 {
            let name = path_name(index);
            let text = if path.is_empty() {
                format!("{name}: as it is")
            } else {
                name
            };
            pen.text(&text, (x + 8.0, begin - 7.0), At::Left, 12.0, MUTE, false);
        }
        // A shorter path stands in the middle of the longest.
        let own = stack(path.iter().map(|s| height(s, look)));
        let mut from = lead;
        let mut at_y = begin
            + if path.is_empty() {
                0.0
            } else {
                (tallest - own) / 2.0
            };
        for each in path {
            from.push((x, at_y));
            pen.arrow(&from);
            let area = Area {
                x: x - look.box_width / 2.0,
                y: at_y,
                w: look.box_width,
                h: height(each, look),
            };
            step(pen, each, area, look);
            from = vec![(x, area.bottom())];
            at_y = area.bottom() + GAP;
        }
        if block.join.is_some() {
            let side = (middle - x).signum();
            from.push((x, join_at));
            if side != 0.0 {
                from.push((middle - side * RADIUS, join_at));
            }
            pen.arrow(&from);
        } else {
            from.push((x, end + GAP));
            pen.arrow(&from);
        }
    }
    y = end + GAP;
    if let Some(join) = block.join {
        if join == "sum" {
            pen.plus((middle, join_at), RADIUS);
        } else {
            pen.plus((middle, join_at), RADIUS);
            pen.text(
                join,
                (middle + RADIUS + 6.0, join_at + 18.0),
                At::Left,
                12.0,
                MUTE,
                false,
            );
        }
        let below = join_at + RADIUS;
        pen.arrow(&[(middle, below), (middle, below + GAP)]);
        if !block.then.is_empty() {
            let then = block.then.join(", ");
            pen.text(
                &then,
                (middle + 8.0, below + GAP / 2.0 + 4.0),
                At::Left,
                12.0,
                MUTE,
                false,
            );
        }
        y = below + GAP;
    }
    pill(pen, "Output", (middle, y));
    y += PILL.1 + 8.0;
    for gone in &block.instead_of {
        for (text, bold) in [("instead of", false), (gone.as_str(), true)] {
            y += 16.0;
            pen.text(text, (middle, y), At::Middle, 12.0, CHANGED_INK, bold);
        }
    }
}
