//! Random choices that can be made again.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// A small generator (splitmix64, Steele, Lea and Flood 2014). Its seed is printed, so that the output of a failed test holds it;
/// the environment variable `BRAID_SEED` replays one.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator with the seed of `BRAID_SEED`, else a new one.
    ///
    /// # Panics
    /// When `BRAID_SEED` is no number.
    #[must_use]
    pub fn from_env() -> Self {
        let seed = match std::env::var("BRAID_SEED") {
            Ok(text) => text.parse().expect("BRAID_SEED is a decimal number"),
            Err(_) => RandomState::new().hash_one(0),
        };
        eprintln!("replay with BRAID_SEED={seed}");
        Self(seed)
    }

    /// A generator for a part of the work whose place among the others isn't fixed.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.draw())
    }

    /// A number below `bound`, which isn't 0.
    ///
    /// # Panics
    /// When it is.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        usize::try_from(self.draw() % bound).expect("below a usize")
    }

    /// One of these.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// True in one of `n` cases.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A time below `bound`.
    pub fn time_below(&mut self, bound: Duration) -> Duration {
        bound.mul_f64(
            f64::from(u32::try_from(self.below(1 << 20)).expect("20 bits")) / f64::from(1 << 20),
        )
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_choices() {
        let (mut a, mut b) = (Random(7), Random(7));
        let draw = |random: &mut Random| {
            (
                random.below(10),
                random.draw(),
                random.time_below(Duration::from_secs(1)),
            )
        };
        assert_eq!(draw(&mut a), draw(&mut b));
        assert_ne!(draw(&mut a), draw(&mut Random(8)));
    }
}
