//! What the markers before the image say.

use super::markers::{EOI, Reader, SOS, Segment, Tables};

/// A JPEG up to where its first scan begins.
#[derive(Debug, Clone)]
pub struct Header {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// One, three or four.
    pub components: Vec<Component>,
    /// What the components are.
    pub colour: Colour,
    /// Whether coefficients come bit by bit.
    pub progressive: bool,
    /// As they are before the first scan.
    pub tables: Tables,
    /// The first scan.
    pub scan: Scan,
}

/// One of the planes that an image is made of.
#[derive(Debug, Clone)]
pub struct Component {
    id: u8,
    /// Blocks of it in an MCU (minimum coded unit), across and down.
    pub blocks: [usize; 2],
    /// Pixels of a sample, across and down.
    pub share: [usize; 2],
    /// Number of its quantisation table.
    pub quantiser: usize,
}

/// What the components are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Grey.
    Grey,
    /// R, G, B.
    Rgb,
    /// Y, Cb, Cr.
    Ycc,
    /// Cyan, magenta, yellow, black; 255 is no ink, as Adobe has it.
    Cmyk,
    /// As `Cmyk`, the first three as Y, Cb, Cr.
    Ycck,
}

/// What the header of a scan says.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Its components.
    pub parts: Vec<Part>,
    /// First and last place in zigzag order; progressive only.
    pub places: [usize; 2],
    /// Bits below those that earlier scans gave, and below those that it gives; progressive only.
    pub bits: [u32; 2],
    /// Where its entropy-coded data begin.
    pub data: usize,
}

/// A component in a scan.
#[derive(Debug, Clone)]
pub struct Part {
    /// Which one of the image's.
    pub component: usize,
    /// Numbers of its DC and AC codes.
    pub codes: [usize; 2],
}

impl Header {
    /// Pixels of an MCU, across and down.
    pub fn mcu(&self) -> [usize; 2] {
        let Component { blocks, share, .. } = &self.components[0];
        [0, 1].map(|axis| 8 * blocks[axis] * share[axis])
    }

    /// Samples of a component that lie in the image, across and down.
    pub fn samples(&self, component: &Component) -> [usize; 2] {
        [
            self.width.div_ceil(component.share[0]),
            self.height.div_ceil(component.share[1]),
        ]
    }

    /// Whether the first scan gives everything.
    pub fn one_scan(&self) -> bool {
        !self.progressive
            && self.scan.parts.len() == self.components.len()
            && (self.scan.parts.iter().enumerate()).all(|(i, part)| part.component == i)
    }

    /// Every block takes a bit at least. This bounds memory by the file's length, whatever a damaged
    /// or hostile header says.
    fn check_length(&self, bytes: usize) -> Result<(), String> {
        let blocks: usize = (self.components.iter().map(|c| self.samples(c)))
            .map(|[width, height]| width.div_ceil(8) * height.div_ceil(8))
            .sum();
        if blocks.div_ceil(8) <= bytes {
            return Ok(());
        }
        Err(format!(
            "it says it has {} x {} pixels, more than its {bytes} bytes can hold",
            self.width, self.height
        ))
    }
}

/// Reads up to the beginning of the first scan's entropy-coded data. Error: what is wrong.
pub fn read(bytes: &[u8]) -> Result<Header, String> {
    let mut reader = Reader::new(bytes, 2);
    let mut tables = Tables::default();
    let (mut jfif, mut adobe) = (false, None);
    let mut frame = None;
    loop {
        let segment = reader.segment()?;
        let content = segment.content;
        match segment.marker {
            EOI => return Err("the file ends before its image".to_owned()),
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcf if frame.is_some() => {
                return Err("its size is told twice".to_owned());
            }
            0xc0..=0xc2 => frame = Some(read_frame(&segment)?),
            0xc3 => return Err(other("lossless")),
            0xc9 | 0xca => return Err(other("arithmetically coded")),
            0xc5..=0xc7 | 0xcb | 0xcd..=0xcf => return Err(other("hierarchical or lossless")),
            0xe0 => jfif |= content.starts_with(b"JFIF\0"),
            0xee if content.len() >= 12 && content.starts_with(b"Adobe") => {
                adobe = Some(content[11])
            }
            SOS => {
                let Some(([width, height], components, progressive)) = frame else {
                    return Err("the image begins before its size is told".to_owned());
                };
                let header = Header {
                    width,
                    height,
                    colour: colour(&components, jfif, adobe),
                    scan: read_scan(&segment, &components, reader.at())?,
                    components,
                    progressive,
                    tables,
                };
                header.check_length(bytes.len())?;
                return Ok(header);
            }
            _ => tables.take(&segment)?,
        }
    }
}

fn other(kind: &str) -> String {
    format!("it is a {kind} JPEG, which is not read here: save it again as an ordinary one")
}

/// Width and height, components, and whether the image is progressive.
type Frame = ([usize; 2], Vec<Component>, bool);

fn read_frame(segment: &Segment<'_>) -> Result<Frame, String> {
    let &[precision, h1, h0, w1, w0, n, ref rest @ ..] = segment.content else {
        return Err(segment.short());
    };
    let size = [u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0])].map(usize::from);
    if precision != 8 {
        return Err(other(&format!("{precision}-bit")));
    }
    if size.contains(&0) {
        return Err(format!("its size is {} x {}", size[0], size[1]));
    }
    let n = usize::from(n);
    let (Some(rest), 1 | 3 | 4) = (rest.as_chunks::<3>().0.get(..n), n) else {
        return Err(format!(
            "it has {n} components, where images have one, three or four"
        ));
    };
    let factors = |sampling: u8| [sampling >> 4, sampling & 15].map(usize::from);
    let most = (rest.iter().map(|c| factors(c[1])))
        .reduce(|a, b| [a[0].max(b[0]), a[1].max(b[1])])
        .unwrap_or_default();
    let mut components = Vec::with_capacity(n);
    for &[id, sampling, quantiser] in rest {
        // Alone, a component is not interleaved, whatever its factors.
        let blocks = if n == 1 { [1, 1] } else { factors(sampling) };
        let most = if n == 1 { [1, 1] } else { most };
        let sound = |axis: usize| {
            (1..=4).contains(&blocks[axis]) && most[axis].is_multiple_of(blocks[axis])
        };
        if !sound(0) || !sound(1) {
            return Err(format!(
                "component {id} has {} x {} samples where the largest has {} x {}, which is not read here",
                blocks[0], blocks[1], most[0], most[1]
            ));
        }
        components.push(Component {
            id,
            blocks,
            share: [most[0] / blocks[0], most[1] / blocks[1]],
            quantiser: usize::from(quantiser),
        });
    }
    Ok((size, components, segment.marker == 0xc2))
}

/// The rules of libjpeg.
fn colour(components: &[Component], jfif: bool, adobe: Option<u8>) -> Colour {
    match (components.len(), jfif, adobe) {
        (1, ..) => Colour::Grey,
        (3, true, _) => Colour::Ycc,
        (3, _, Some(0)) => Colour::Rgb,
        (3, _, None) if components.iter().map(|c| c.id).eq(*b"RGB") => Colour::Rgb,
        (3, ..) => Colour::Ycc,
        (_, _, None | Some(0)) => Colour::Cmyk,
        _ => Colour::Ycck,
    }
}

/// A scan of an image of these components, whose data begin at byte `data`. Error: what is wrong.
pub fn read_scan(
    segment: &Segment<'_>,
    components: &[Component],
    data: usize,
) -> Result<Scan, String> {
    let (n, rest) = segment
        .content
        .split_first()
        .ok_or_else(|| segment.short())?;
    let n = usize::from(*n);
    let (choices, rest) = (rest.split_at_checked(2 * n)).ok_or_else(|| segment.short())?;
    let &[first, last, bits, ..] = rest else {
        return Err(segment.short());
    };
    let mut parts: Vec<Part> = Vec::with_capacity(n);
    for &[id, codes] in choices.as_chunks::<2>().0 {
        let new = |i: &usize| components[*i].id == id && parts.iter().all(|p| p.component != *i);
        let Some(component) = (0..components.len()).find(new) else {
            return Err(format!(
                "the scan at byte {data} has a component {id} that the image does not have, or has it twice"
            ));
        };
        parts.push(Part {
            component,
            codes: [codes >> 4, codes & 15].map(usize::from),
        });
    }
    let blocks: usize = (parts.iter())
        .map(|p| components[p.component].blocks.iter().product::<usize>())
        .sum();
    if n == 0 || n > 1 && blocks > 10 {
        return Err(format!(
            "the scan at byte {data} has {n} components of {blocks} blocks, where 1 to 10 are allowed"
        ));
    }
    Ok(Scan {
        parts,
        places: [first, last].map(usize::from),
        bits: [bits >> 4, bits & 15].map(u32::from),
        data,
    })
}
