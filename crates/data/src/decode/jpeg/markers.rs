//! How a file is divided into segments, and the tables that some of them carry.

use super::huffman::Code;

/// Start of a scan.
pub const SOS: u8 = 0xda;
/// End of the image.
pub const EOI: u8 = 0xd9;

/// A position in a file.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What follows a marker.
pub struct Segment<'a> {
    /// The marker's second byte.
    pub marker: u8,
    /// Where the segment begins.
    pub begin: usize,
    /// Without its length; empty for [`EOI`].
    pub content: &'a [u8],
}

impl Segment<'_> {
    /// What is wrong with a segment that has less than it should.
    pub fn short(&self) -> String {
        format!("the segment at byte {} is too short", self.begin)
    }
}

impl<'a> Reader<'a> {
    /// From byte `at`, which may lie behind the end.
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Reader { bytes, at }
    }

    /// Where the next byte is.
    pub fn at(&self) -> usize {
        self.at
    }

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

    /// The next segment, or [`EOI`]. Error: the file ends.
    pub fn segment(&mut self) -> Result<Segment<'a>, String> {
        let mut marker = self.marker()?;
        // Without content: restart markers, TEM, another SOI.
        while matches!(marker, 0x01 | 0xd0..=0xd8) {
            marker = self.marker()?;
        }
        let begin = self.at;
        if marker == EOI {
            let content = &[];
            return Ok(Segment {
                marker,
                begin,
                content,
            });
        }
        let length = usize::from(u16::from_be_bytes([self.byte()?, self.byte()?]));
        if length < 2 {
            return Err(format!(
                "the segment at byte {} says it has {length} bytes",
                self.at - 4
            ));
        }
        let content = self.take(length - 2)?;
        Ok(Segment {
            marker,
            begin,
            content,
        })
    }
}

/// Tables that scans refer to by number.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// In zigzag order.
    quantisers: [Option<[u16; 64]>; 4],
    /// DC and AC.
    codes: [[Option<Code>; 2]; 4],
    /// MCUs between restart markers; 0 = none.
    pub restart: usize,
}

impl Tables {
    /// Takes over what a segment carries, if anything. Error: what is wrong.
    pub fn take(&mut self, segment: &Segment<'_>) -> Result<(), String> {
        let taken = match segment.marker {
            0xc4 => self.take_codes(segment.content),
            0xdb => self.take_quantisers(segment.content),
            0xdd => self.take_restart(segment.content),
            _ => Some(()),
        };
        taken.ok_or_else(|| segment.short())
    }

    fn take_codes(&mut self, mut rest: &[u8]) -> Option<()> {
        while let [first, tail @ ..] = rest {
            let (lengths, tail) = tail.split_first_chunk::<16>()?;
            let symbols = lengths.iter().map(|n| usize::from(*n)).sum();
            let (symbols, after) = tail.split_at_checked(symbols)?;
            let pair = self.codes.get_mut(usize::from(first & 15))?;
            *pair.get_mut(usize::from(first >> 4))? = Some(Code::new(*lengths, symbols)?);
            rest = after;
        }
        Some(())
    }

    fn take_quantisers(&mut self, mut rest: &[u8]) -> Option<()> {
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
            *self.quantisers.get_mut(usize::from(first & 15))? = Some(table);
            rest = after;
        }
        Some(())
    }

    fn take_restart(&mut self, content: &[u8]) -> Option<()> {
        let (interval, _) = content.split_first_chunk::<2>()?;
        self.restart = usize::from(u16::from_be_bytes(*interval));
        Some(())
    }

    /// Quantisation table `number`, in zigzag order. Error: there is none.
    pub fn quantiser(&self, number: usize) -> Result<&[u16; 64], String> {
        let table = self.quantisers.get(number).and_then(Option::as_ref);
        table.ok_or_else(|| {
            format!("its image needs quantisation table {number}, which the file does not have")
        })
    }

    /// Huffman code `number` of DC (`kind` 0) or AC (1) coefficients. Error: there is none.
    pub fn code(&self, number: usize, kind: usize) -> Result<&Code, String> {
        let code = self.codes.get(number).and_then(|pair| pair[kind].as_ref());
        code.ok_or_else(|| {
            let kind = ["DC", "AC"][kind];
            format!("its image needs {kind} Huffman table {number}, which the file does not have")
        })
    }
}
