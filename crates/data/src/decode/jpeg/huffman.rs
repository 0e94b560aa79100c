//! Which number does a code stand for?

use super::bits::Bits;

/// Bits that one look into a table covers.
pub const LOOK: u32 = 11;
/// What the end of a block adds to the position: more than any position is.
pub const END: u32 = 128;

/// A Huffman code as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Code {
    /// Number of codes of 1 to 16 bits.
    lengths: [u8; 16],
    /// In the order of their codes.
    symbols: Vec<u8>,
}

impl Code {
    /// `None`: more codes than there can be.
    pub fn new(lengths: [u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut free = 1i32;
        for n in lengths {
            free = free * 2 - i32::from(n);
            if free < 0 {
                return None;
            }
        }
        (symbols.len() <= 256).then(|| Code {
            lengths,
            symbols: symbols.to_vec(),
        })
    }
}

/// A code with a table to look into.
#[derive(Debug)]
pub struct Symbols {
    code: Code,
    /// By the next [`LOOK`] bits: length of the code, 0 if it is longer than that, and its symbol.
    short: Box<[(u8, u8); 1 << LOOK]>,
    /// By length: the first 16-bit word that is above all codes of at most this length.
    above: [u32; 17],
    /// By length: index of a code's symbol minus the code.
    base: [i32; 17],
}

impl Default for Symbols {
    fn default() -> Self {
        Symbols {
            code: Code::default(),
            short: Box::new([(0, 0); 1 << LOOK]),
            above: [0; 17],
            base: [0; 17],
        }
    }
}

impl Symbols {
    /// Takes over another code; whether it is another one. Files that were not optimised all have the same.
    pub fn set(&mut self, code: &Code) -> bool {
        if self.code == *code {
            return false;
        }
        self.code.clone_from(code);
        self.short.fill((0, 0));
        let (mut next, mut index) = (0u32, 0);
        for length in 1..=16u32 {
            self.base[length as usize] = index as i32 - next as i32;
            for _ in 0..code.lengths[length as usize - 1] {
                if length <= LOOK {
                    let first = (next << (LOOK - length)) as usize;
                    let span = 1usize << (LOOK - length);
                    self.short[first..][..span].fill((length as u8, code.symbols[index]));
                }
                next += 1;
                index += 1;
            }
            self.above[length as usize] = next << (16 - length);
            next <<= 1;
        }
        true
    }

    /// The next symbol, which must be among the loaded bits. `None`: a code that stands for nothing.
    #[inline(always)]
    pub fn next(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let (mut length, mut symbol) = self.short[bits.peek(LOOK) & ((1 << LOOK) - 1)];
        if length == 0 {
            (length, symbol) = self.long(bits.peek(16) as u32)?;
        }
        bits.drop(u32::from(length));
        Some(symbol)
    }

    /// Length and symbol of a code longer than [`LOOK`] at the top of 16 bits.
    #[cold]
    fn long(&self, bits: u32) -> Option<(u8, u8)> {
        let length = (LOOK + 1..=16).find(|l| bits < self.above[*l as usize])?;
        let index = (bits >> (16 - length)) as i32 + self.base[length as usize];
        let symbol = *self.code.symbols.get(usize::try_from(index).ok()?)?;
        Some((length as u8, symbol))
    }
}

/// A code with tables to look into that know what a symbol means: `run << 4 | size`, so many zeros, then a
/// number of `size` bits, which follow the code; DC codes have no runs.
#[derive(Debug)]
pub struct Table {
    symbols: Symbols,
    /// By the next [`LOOK`] bits, see [`Entry`].
    entries: Box<[Entry; 1 << LOOK]>,
    /// By the next [`LOOK`] bits: as many symbols as begin in them.
    skips: Box<[Skip; 1 << LOOK]>,
}

/// Bits 0..6: length of the code and the number, or of the code alone if bit 7 is set, or 0 if the code is
/// longer than the table. Bits 8..16: what it adds to the position. Bits 16..32: the number, or its
/// size if bit 7 is set.
#[derive(Debug, Clone, Copy)]
pub struct Entry(u32);

/// The code is longer than the table.
pub const LONGER: Entry = Entry(0x80);

impl Entry {
    /// Length of code and number, or of the code.
    #[inline(always)]
    pub fn length(self) -> u32 {
        self.0 & 0x3f
    }
    /// Whether the number is in the entry.
    #[inline(always)]
    pub fn complete(self) -> bool {
        self.0 & 0x80 == 0
    }
    /// Whether the code is longer than the table.
    #[inline(always)]
    pub fn longer(self) -> bool {
        self.0 == LONGER.0
    }
    /// What it adds to the position.
    #[inline(always)]
    pub fn advance(self) -> u32 {
        self.0 >> 8 & 0xff
    }
    /// The number, or its size.
    #[inline(always)]
    pub fn number(self) -> i32 {
        self.0 as i32 >> 16
    }
}

/// Bits 0..8: length of some symbols with their numbers; bits 8..15: what they add to the position;
/// bit 15: the block ends after them. 0: the first code is longer than the table.
#[derive(Debug, Clone, Copy, Default)]
pub struct Skip(u16);

impl Skip {
    /// Length of the symbols and their numbers.
    #[inline(always)]
    pub fn length(self) -> u32 {
        u32::from(self.0 & 0xff)
    }
    /// What they add to the position.
    #[inline(always)]
    pub fn advance(self) -> u32 {
        u32::from(self.0 >> 8 & 0x7f)
    }
    /// Whether the block ends after them.
    #[inline(always)]
    pub fn ends(self) -> bool {
        self.0 & 0x8000 != 0
    }
}

impl Default for Table {
    fn default() -> Self {
        Table {
            symbols: Symbols::default(),
            entries: Box::new([LONGER; 1 << LOOK]),
            skips: Box::new([Skip(0); 1 << LOOK]),
        }
    }
}

fn advance(symbol: u8) -> u32 {
    match symbol {
        0xf0 => 16,
        s if s & 15 == 0 => END,
        s => u32::from(s >> 4) + 1,
    }
}

/// The number that `size` bits stand for.
#[inline(always)]
pub fn extend(bits: u32, size: u32) -> i32 {
    let half = 1 << size >> 1;
    if bits < half {
        bits as i32 - (1 << size) + 1
    } else {
        bits as i32
    }
}

impl Table {
    /// Takes over another code. `ac`: whether blocks are passed over with it.
    pub fn set(&mut self, code: &Code, ac: bool) {
        if !self.symbols.set(code) {
            return;
        }
        let short = &self.symbols.short;
        let mut window = 0;
        while window < 1 << LOOK {
            let (length, symbol) = short[window];
            let length = u32::from(length);
            if length == 0 {
                // Codes are in the order of their lengths: there are only longer ones from here.
                self.entries[window..].fill(LONGER);
                break;
            }
            let span = 1 << (LOOK - length);
            let entries = &mut self.entries[window..window + span];
            for (suffix, entry) in entries.iter_mut().enumerate() {
                *entry = fill(symbol, length, suffix as u32);
            }
            window += span;
        }
        if ac {
            for (window, entry) in self.skips.iter_mut().enumerate() {
                *entry = skip(window, short);
            }
        }
    }

    /// What the next [`LOOK`] bits say.
    #[inline(always)]
    pub fn entry(&self, window: usize) -> Entry {
        self.entries[window & ((1 << LOOK) - 1)]
    }

    /// Symbols to pass over.
    #[inline(always)]
    pub fn skip(&self, window: usize) -> Skip {
        self.skips[window & ((1 << LOOK) - 1)]
    }

    /// A code longer than [`LOOK`] at the top of 16 bits.
    #[cold]
    pub fn long(&self, bits: u32) -> Option<Entry> {
        let (length, symbol) = self.symbols.long(bits)?;
        Some(incomplete(symbol, u32::from(length)))
    }
}

/// As many symbols as begin in a window, up to the end of the block.
fn skip(window: usize, short: &[(u8, u8); 1 << LOOK]) -> Skip {
    let (mut length, mut added) = (0, 0);
    while length < LOOK {
        let (code, symbol) = short[window << length & ((1 << LOOK) - 1)];
        let (code, advance) = (u32::from(code), advance(symbol));
        // A code that is not wholly inside is another one with other bits behind it.
        if code == 0 || code > LOOK - length || advance != END && added + advance > 63 {
            break;
        }
        length += code + u32::from(symbol & 15);
        if advance == END {
            return Skip((length | added << 8 | 0x8000) as u16);
        }
        added += advance;
    }
    Skip((length | added << 8) as u16)
}

fn incomplete(symbol: u8, length: u32) -> Entry {
    Entry(length | 0x80 | advance(symbol) << 8 | u32::from(symbol & 15) << 16)
}

/// The entry of a code of `length` bits, followed by the bits `suffix`.
fn fill(symbol: u8, length: u32, suffix: u32) -> Entry {
    let size = u32::from(symbol & 15);
    let room = LOOK - length;
    if size > room {
        return incomplete(symbol, length);
    }
    let number = extend(suffix >> (room - size), size);
    Entry((length + size) | advance(symbol) << 8 | (number as u32) << 16)
}

#[cfg(test)]
#[allow(
    clippy::unusual_byte_groupings,
    reason = "groups are codes and numbers"
)]
mod tests {
    use super::*;

    /// Codes 0, 10, 110 and one of 14 bits.
    fn table() -> Table {
        let mut lengths = [0; 16];
        (lengths[0], lengths[1], lengths[2], lengths[13]) = (1, 1, 1, 1);
        let mut table = Table::default();
        table.set(
            &Code::new(lengths, &[0x00, 0x13, 0xf0, 0x29]).unwrap(),
            true,
        );
        table
    }

    #[test]
    fn entries_hold_the_number_if_it_fits() {
        let table = table();
        // 10 101...: one zero, then the 3-bit number 5. 10 010...: -5.
        for (window, number) in [(0b10_101_000000, 5), (0b10_010_111111, -5)] {
            let entry = table.entry(window);
            assert!(entry.complete());
            assert_eq!(
                (entry.length(), entry.advance(), entry.number()),
                (5, 2, number)
            );
        }
        assert_eq!(
            (table.entry(0).length(), table.entry(0).advance()),
            (1, END)
        );
        let zeros = table.entry(0b110 << 8);
        assert_eq!(
            (zeros.length(), zeros.advance(), zeros.number()),
            (3, 16, 0)
        );
        assert!(table.entry(0b111 << 8).longer());
        let long = table.long(0b1110_0000_0000_0011).unwrap();
        assert_eq!(
            (
                long.length(),
                long.advance(),
                long.number(),
                long.complete()
            ),
            (14, 3, 9, false)
        );
        assert!(table.long(0xffff).is_none());
    }

    #[test]
    fn a_skip_passes_over_all_symbols_that_begin_in_the_window() {
        let table = table();
        // 10 111, 110, 10 + three bits outside: positions 2 + 16 + 2.
        let skip = table.skip(0b10_111_110_10_0);
        assert_eq!(
            (skip.length(), skip.advance(), skip.ends()),
            (13, 20, false)
        );
        let skip = table.skip(0b10_111_0_10_101);
        assert_eq!((skip.length(), skip.advance(), skip.ends()), (6, 2, true));
        assert_eq!(table.skip(0b111 << 8).length(), 0);
    }

    #[test]
    fn more_codes_than_there_can_be_are_refused() {
        let mut lengths = [0; 16];
        lengths[0] = 3;
        assert!(Code::new(lengths, &[1, 2, 3]).is_none());
    }
}
