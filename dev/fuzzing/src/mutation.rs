//! Inputs made from seeds: no coverage is measured, so that changes follow the texts' structure.

/// No input grows beyond this, in bytes.
const MAX: usize = 64 << 10;

/// Texts that mean something to one parser or another, or to none.
const WORDS: [&str; 40] = [
    "\n",
    "\r\n",
    "\t",
    " ",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "&a ",
    "*a",
    "<<: ",
    "!!binary ",
    "---\n",
    "...\n",
    "# ",
    "|\n",
    ">-\n",
    "null",
    "~",
    "true",
    "0o777",
    "0644",
    "-1",
    "1e400",
    "9223372036854775808",
    "340282366920938463463374607431768211456",
    "\u{0}",
    "\u{feff}",
    "\u{202e}",
    "\\040",
    "\\u0000",
    "=",
    ",",
    "--",
    "1.5Gi",
    "100m",
];

/// Random numbers that are the same for the same seed (xorshift64*).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap_or(usize::MAX) % bound.max(1)
    }
}

/// An input made from one of `seeds`, and parts of others, by some changes.
#[must_use]
pub fn input(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let seed = |random: &mut Random| seeds.get(random.below(seeds.len())).map_or(&[][..], Vec::as_slice);
    let mut bytes = seed(random).to_vec();
    for _ in 0..=random.below(8) {
        let range = {
            let from = random.below(bytes.len() + 1);
            from..from + random.below((bytes.len() - from + 1).min(64))
        };
        match random.below(8) {
            0 if !bytes.is_empty() => {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
            1 => drop(bytes.drain(range)),
            2 => {
                let word = WORDS[random.below(WORDS.len())];
                bytes.splice(range.start..range.start, word.bytes());
            }
            3 => {
                let word = WORDS[random.below(WORDS.len())];
                bytes.splice(range, word.bytes());
            }
            4 => {
                let part = bytes[range.clone()].repeat(1 + random.below(64));
                bytes.splice(range.start..range.start, part);
            }
            5 => {
                let other = seed(random);
                let from = random.below(other.len() + 1);
                let to = from + random.below(other.len() - from + 1);
                bytes.splice(range, other[from..to].iter().copied());
            }
            6 => {
                // A line elsewhere, which is where structures nest wrongly.
                let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                let moved = lines.get(random.below(lines.len())).map_or_else(Vec::new, |line| line.to_vec());
                bytes.splice(range.start..range.start, moved);
            }
            _ => bytes.truncate(range.end),
        }
        bytes.truncate(MAX);
        if bytes.is_empty() {
            bytes.push(b'\n');
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let seeds = [b"a: 1\nb: [2, 3]\n".to_vec(), Vec::new()];
        let make = |seed| {
            let mut random = Random::new(seed);
            (0..2000).map(|_| input(&seeds, &mut random)).collect::<Vec<_>>()
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
        assert!(make(7).iter().all(|input| input.len() <= MAX));
        assert!(!input(&[], &mut Random::new(0)).is_empty());
    }
}
