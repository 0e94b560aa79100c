//! What the markers before the image say.

use super::huffman::Code;

/// How many chroma samples there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// No chroma.
    Grey,
    /// One a pixel (4:4:4).
    Full,
    /// One for two pixels of a line (4:2:2).
    HalfWidth,
    /// One for two by two pixels (4:2:0).
    Half,
}

/// A JPEG that [`super::decode`] takes.
#[derive(Debug, Clone)]
pub struct Header {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Chroma.
    pub sampling: Sampling,
    /// Whether the components are R, G and B themselves.
    pub rgb: bool,
    /// Per component, in zigzag order.
    pub quantisers: [[u16; 64]; 3],
    /// Per component: DC and AC.
    pub codes: [[Code; 2]; 3],
    /// MCUs between restart markers; 0 = none.
    pub restart: usize,
    /// Where the entropy-coded data begins.
    pub data: usize,
}

impl Header {
    /// One or three.
    pub fn components(&self) -> usize {
        match self.sampling {
            Sampling::Grey => 1,
            _ => 3,
        }
    }
}

/// What a file is.
pub enum Kind {
    /// One for us.
    Ours(Box<Header>),
    /// Some other JPEG of this width and height: progressive, CMYK, 12 bits, ...
    Other,
}

struct Component {
    id: u8,
    sampling: u8,
    quantiser: usize,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let part = self.bytes.get(self.at..self.at + n);
        self.at += n;
        part.ok_or_else(|| {
            format!(
                "the file ends at byte {} in the middle of its header",
                self.bytes.len()
            )
        })
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// The next marker's second byte.
    fn marker(&mut self) -> Result<u8, String> {
        // As libjpeg does: bytes that belong to no segment are passed over.
        loop {
            while self.byte()? != 0xff {}
            let mut code = 0xff;
            while code == 0xff {
                code = self.byte()?;
            }
            if code != 0 {
                return Ok(code);
            }
        }
    }

    /// Content of a segment.
    fn segment(&mut self) -> Result<&'a [u8], String> {
        let length = usize::from(u16::from_be_bytes([self.byte()?, self.byte()?]));
        if length < 2 {
            return Err(format!(
                "the segment at byte {} says it has {length} bytes",
                self.at - 4
            ));
        }
        self.take(length - 2)
    }
}

/// Reads up to the beginning of the entropy-coded data. Error: what is wrong.
pub fn read(bytes: &[u8]) -> Result<Kind, String> {
    let mut reader = Reader { bytes, at: 2 };
    let mut quantisers = [None; 4];
    let mut codes: [[Option<Code>; 2]; 4] = Default::default();
    let (mut jfif, mut adobe, mut restart) = (false, None, 0);
    let mut frame = None;
    loop {
        let marker = reader.marker()?;
        // Without a segment: restart markers, TEM, another SOI.
        if matches!(marker, 0x01 | 0xd0..=0xd8) {
            continue;
        }
        if marker == 0xd9 {
            return Err("the file ends before its image".to_owned());
        }
        let begin = reader.at;
        let segment = reader.segment()?;
        let short = || format!("the segment at byte {begin} is too short");
        match marker {
            0xc0 | 0xc1 => {
                let &[precision, h1, h0, w1, w0, n, ref rest @ ..] = segment else {
                    return Err(short());
                };
                let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
                let components: Vec<Component> = rest
                    .as_chunks::<3>()
                    .0
                    .iter()
                    .take(usize::from(n))
                    .map(|&[id, sampling, quantiser]| Component {
                        id,
                        sampling,
                        quantiser: usize::from(quantiser & 3),
                    })
                    .collect();
                if precision != 8 || width == 0 || height == 0 || components.len() != usize::from(n)
                {
                    return Ok(Kind::Other);
                }
                frame = Some((usize::from(width), usize::from(height), components));
            }
            // Progressive, lossless, arithmetic, hierarchical.
            0xc2..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcf => return Ok(Kind::Other),
            0xc4 => read_codes(segment, &mut codes).ok_or_else(short)?,
            0xdb => read_quantisers(segment, &mut quantisers).ok_or_else(short)?,
            0xdd => {
                restart = match segment {
                    &[high, low, ..] => usize::from(u16::from_be_bytes([high, low])),
                    _ => return Err(short()),
                }
            }
            0xe0 => jfif |= segment.starts_with(b"JFIF\0"),
            0xee if segment.len() >= 12 && segment.starts_with(b"Adobe") => {
                adobe = Some(segment[11])
            }
            0xda => {
                let Some((width, height, components)) = frame else {
                    return Err("the image begins before its size is told".to_owned());
                };
                let (Some(sampling), true) =
                    (sampling(&components), whole_scan(segment, &components))
                else {
                    return Ok(Kind::Other);
                };
                // The rules of libjpeg.
                let rgb = components.len() == 3
                    && match (jfif, adobe) {
                        (true, _) => false,
                        (_, Some(transform)) => transform == 0,
                        _ => components.iter().map(|c| c.id).eq(*b"RGB"),
                    };
                let mut header = Header {
                    width,
                    height,
                    sampling,
                    rgb,
                    quantisers: [[0; 64]; 3],
                    codes: Default::default(),
                    restart,
                    data: reader.at,
                };
                for (i, component) in components.iter().enumerate() {
                    let chosen = segment[2 + 2 * i];
                    let lack = |what| {
                        format!(
                            "component {} names {what} table that the file does not have",
                            component.id
                        )
                    };
                    header.quantisers[i] =
                        quantisers[component.quantiser].ok_or_else(|| lack("a quantisation"))?;
                    for (kind, slot) in [(0, chosen >> 4), (1, chosen & 15)] {
                        header.codes[i][kind] = codes
                            .get(usize::from(slot))
                            .and_then(|pair| pair[kind].clone())
                            .ok_or_else(|| lack("a Huffman"))?;
                    }
                }
                return Ok(Kind::Ours(Box::new(header)));
            }
            _ => {}
        }
    }
}

/// Width and height of any JPEG, from its frame header.
pub fn size(bytes: &[u8]) -> Option<[usize; 2]> {
    let mut reader = Reader { bytes, at: 2 };
    loop {
        let marker = reader.marker().ok()?;
        if matches!(marker, 0x01 | 0xd0..=0xd8) {
            continue;
        }
        let segment = reader.segment().ok()?;
        if matches!(marker, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf) {
            let &[_, h1, h0, w1, w0, ..] = segment else {
                return None;
            };
            return Some(
                [u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0])].map(usize::from),
            );
        }
    }
}

fn sampling(components: &[Component]) -> Option<Sampling> {
    match components {
        // Alone, a component is not interleaved, whatever its factors.
        [_] => Some(Sampling::Grey),
        [luma, rest @ ..] if rest.len() == 2 && rest.iter().all(|c| c.sampling == 0x11) => {
            match luma.sampling {
                0x11 => Some(Sampling::Full),
                0x21 => Some(Sampling::HalfWidth),
                0x22 => Some(Sampling::Half),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether a scan has all components in their order, and all of their coefficients.
fn whole_scan(segment: &[u8], components: &[Component]) -> bool {
    let n = components.len();
    segment.len() >= 4 + 2 * n
        && usize::from(segment[0]) == n
        && components
            .iter()
            .enumerate()
            .all(|(i, c)| segment[1 + 2 * i] == c.id)
        && segment[1 + 2 * n..4 + 2 * n] == [0, 63, 0]
}

fn read_quantisers(mut rest: &[u8], tables: &mut [Option<[u16; 64]>; 4]) -> Option<()> {
    while let [first, tail @ ..] = rest {
        let wide = first >> 4 != 0;
        let bytes = if wide { 128 } else { 64 };
        let (values, after) = tail.split_at_checked(bytes)?;
        let mut table = [0; 64];
        for (i, value) in table.iter_mut().enumerate() {
            *value = match wide {
                true => u16::from_be_bytes([values[2 * i], values[2 * i + 1]]),
                false => u16::from(values[i]),
            };
        }
        *tables.get_mut(usize::from(first & 15))? = Some(table);
        rest = after;
    }
    Some(())
}

fn read_codes(mut rest: &[u8], codes: &mut [[Option<Code>; 2]; 4]) -> Option<()> {
    while let [first, tail @ ..] = rest {
        let (lengths, tail) = tail.split_first_chunk::<16>()?;
        let symbols = lengths.iter().map(|n| usize::from(*n)).sum();
        let (symbols, after) = tail.split_at_checked(symbols)?;
        let pair = codes.get_mut(usize::from(first & 15))?;
        *pair.get_mut(usize::from(first >> 4))? = Some(Code::new(*lengths, symbols)?);
        rest = after;
    }
    Some(())
}
