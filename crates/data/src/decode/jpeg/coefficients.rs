//! Which coefficients has an image that comes in several scans: progressive, or a component after the other?
//!
//! All of them are kept until the last scan: 128 bytes a block. The header's check of the file's length
//! bounds that by 1,024 times the file.

use multiversion::multiversion;

use super::bits::{Bits, Data};
use super::header::{Component, Header, Scan, read_scan};
use super::huffman::{Symbols, Table};
use super::markers::{EOI, Reader, SOS, Tables};
use super::progressive::{self as pass, Band, Kind};
use super::scan::{self, Block, ORDER};
use super::{Needed, Plane, idct};

/// More scans than any encoder makes; each costs time even if it says nothing.
const MOST_SCANS: usize = 500;
/// Bytes of coefficients that are kept from image to image; more is given back.
const KEPT: usize = 32 << 20;

/// Reused from image to image.
#[derive(Debug, Default)]
pub struct Buffers {
    blocks: Vec<Block>,
    grids: Vec<Grid>,
    symbols: [Symbols; 4],
}

/// Blocks of one component.
#[derive(Debug, Clone)]
struct Grid {
    /// Its first one in the buffer.
    start: usize,
    /// Blocks across, up to a whole MCU.
    stride: usize,
    /// Blocks across and down that the image needs: those of a scan of this component alone.
    alone: [usize; 2],
    /// Blocks of an MCU, across and down.
    mcu: [usize; 2],
    /// The quantisation table that was there when its first scan began.
    quantiser: Option<[u16; 64]>,
    /// By place in zigzag order: bits that are missing still; `None`: all of them.
    missing: [Option<u32>; 64],
}

impl Buffers {
    /// Decodes all scans. Error: what is wrong, and where in the image.
    pub fn read(
        &mut self,
        bytes: &[u8],
        header: &Header,
        scratch: &mut scan::Buffers,
    ) -> Result<(), String> {
        self.shape(header);
        let mut tables = header.tables.clone();
        let mut scan = header.scan.clone();
        for number in 1.. {
            if number > MOST_SCANS {
                return Err(format!("it has more than {MOST_SCANS} scans"));
            }
            let rest = bytes.get(scan.data..).unwrap_or_default();
            let end = scan.data + scratch.data.fill(rest);
            self.scan(header, &scan, &tables, scratch)
                .map_err(|problem| format!("{problem} in scan {number}"))?;
            let mut reader = Reader::new(bytes, end);
            let next = loop {
                match reader.segment() {
                    Ok(segment) if segment.marker == EOI => break None,
                    Ok(segment) if segment.marker == SOS => break Some(segment),
                    Ok(segment) => tables.take(&segment)?,
                    // Nothing is missing but the end's marker.
                    Err(_) if self.complete() => break None,
                    Err(_) => {
                        let n = bytes.len();
                        return Err(format!("the file ends at byte {n}, before its last scan"));
                    }
                }
            };
            match next {
                Some(segment) => scan = read_scan(&segment, &header.components, reader.at())?,
                None => break,
            }
        }
        match self.grids.iter().position(|g| g.missing[0].is_none()) {
            Some(c) => Err(format!(
                "there is no scan of its component number {}",
                c + 1
            )),
            None => Ok(()),
        }
    }

    fn shape(&mut self, header: &Header) {
        let mcu = header.mcu();
        let mcus = [
            header.width.div_ceil(mcu[0]),
            header.height.div_ceil(mcu[1]),
        ];
        self.grids.clear();
        let mut start = 0;
        for component in &header.components {
            self.grids.push(Grid {
                start,
                stride: mcus[0] * component.blocks[0],
                alone: header.samples(component).map(|n| n.div_ceil(8)),
                mcu: component.blocks,
                quantiser: None,
                missing: [None; 64],
            });
            start += mcus[0] * component.blocks[0] * mcus[1] * component.blocks[1];
        }
        self.blocks.clear();
        self.blocks.resize(start, [0; 64]);
    }

    /// Whether every bit of every coefficient was told.
    fn complete(&self) -> bool {
        let mut grids = self.grids.iter();
        grids.all(|grid| grid.missing.iter().all(|bits| *bits == Some(0)))
    }

    fn scan(
        &mut self,
        header: &Header,
        scan: &Scan,
        tables: &Tables,
        scratch: &mut scan::Buffers,
    ) -> Result<(), String> {
        let kind = self.kind(header, scan)?;
        for (i, part) in scan.parts.iter().enumerate() {
            let grid = &mut self.grids[part.component];
            if grid.quantiser.is_none() {
                let number = header.components[part.component].quantiser;
                grid.quantiser = Some(*tables.quantiser(number)?);
            }
            match kind {
                None => {
                    let [dc, ac] = &mut scratch.tables[i];
                    dc.set(tables.code(part.codes[0], 0)?, false);
                    ac.set(tables.code(part.codes[1], 1)?, true);
                }
                Some(Kind::DcFirst) => {
                    self.symbols[i].set(tables.code(part.codes[0], 0)?);
                }
                Some(Kind::AcFirst | Kind::AcMore) => {
                    self.symbols[i].set(tables.code(part.codes[1], 1)?);
                }
                Some(Kind::DcMore) => {}
            }
        }
        let mcu = header.mcu();
        let parts: Vec<Grid> = (scan.parts.iter())
            .map(|part| {
                let grid = self.grids[part.component].clone();
                let mcu = if scan.parts.len() == 1 {
                    [1, 1]
                } else {
                    grid.mcu
                };
                Grid { mcu, ..grid }
            })
            .collect();
        let mcus = match &parts[..] {
            [alone] => alone.alone,
            _ => [
                header.width.div_ceil(mcu[0]),
                header.height.div_ceil(mcu[1]),
            ],
        };
        let walk = Walk {
            kind,
            band: Band {
                places: scan.places,
                shift: scan.bits[1],
            },
            parts: &parts,
            tables: &scratch.tables,
            symbols: &self.symbols,
        };
        walk.all(mcus, tables.restart, &scratch.data, &mut self.blocks)
    }

    /// What a scan gives; `None`: everything. Notes that it was given.
    fn kind(&mut self, header: &Header, scan: &Scan) -> Result<Option<Kind>, String> {
        let (places, kind, shift) = if header.progressive {
            let [first, last] = scan.places;
            let [high, low] = scan.bits;
            let sound = match first {
                0 => last == 0,
                _ => last >= first && last < 64 && scan.parts.len() == 1,
            };
            if !sound || low > 13 || high != 0 && high != low + 1 {
                return Err(format!(
                    "there are bits {high} to {low} of coefficients {first} to {last}, which cannot be,"
                ));
            }
            let kind = match (first, high) {
                (0, 0) => Kind::DcFirst,
                (0, _) => Kind::DcMore,
                (_, 0) => Kind::AcFirst,
                _ => Kind::AcMore,
            };
            (first..=last, Some(kind), low)
        } else {
            (0..=63, None, 0)
        };
        for part in &scan.parts {
            self.grids[part.component].missing[places.clone()].fill(Some(shift));
        }
        Ok(kind)
    }

    /// Turns the needed part of component `c` into samples.
    pub fn samples(
        &self,
        c: usize,
        component: &Component,
        needed: Needed,
        scratch: &mut scan::Buffers,
        plane: &mut Plane,
    ) {
        let (grid, [across, down]) = (&self.grids[c], component.blocks);
        let mut quantiser = [0; 64];
        for (place, value) in grid.quantiser.iter().flatten().enumerate() {
            quantiser[usize::from(ORDER[place])] = *value as i16;
        }
        let count = (needed.columns[1] - needed.columns[0]) * across;
        scratch.blocks.resize(count, [0; 64]);
        scratch.lasts.resize(count, 0);
        for row in needed.rows[0] * down..needed.rows[1] * down {
            let first = grid.start + row * grid.stride + needed.columns[0] * across;
            let from = &self.blocks[first..first + count];
            dequantise(from, &quantiser, &mut scratch.blocks, &mut scratch.lasts);
            let layout = [0, 1, 1, count];
            let row = row - needed.rows[0] * down;
            idct::line(&scratch.blocks, &scratch.lasts, layout, plane, row);
        }
    }

    /// Gives back what an unusually large image took.
    pub fn trim(&mut self) {
        if self.blocks.capacity() * size_of::<Block>() > KEPT {
            self.blocks = Vec::new();
        }
    }
}

/// `lasts`: 0 where only the first coefficient is not 0, otherwise 63.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn dequantise(from: &[Block], quantiser: &[i16; 64], into: &mut [Block], lasts: &mut [u8]) {
    for ((from, into), last) in from.iter().zip(into).zip(lasts) {
        let mut any = 0;
        for ((into, from), factor) in into.iter_mut().zip(from).zip(quantiser) {
            *into = from.wrapping_mul(*factor);
            any |= *from;
        }
        *last = if any == 0 || from[1..].iter().all(|c| *c == 0) {
            0
        } else {
            63
        };
    }
}

/// One scan's way through its blocks.
struct Walk<'a> {
    kind: Option<Kind>,
    band: Band,
    parts: &'a [Grid],
    tables: &'a [[Table; 2]; 4],
    symbols: &'a [Symbols; 4],
}

/// What blocks hand on to the next.
#[derive(Default)]
struct State {
    predicted: [i32; 4],
    /// Blocks in which nothing more comes.
    ended: u32,
}

impl Walk<'_> {
    fn all(
        &self,
        mcus: [usize; 2],
        restart: usize,
        data: &Data,
        blocks: &mut [Block],
    ) -> Result<(), String> {
        let restart = if restart == 0 { usize::MAX } else { restart };
        let (mut interval, mut left, mut state) = (0, restart, State::default());
        let mut bits = data.interval(0).ok_or("there is no image")?;
        for row in 0..mcus[1] {
            let mut at = 0;
            while at < mcus[0] {
                if left == 0 {
                    interval += 1;
                    bits = (data.interval(interval))
                        .ok_or_else(|| format!("the data ends in row {row} of its blocks"))?;
                    (state, left) = (State::default(), restart);
                }
                let end = mcus[0].min(at.saturating_add(left));
                let sound = run(self, &mut bits, row, [at, end], &mut state, blocks);
                if !sound || bits.overrun() {
                    let what = match bits.overrun() {
                        true => "the data ends",
                        false => "there is a code that stands for nothing",
                    };
                    return Err(format!("{what} in row {row} of its blocks"));
                }
                left -= end - at;
                at = end;
            }
        }
        Ok(())
    }

    /// One block, of the scan's component `part`.
    #[inline(always)]
    fn block(
        &self,
        bits: &mut Bits<'_>,
        part: usize,
        state: &mut State,
        block: &mut Block,
    ) -> Option<()> {
        let predicted = &mut state.predicted[part];
        let symbols = &self.symbols[part];
        match self.kind {
            None => {
                let [dc, ac] = &self.tables[part];
                let difference = scan::difference(bits, dc)?;
                *predicted = predicted.wrapping_add(difference);
                *block = [0; 64];
                block[0] = *predicted as i16;
                (scan::coefficients(bits, ac, &[1; 64], block) < 64).then_some(())
            }
            Some(Kind::DcFirst) => pass::dc_first(bits, symbols, self.band, predicted, block),
            Some(Kind::DcMore) => {
                pass::dc_more(bits, self.band, block);
                Some(())
            }
            Some(Kind::AcFirst) => {
                pass::ac_first(bits, symbols, self.band, &mut state.ended, block)
            }
            Some(Kind::AcMore) => pass::ac_more(bits, symbols, self.band, &mut state.ended, block),
        }
    }
}

/// Decodes the MCUs `range` of a row. False: a code that stands for nothing.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn run(
    walk: &Walk<'_>,
    bits: &mut Bits<'_>,
    row: usize,
    range: [usize; 2],
    state: &mut State,
    blocks: &mut [Block],
) -> bool {
    let mut here = *bits;
    let mut sound = true;
    'all: for mcu in range[0]..range[1] {
        for (i, part) in walk.parts.iter().enumerate() {
            let [across, down] = part.mcu;
            for y in 0..down {
                let first = part.start + (row * down + y) * part.stride + mcu * across;
                for block in &mut blocks[first..first + across] {
                    sound = walk.block(&mut here, i, state, block).is_some();
                    if !sound || here.overrun() {
                        break 'all;
                    }
                }
            }
        }
    }
    *bits = here;
    sound
}
