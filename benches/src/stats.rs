//! Medians, and how sure one may be of them.

use crate::random::Random;

/// How many resamples an interval is made of.
const RESAMPLES: usize = 1_000;

/// Every interval is drawn from the same numbers: the same samples give the same interval.
const SEED: u64 = 0x0062_7261_6964;

/// A figure with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub middle: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Estimate {
    /// A figure that is certain: a count.
    #[must_use]
    pub fn exact(figure: f64) -> Self {
        Self {
            middle: figure,
            low: figure,
            high: figure,
        }
    }

    /// The median of the samples, with its percentile bootstrap interval.
    ///
    /// # Panics
    /// When there are no samples.
    #[must_use]
    pub fn of(samples: &[f64]) -> Self {
        let mut random = Random::new(SEED);
        let mut resample = vec![0.0; samples.len()];
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                for slot in &mut resample {
                    *slot = samples[random.below(samples.len())];
                }
                median(&mut resample)
            })
            .collect();
        medians.sort_unstable_by(f64::total_cmp);
        let tail = RESAMPLES / 40; // 2.5 % on either side
        Self {
            middle: median(&mut samples.to_vec()),
            low: medians[tail],
            high: medians[RESAMPLES - 1 - tail],
        }
    }

    /// Half of the interval's width.
    #[must_use]
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

/// The middle one, or the mean of the two middle ones. Reorders the samples.
///
/// # Panics
/// When there are no samples.
pub fn median(samples: &mut [f64]) -> f64 {
    let half = samples.len() / 2;
    let even = samples.len().is_multiple_of(2);
    let (below, upper, _) = samples.select_nth_unstable_by(half, f64::total_cmp);
    let upper = *upper;
    if even {
        let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        f64::midpoint(lower, upper)
    } else {
        upper
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_middle_two() {
        assert_eq!(median(&mut [3.0]), 3.0);
        assert_eq!(median(&mut [9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(&mut [4.0, 1.0, 9.0, 2.0]), 3.0);
        assert_eq!(median(&mut [2.0, 2.0]), 2.0);
    }

    #[test]
    fn the_interval_holds_the_median_and_is_the_same_each_time() {
        let samples: Vec<f64> = (0..101).map(f64::from).collect();
        let estimate = Estimate::of(&samples);
        assert_eq!(estimate.middle, 50.0);
        // The order statistics 41 and 61 of 101 are the textbook's 95 % interval of the median.
        assert!((39.0..=43.0).contains(&estimate.low), "{estimate:?}");
        assert!((57.0..=61.0).contains(&estimate.high), "{estimate:?}");
        assert_eq!(Estimate::of(&samples), estimate);
    }

    #[test]
    fn more_samples_narrow_the_interval() {
        let samples = |count: u32| -> Vec<f64> { (0..count).map(|i| f64::from(i % 10)).collect() };
        let (few, many) = (Estimate::of(&samples(10)), Estimate::of(&samples(1_000)));
        assert!(many.half_width() < few.half_width(), "{few:?} {many:?}");
        assert_eq!(Estimate::of(&[7.0; 5]), Estimate::exact(7.0));
        assert_eq!(Estimate::exact(7.0).half_width(), 0.0);
    }

    #[test]
    fn about_nineteen_of_twenty_intervals_hold_the_truth() {
        let mut random = Random::new(1);
        let held = (0..200)
            .filter(|_| {
                let samples: Vec<f64> = (0..40).map(|_| random.unit()).collect();
                let estimate = Estimate::of(&samples);
                (estimate.low..=estimate.high).contains(&0.5)
            })
            .count();
        assert!((178..=200).contains(&held), "{held} of 200");
    }
}
