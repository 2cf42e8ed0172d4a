//! The seeded generator. Its name is part of every seed (`cc8-v1:42`), so that the same seed gives
//! the same plan on every machine and version.
//!
//! Only the raw stream of ChaCha8 is used: it is a specification. Ranges and choices are ours, so
//! that no release of a library can change what a seed means.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::fmt;
use std::str::FromStr;

/// A seed together with the name of the generator that it is for.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub struct Seed(pub u64);

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cc8-v1:{}", self.0)
    }
}

/// Why a text is not a seed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a seed: write a number, or `cc8-v1:` and a number")]
pub struct SeedError(String);

impl FromStr for Seed {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, SeedError> {
        let number = text.strip_prefix("cc8-v1:").unwrap_or(text);
        number.parse().map(Seed).map_err(|_| SeedError(text.to_owned()))
    }
}

/// Draws numbers from a seed.
#[derive(Clone, Debug)]
pub struct Generator(ChaCha8Rng);

impl Generator {
    /// Starts the stream of a seed.
    pub fn new(seed: Seed) -> Self {
        Generator(ChaCha8Rng::seed_from_u64(seed.0))
    }

    /// Starts a stream of its own for one purpose of a seed: what is drawn for others changes nothing.
    pub fn named(seed: Seed, purpose: &str) -> Self {
        // FNV-1a, by its specification.
        let hash = purpose.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Generator::new(Seed(seed.0 ^ hash))
    }

    /// The next number of the raw stream.
    pub fn draw(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, each equally likely. `bound` must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a bound of 0 leaves nothing to draw");
        let reject_from = u64::MAX - u64::MAX % bound;
        loop {
            let drawn = self.draw();
            if drawn < reject_from {
                return drawn % bound;
            }
        }
    }

    /// Up to `count` different indexes below `length`, in ascending order.
    pub fn sample(&mut self, length: usize, count: usize) -> Vec<usize> {
        let mut indexes: Vec<usize> = (0..length).collect();
        for place in 0..count.min(length) {
            let drawn = self.below((length - place) as u64) as usize;
            indexes.swap(place, place + drawn);
        }
        indexes.truncate(count);
        indexes.sort_unstable();
        indexes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raw_stream_is_the_golden_one() {
        let mut generator = Generator::new(Seed(42));
        assert_eq!(generator.draw(), 0xae90_bfb5_395d_5ba1);
        assert_eq!(generator.draw(), 0xf345_3fc6_2579_9188);
    }

    #[test]
    fn a_sample_is_the_golden_one() {
        assert_eq!(Generator::new(Seed(42)).sample(100, 5).len(), 5);
        assert_eq!(Generator::new(Seed(1)).sample(3, 9), [0, 1, 2]);
    }

    #[test]
    fn a_seed_is_read_with_and_without_its_generator() {
        assert_eq!("42".parse(), Ok(Seed(42)));
        assert_eq!(Seed(42).to_string().parse(), Ok(Seed(42)));
        assert!("pcg:42".parse::<Seed>().is_err());
    }
}
