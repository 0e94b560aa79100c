//! How the bits of entropy-coded data are read.

/// Entropy-coded data without stuffing and markers.
#[derive(Debug, Default)]
pub struct Data {
    bytes: Vec<u8>,
    /// Where each restart interval ends in `bytes`.
    ends: Vec<usize>,
}

impl Data {
    /// Takes over what lies from the beginning of `bytes` to the first marker that is no restart marker;
    /// where that is.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        self.bytes.clear();
        self.ends.clear();
        let mut rest = bytes;
        loop {
            let Some(at) = memchr::memchr(0xff, rest) else {
                self.bytes.extend_from_slice(rest);
                rest = &[];
                break;
            };
            match rest.get(at + 1) {
                Some(0) => self.bytes.extend_from_slice(&rest[..=at]),
                Some(0xd0..=0xd7) => {
                    self.bytes.extend_from_slice(&rest[..at]);
                    self.ends.push(self.bytes.len());
                }
                // A fill byte: the marker comes after it.
                Some(0xff) => {
                    self.bytes.extend_from_slice(&rest[..at]);
                    rest = &rest[at + 1..];
                    continue;
                }
                _ => {
                    self.bytes.extend_from_slice(&rest[..at]);
                    rest = &rest[at..];
                    break;
                }
            }
            rest = &rest[at + 2..];
        }
        self.ends.push(self.bytes.len());
        bytes.len() - rest.len()
    }

    /// A reader of restart interval `number`.
    pub fn interval(&self, number: usize) -> Option<Bits<'_>> {
        let end = *self.ends.get(number)?;
        let start = match number {
            0 => 0,
            _ => self.ends[number - 1],
        };
        Some(Bits {
            rest: &self.bytes[start..end],
            word: 0,
            left: 0,
            missing: 0,
        })
    }
}

/// A position in a restart interval. Past its end come zeros, and [`Bits::overrun`] says so.
#[derive(Debug, Clone, Copy)]
pub struct Bits<'a> {
    /// Bytes that are not loaded yet.
    rest: &'a [u8],
    /// The next bits, from the top.
    word: u64,
    /// How many of them are valid.
    left: u32,
    /// Bytes that were loaded from behind the end.
    missing: u32,
}

impl Bits<'_> {
    /// Sees to it that 56 bits are there. Bits beyond those counted may be loaded: they are loaded again.
    #[inline(always)]
    pub fn refill(&mut self) {
        let bytes = ((63 - self.left) >> 3) as usize;
        if let Some(next) = self.rest.first_chunk::<8>() {
            self.word |= u64::from_be_bytes(*next) >> self.left;
            self.rest = &self.rest[bytes..];
        } else {
            let (next, missing);
            (next, self.rest, missing) = tail(self.rest, bytes);
            self.word |= next >> self.left;
            self.missing = (self.missing + missing).min(1 << 20);
        }
        self.left |= 56;
    }

    /// The next `n` bits, 1..=32, without taking them.
    #[inline(always)]
    pub fn peek(&self, n: u32) -> usize {
        (self.word >> (64 - n)) as usize
    }

    /// Passes over `n` bits, at most as many as are there.
    #[inline(always)]
    pub fn drop(&mut self, n: u32) {
        self.word <<= n;
        self.left = self.left.wrapping_sub(n);
    }

    /// The next bit.
    #[inline(always)]
    pub fn bit(&mut self) -> bool {
        if self.left == 0 {
            self.refill();
        }
        let bit = self.peek(1) != 0;
        self.drop(1);
        bit
    }

    /// Whether more bits were taken than the interval has.
    #[inline(always)]
    pub fn overrun(&self) -> bool {
        self.missing * 8 > self.left
    }
}

/// The last bytes with zeros behind them, what is left after `bytes` more, and how many of those there
/// were not.
#[cold]
fn tail(rest: &[u8], bytes: usize) -> (u64, &[u8], u32) {
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let there = bytes.min(rest.len());
    (
        u64::from_be_bytes(last),
        &rest[there..],
        (bytes - there) as u32,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuffing_goes_restart_markers_divide_and_another_marker_ends() {
        let mut data = Data::default();
        let end = data.fill(&[
            1, 0xff, 0, 2, 0xff, 0xff, 0xd0, 3, 0xff, 0xd1, 4, 5, 0xff, 0xd9, 6,
        ]);
        assert_eq!(end, 12);
        assert_eq!(
            (&data.bytes[..], &data.ends[..]),
            (&[1, 0xff, 2, 3, 4, 5][..], &[3, 4, 6][..])
        );
        assert_eq!(data.fill(&[7, 0xff]), 1);
        assert_eq!((&data.bytes[..], &data.ends[..]), (&[7][..], &[1][..]));
    }

    #[test]
    fn bits_come_from_the_top_and_the_end_is_noticed() {
        let mut data = Data::default();
        let bytes: Vec<u8> = (1..=40).collect();
        data.fill(&bytes);
        let mut bits = data.interval(0).unwrap();
        let mut read = 0u32;
        for step in [1, 7, 3, 5, 16, 32].into_iter().cycle() {
            if read + step > 320 {
                break;
            }
            bits.refill();
            let want = (read..read + step).fold(0, |n, i| {
                n << 1 | usize::from(bytes[i as usize / 8] >> (7 - i % 8) & 1)
            });
            assert_eq!(bits.peek(step), want, "{read}");
            bits.drop(step);
            read += step;
            assert!(!bits.overrun());
        }
        bits.refill();
        bits.drop(320 - read);
        assert!(!bits.overrun());
        bits.refill();
        bits.drop(1);
        assert!(bits.overrun());
    }
}
