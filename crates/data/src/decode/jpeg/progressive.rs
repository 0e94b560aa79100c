//! What does one scan of a progressive JPEG add to a block? ISO/IEC 10918-1, G.1 and G.2. Coefficients come
//! in bands of the zigzag order, and the bits of each in several scans, the upper ones first.

use super::bits::Bits;
use super::huffman::Symbols;
use super::scan::{Block, ORDER, number};

/// What a scan gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The upper bits of the DC coefficient.
    DcFirst,
    /// One more bit of it.
    DcMore,
    /// The upper bits of some AC coefficients.
    AcFirst,
    /// One more bit of them.
    AcMore,
}

/// Which coefficients, and which bits of them.
#[derive(Debug, Clone, Copy)]
pub struct Band {
    /// First and last place in zigzag order.
    pub places: [usize; 2],
    /// Bits below those that the scan gives.
    pub shift: u32,
}

/// A coefficient of this place.
#[inline(always)]
fn at(block: &mut Block, place: usize) -> &mut i16 {
    &mut block[usize::from(ORDER[place & 63]) & 63]
}

/// The upper bits of a DC coefficient, whose difference to `predicted` is told. `None`: a code that
/// stands for nothing.
#[inline(always)]
pub fn dc_first(
    bits: &mut Bits<'_>,
    symbols: &Symbols,
    band: Band,
    predicted: &mut i32,
    block: &mut Block,
) -> Option<()> {
    bits.refill();
    let size = symbols.next(bits).filter(|size| *size < 16)?;
    *predicted = predicted.wrapping_add(number(bits, u32::from(size)));
    block[0] = (*predicted << band.shift) as i16;
    Some(())
}

/// The next bit of a DC coefficient.
#[inline(always)]
pub fn dc_more(bits: &mut Bits<'_>, band: Band, block: &mut Block) {
    block[0] |= i16::from(bits.bit()) << band.shift;
}

/// The upper bits of a band. `blocks`: in how many, this one included, nothing more comes; read and
/// counted down here. `None`: as above.
#[inline(always)]
pub fn ac_first(
    bits: &mut Bits<'_>,
    symbols: &Symbols,
    band: Band,
    blocks: &mut u32,
    block: &mut Block,
) -> Option<()> {
    let [mut place, last] = band.places;
    while *blocks == 0 && place <= last {
        bits.refill();
        let symbol = symbols.next(bits)?;
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        match (run, size) {
            (15, 0) => place += 16,
            (_, 0) => *blocks = end(bits, run as u32),
            _ => {
                place += run;
                if place > last {
                    return None;
                }
                *at(block, place) = (number(bits, size) << band.shift) as i16;
                place += 1;
            }
        }
    }
    *blocks = blocks.saturating_sub(1);
    Some(())
}

/// One more bit of a band: of those coefficients that have bits already, and new ones of 1 and -1. Arguments
/// as of [`ac_first`].
#[inline(always)]
pub fn ac_more(
    bits: &mut Bits<'_>,
    symbols: &Symbols,
    band: Band,
    blocks: &mut u32,
    block: &mut Block,
) -> Option<()> {
    let [mut place, last] = band.places;
    let one = 1i16 << band.shift;
    while *blocks == 0 && place <= last {
        bits.refill();
        let symbol = symbols.next(bits)?;
        let run = usize::from(symbol >> 4);
        let new = match (run, symbol & 15) {
            (15, 0) => 0,
            (_, 0) => {
                *blocks = end(bits, run as u32);
                break;
            }
            (_, 1) if bits.bit() => one,
            (_, 1) => -one,
            _ => return None,
        };
        // Passes over so many coefficients that are 0 still, and to the one after them.
        let mut zeros = run;
        while place <= last {
            let coefficient = at(block, place);
            if *coefficient != 0 {
                refine(bits, one, coefficient);
            } else if zeros == 0 {
                break;
            } else {
                zeros -= 1;
            }
            place += 1;
        }
        if new != 0 {
            if place > last {
                return None;
            }
            *at(block, place) = new;
        }
        place += 1;
    }
    if *blocks > 0 {
        for place in place..=last {
            let coefficient = at(block, place);
            if *coefficient != 0 {
                refine(bits, one, coefficient);
            }
        }
        *blocks -= 1;
    }
    Some(())
}

/// The next bit of a coefficient that is not 0.
#[inline(always)]
fn refine(bits: &mut Bits<'_>, one: i16, coefficient: &mut i16) {
    // A bit that is there already is damage; libjpeg leaves it.
    if bits.bit() && *coefficient & one == 0 {
        *coefficient = coefficient.wrapping_add(if *coefficient > 0 { one } else { -one });
    }
}

/// In how many blocks nothing more comes: 2^run, and `run` more bits.
#[inline(always)]
fn end(bits: &mut Bits<'_>, run: u32) -> u32 {
    let mut blocks = 1 << run;
    if run > 0 {
        blocks += bits.peek(run) as u32;
        bits.drop(run);
    }
    blocks
}

#[cfg(test)]
#[allow(
    clippy::unusual_byte_groupings,
    reason = "groups are codes and numbers"
)]
mod tests {
    use super::super::bits::Data;
    use super::super::huffman::Code;
    use super::*;

    /// Codes 00 (end of a block), 01 (a number of one bit), 10 (one zero, then a number of one bit), 110 (16
    /// zeros), 1110 (end of 2 or 3 blocks).
    fn symbols() -> Symbols {
        let mut lengths = [0; 16];
        (lengths[1], lengths[2], lengths[3]) = (3, 1, 1);
        let mut symbols = Symbols::default();
        symbols.set(&Code::new(lengths, &[0x00, 0x01, 0x11, 0xf0, 0x10]).unwrap());
        symbols
    }

    fn data(bytes: &[u8]) -> Data {
        let mut data = Data::default();
        data.fill(bytes);
        data
    }

    const BAND: Band = Band {
        places: [1, 20],
        shift: 1,
    };

    #[test]
    fn first_bits_come_with_runs_and_ends_of_several_blocks() {
        // 1; 0, -1; 16 zeros; 1 in place 20; then another block: two blocks end.
        let data = data(&[0b01_1_10_0_11, 0b0_01_1_1110, 0b0_0000000]);
        let mut bits = data.interval(0).unwrap();
        let (mut blocks, mut block) = (0, [0; 64]);
        ac_first(&mut bits, &symbols(), BAND, &mut blocks, &mut block).unwrap();
        let mut want = [0; 64];
        (*at(&mut want, 1), *at(&mut want, 3), *at(&mut want, 20)) = (2, -2, 2);
        assert_eq!((block, blocks), (want, 0));
        for left in [1, 0] {
            let mut block = [0; 64];
            ac_first(&mut bits, &symbols(), BAND, &mut blocks, &mut block).unwrap();
            assert_eq!((block, blocks), ([0; 64], left));
        }
    }

    #[test]
    fn a_number_behind_the_band_is_damage() {
        // 16 zeros, 1, 0, 1, and 0, 1, which would be in place 21.
        let data = data(&[0b110_01_1_10, 0b1_10_1_0000]);
        let mut bits = data.interval(0).unwrap();
        let mut block = [0; 64];
        assert!(ac_first(&mut bits, &symbols(), BAND, &mut 0, &mut block).is_none());
    }

    #[test]
    fn one_more_bit_goes_to_what_is_there_and_to_new_ones_between() {
        let band = Band { shift: 0, ..BAND };
        let mut block = [0; 64];
        (*at(&mut block, 1), *at(&mut block, 3), *at(&mut block, 9)) = (2, -2, 4);
        // After one zero a new 1 is told: place 1 gets a bit, 2 is the zero, 3 gets none, 4 is new. Then
        // the block ends: place 9 gets a bit.
        let data = data(&[0b10_1_1_0_00_1, 0]);
        let mut bits = data.interval(0).unwrap();
        let mut blocks = 0;
        ac_more(&mut bits, &symbols(), band, &mut blocks, &mut block).unwrap();
        let got = [1, 2, 3, 4, 9].map(|place| *at(&mut block, place));
        assert_eq!((got, blocks), ([3, 0, -2, 1, 5], 0));
    }

    #[test]
    fn dc_bits() {
        // The code for size 1, then 1: the difference is 1.
        let mut lengths = [0; 16];
        lengths[0] = 1;
        let mut symbols = Symbols::default();
        symbols.set(&Code::new(lengths, &[1]).unwrap());
        let data = data(&[0b0_1_1_00000]);
        let mut bits = data.interval(0).unwrap();
        let (mut predicted, mut block) = (-3, [0; 64]);
        dc_first(&mut bits, &symbols, BAND, &mut predicted, &mut block).unwrap();
        assert_eq!((predicted, block[0]), (-2, -4));
        dc_more(&mut bits, Band { shift: 0, ..BAND }, &mut block);
        assert_eq!(block[0], -3);
    }
}
