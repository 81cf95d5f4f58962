//! How figures that depend on time are taken: in blocks, A and B in turn.

use std::time::{Duration, Instant};

use crate::Result;
use crate::stats::{Estimate, median};

/// When there are enough samples.
#[derive(Clone, Copy, Debug)]
pub struct Until {
    /// The half width of the interval that is good enough.
    pub precision: f64,
    /// Not before there are so many samples.
    pub least: usize,
    /// Not for longer than this.
    pub limit: Duration,
}

/// Whose block it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// braid's.
    Ours,
    /// That of what braid is compared with.
    Anchor,
}

/// Paired blocks.
#[derive(Clone, Debug)]
pub struct Paired {
    /// The median of braid's blocks.
    pub ours: f64,
    /// The median of the anchor's blocks.
    pub anchor: f64,
    /// The median of the ratios of the pairs.
    pub ratio: Estimate,
    /// How many pairs there were.
    pub pairs: usize,
}

/// How many blocks of each side are thrown away at first.
const WARM_UP: usize = 3;

/// Runs blocks in the order A B B A until there are enough, and compares them pair by pair. `block` gives a block's figure.
///
/// What drifts during a run (frequency, neighbours on the machine) hits both blocks of a pair nearly alike, and what drifts evenly hits a pair and
/// the next one, which is the other way round, in opposite directions.
///
/// # Errors
/// Those of `block`.
pub fn alternate(
    until: Until,
    mut see: impl FnMut(usize, &Estimate),
    mut block: impl FnMut(Side) -> Result<f64>,
) -> Result<Paired> {
    for _ in 0..WARM_UP {
        block(Side::Ours)?;
        block(Side::Anchor)?;
    }
    let (mut ours, mut anchor) = (Vec::new(), Vec::new());
    let ratio = sample(until, &mut see, || {
        let turned = ours.len() % 2 == 1;
        let (a, b) = if turned {
            let b = block(Side::Anchor)?;
            (block(Side::Ours)?, b)
        } else {
            (block(Side::Ours)?, block(Side::Anchor)?)
        };
        ours.push(a);
        anchor.push(b);
        Ok(a / b)
    })?;
    Ok(Paired {
        pairs: ours.len(),
        ours: median(&mut ours),
        anchor: median(&mut anchor),
        ratio,
    })
}

/// Runs blocks of one side until there are enough. `block` gives a block's figure.
///
/// # Errors
/// Those of `block`.
pub fn repeat(
    until: Until,
    mut see: impl FnMut(usize, &Estimate),
    mut block: impl FnMut() -> Result<f64>,
) -> Result<Estimate> {
    for _ in 0..WARM_UP {
        block()?;
    }
    sample(until, &mut see, block)
}

/// Samples until the interval is narrow enough, or the time is up.
///
/// It looks at the interval each time when there are a quarter more samples: a look at every sample would cost more than the samples, and
/// would stop too often at an interval that is narrow by chance.
fn sample(
    until: Until,
    see: &mut impl FnMut(usize, &Estimate),
    mut sample: impl FnMut() -> Result<f64>,
) -> Result<Estimate> {
    let started = Instant::now();
    let mut samples = Vec::new();
    let mut next_look = until.least.max(2);
    loop {
        samples.push(sample()?);
        let late = started.elapsed() >= until.limit;
        if samples.len() < next_look && !late {
            continue;
        }
        let estimate = Estimate::of(&samples);
        see(samples.len(), &estimate);
        if late || estimate.half_width() <= until.precision {
            return Ok(estimate);
        }
        next_look += next_look.div_ceil(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENT: Duration = Duration::from_secs(3_600);

    fn until(precision: f64, least: usize, limit: Duration) -> Until {
        Until {
            precision,
            least,
            limit,
        }
    }

    #[test]
    fn blocks_come_in_the_order_abba_after_a_warm_up() {
        let mut order = String::new();
        let paired = alternate(
            until(0.1, 4, PATIENT),
            |_, _| {},
            |side| {
                order.push(if side == Side::Ours { 'A' } else { 'B' });
                Ok(if side == Side::Ours { 2.0 } else { 4.0 })
            },
        );
        let paired = paired.unwrap();
        assert_eq!(order, "ABABABABBAABBA");
        assert_eq!((paired.ours, paired.anchor, paired.pairs), (2.0, 4.0, 4));
        assert_eq!(paired.ratio, Estimate::exact(0.5));
    }

    #[test]
    fn sampling_stops_once_the_interval_is_narrow_enough() {
        let run = |precision| {
            let mut counter = 0_u32;
            let mut seen = 0;
            let estimate = repeat(
                until(precision, 10, PATIENT),
                |count, _| seen = count,
                || {
                    counter += 1;
                    Ok(f64::from(counter % 7))
                },
            );
            (estimate.unwrap().half_width(), seen)
        };
        let (wide, few) = run(2.0);
        let (narrow, many) = run(0.5);
        assert_eq!(few, 10);
        assert!(
            wide <= 2.0 && narrow <= 0.5 && many > few,
            "{narrow} {many}"
        );
    }

    #[test]
    fn sampling_stops_when_its_time_is_up() {
        let mut counter = 0_u32;
        let estimate = repeat(
            until(0.0, 10, Duration::ZERO),
            |_, _| {},
            || {
                counter += 1;
                Ok(f64::from(counter))
            },
        );
        assert_eq!(estimate.unwrap(), Estimate::exact(4.0));
    }

    #[test]
    fn an_error_ends_it() {
        let failed = repeat(until(0.1, 4, PATIENT), |_, _| {}, || Err("no".into()));
        assert_eq!(failed.unwrap_err().to_string(), "no");
    }
}
