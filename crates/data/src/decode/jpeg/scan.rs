//! Which coefficients has a row of blocks, where one scan gives all of them?

use multiversion::multiversion;

use super::Needed;
use super::bits::{Bits, Data};
use super::header::Header;
use super::huffman::{self, END, LONGER, LOOK, Table};

/// Coefficients times their quantisers, in natural order.
pub type Block = [i16; 64];

/// Position in a block of the coefficient at each place of the zigzag order.
#[rustfmt::skip]
pub const ORDER: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Reused from image to image.
#[derive(Debug, Default)]
pub struct Buffers {
    pub data: Data,
    /// DC and AC, of each component.
    pub tables: [[Table; 2]; 4],
    /// Of a row.
    pub blocks: Vec<Block>,
    /// Of each block, the last place in zigzag order that is not 0.
    pub lasts: Vec<u8>,
}

/// What is the same for all rows.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Component of each block of an MCU.
    components: [u8; 10],
    /// Blocks of an MCU.
    blocks: usize,
    /// MCUs whose coefficients are wanted.
    wanted: [usize; 2],
    quantisers: [[u16; 64]; 4],
}

/// Entropy decoding of one image, a row of MCUs at a time.
pub struct Rows<'a> {
    plan: Plan,
    needed: Needed,
    restart: usize,
    mcus: usize,
    data: &'a Data,
    tables: &'a [[Table; 2]; 4],
    blocks: &'a mut Vec<Block>,
    lasts: &'a mut Vec<u8>,
    bits: Bits<'a>,
    interval: usize,
    /// MCUs to the next restart marker.
    left: usize,
    predicted: [i32; 4],
    row: usize,
}

impl<'a> Rows<'a> {
    /// Error: what is wrong.
    pub fn start(
        bytes: &[u8],
        header: &Header,
        needed: Needed,
        buffers: &'a mut Buffers,
    ) -> Result<Self, String> {
        let Buffers {
            data,
            tables,
            blocks,
            lasts,
        } = buffers;
        data.fill(bytes.get(header.scan.data..).unwrap_or_default());
        let mut plan = Plan {
            components: [0; 10],
            blocks: 0,
            wanted: needed.columns,
            quantisers: [[0; 64]; 4],
        };
        for (c, (component, part)) in header.components.iter().zip(&header.scan.parts).enumerate() {
            plan.quantisers[c] = *header.tables.quantiser(component.quantiser)?;
            let [dc, ac] = &mut tables[c];
            dc.set(header.tables.code(part.codes[0], 0)?, false);
            ac.set(header.tables.code(part.codes[1], 1)?, true);
            let more = plan.blocks + component.blocks[0] * component.blocks[1];
            plan.components[plan.blocks..more].fill(c as u8);
            plan.blocks = more;
        }
        let count = (needed.columns[1] - needed.columns[0]) * plan.blocks;
        blocks.resize(count, [0; 64]);
        lasts.resize(count, 0);
        let bits = data.interval(0).ok_or("there is no image")?;
        let restart = header.tables.restart;
        Ok(Rows {
            plan,
            needed,
            restart,
            mcus: header.width.div_ceil(header.mcu()[0]),
            data,
            tables,
            blocks,
            lasts,
            bits,
            interval: 0,
            left: if restart == 0 { usize::MAX } else { restart },
            predicted: [0; 4],
            row: 0,
        })
    }

    /// Decodes the next row of MCUs; whether it is a wanted one. Error: what is wrong, and where.
    pub fn next(&mut self) -> Result<bool, String> {
        let wanted = self.row >= self.needed.rows[0];
        let plan = if wanted {
            self.plan
        } else {
            Plan {
                wanted: [0, 0],
                ..self.plan
            }
        };
        let mut at = 0;
        while at < self.mcus {
            if self.left == 0 {
                self.interval += 1;
                self.bits = self
                    .data
                    .interval(self.interval)
                    .ok_or_else(|| format!("the data ends in row {} of its blocks", self.row))?;
                self.predicted = [0; 4];
                self.left = self.restart;
            }
            let end = self.mcus.min(at.saturating_add(self.left));
            let sound = run(
                &mut self.bits,
                [at, end],
                &plan,
                self.tables,
                &mut self.predicted,
                self.blocks,
                self.lasts,
            );
            if !sound || self.bits.overrun() {
                let what = if self.bits.overrun() {
                    "the data ends"
                } else {
                    "there is a code that stands for nothing"
                };
                return Err(format!("{what} in row {} of its blocks", self.row));
            }
            self.left -= end - at;
            at = end;
        }
        self.row += 1;
        Ok(wanted)
    }

    /// Blocks of the row's wanted MCUs.
    pub fn blocks(&self) -> &[Block] {
        self.blocks
    }

    /// The last place in zigzag order that is not 0, of each block.
    pub fn lasts(&self) -> &[u8] {
        self.lasts
    }
}

/// Decodes the MCUs `range` of a row. False: a code that stands for nothing.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn run(
    bits: &mut Bits<'_>,
    range: [usize; 2],
    plan: &Plan,
    tables: &[[Table; 2]; 4],
    predicted: &mut [i32; 4],
    blocks: &mut [Block],
    lasts: &mut [u8],
) -> bool {
    let mut here = *bits;
    let mut sound = true;
    for mcu in range[0]..range[1] {
        let wanted = mcu >= plan.wanted[0] && mcu < plan.wanted[1];
        let first = mcu.wrapping_sub(plan.wanted[0]).wrapping_mul(plan.blocks);
        for (i, component) in plan.components.iter().enumerate().take(plan.blocks) {
            let c = usize::from(*component);
            let [dc, ac] = &tables[c];
            let Some(difference) = difference(&mut here, dc) else {
                *bits = here;
                return false;
            };
            predicted[c] = predicted[c].wrapping_add(difference);
            if wanted {
                let quantisers = &plan.quantisers[c];
                let block = &mut blocks[first + i];
                *block = [0; 64];
                block[0] = (predicted[c] as i16).wrapping_mul(quantisers[0] as i16);
                let last = coefficients(&mut here, ac, quantisers, block);
                lasts[first + i] = last.min(63) as u8;
                sound &= last < 64;
            } else {
                sound &= pass(&mut here, ac);
            }
        }
        if !sound || here.overrun() {
            break;
        }
    }
    *bits = here;
    sound
}

/// The number of a DC code.
#[inline(always)]
pub fn difference(bits: &mut Bits<'_>, table: &Table) -> Option<i32> {
    bits.refill();
    let mut entry = table.entry(bits.peek(LOOK));
    if entry.complete() {
        bits.drop(entry.length());
        return Some(entry.number());
    }
    if entry.longer() {
        entry = table.long(bits.peek(16) as u32)?;
    }
    bits.drop(entry.length());
    Some(number(bits, entry.number() as u32))
}

/// A number of `size` bits, 0..=15.
#[inline(always)]
pub fn number(bits: &mut Bits<'_>, size: u32) -> i32 {
    if size == 0 {
        return 0;
    }
    let number = huffman::extend(bits.peek(size) as u32, size);
    bits.drop(size);
    number
}

/// The AC coefficients of a block. The last place that is not 0; 64: more than a block has, or a code
/// that stands for nothing.
#[inline(always)]
pub fn coefficients(
    bits: &mut Bits<'_>,
    table: &Table,
    quantisers: &[u16; 64],
    block: &mut Block,
) -> u32 {
    let mut place = 0;
    loop {
        bits.refill();
        // Complete entries have at most 11 bits: five of them fit into what is there.
        let mut entry = LONGER;
        for _ in 0..5 {
            entry = table.entry(bits.peek(LOOK));
            if !entry.complete() {
                break;
            }
            bits.drop(entry.length());
            let next = place + entry.advance();
            if next < 63 {
                place = next;
                store(block, quantisers, place, entry.number());
            } else {
                return finish(block, quantisers, place, next, entry.number());
            }
        }
        if entry.complete() {
            continue;
        }
        bits.refill();
        if entry.longer() {
            match table.long(bits.peek(16) as u32) {
                Some(long) => entry = long,
                None => return 64,
            }
        }
        bits.drop(entry.length());
        let value = number(bits, entry.number() as u32);
        let next = place + entry.advance();
        if next >= 63 {
            return finish(block, quantisers, place, next, value);
        }
        place = next;
        store(block, quantisers, place, value);
    }
}

#[inline(always)]
fn store(block: &mut Block, quantisers: &[u16; 64], place: u32, value: i32) {
    let at = usize::from(ORDER[place as usize & 63]) & 63;
    block[at] = (value as i16).wrapping_mul(quantisers[place as usize & 63] as i16);
}

/// What [`coefficients`] gives when `next` is the end of the block.
#[inline(always)]
fn finish(block: &mut Block, quantisers: &[u16; 64], place: u32, next: u32, value: i32) -> u32 {
    match next {
        63 => {
            store(block, quantisers, 63, value);
            63
        }
        END.. => place,
        _ => 64,
    }
}

/// Passes over the AC coefficients of a block. False: as above.
#[inline(always)]
fn pass(bits: &mut Bits<'_>, table: &Table) -> bool {
    let mut place = 0;
    while place < 63 {
        bits.refill();
        let window = bits.peek(LOOK);
        let skip = table.skip(window);
        if skip.length() != 0 && place + skip.advance() <= 62 {
            bits.drop(skip.length());
            place += skip.advance();
            if skip.ends() {
                return true;
            }
            continue;
        }
        // Near the end of a block, or a long code: one symbol.
        let mut entry = table.entry(window);
        if entry.longer() {
            match table.long(bits.peek(16) as u32) {
                Some(long) => entry = long,
                None => return false,
            }
        }
        bits.drop(entry.length());
        if !entry.complete() {
            bits.drop(entry.number() as u32);
        }
        let next = place + entry.advance();
        if next > 63 {
            return next >= END;
        }
        place = next;
    }
    true
}
