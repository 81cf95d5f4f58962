//! Goals, and whether a figure meets one.

use crate::stats::Estimate;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The figure may be the bound or below.
    AtMost,
    /// The figure may be the bound or above.
    AtLeast,
}

impl Direction {
    /// As a sign between figure and bound.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
        }
    }
}

/// What a figure is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// A bound of the ratio to the anchor.
    Ratio(Direction, f64),
    /// A bound of braid's own figure.
    Absolute(Direction, f64),
}

/// How a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The whole interval is inside the goal.
    Met,
    /// The whole interval is outside of it.
    Missed,
    /// The goal is within the interval.
    Unresolved,
}

impl Goal {
    /// The bound.
    #[must_use]
    pub fn bound(self) -> f64 {
        let (Self::Ratio(_, bound) | Self::Absolute(_, bound)) = self;
        bound
    }

    /// Which way is better.
    #[must_use]
    pub fn direction(self) -> Direction {
        let (Self::Ratio(direction, _) | Self::Absolute(direction, _)) = self;
        direction
    }

    /// The half width of an interval that is good enough.
    #[must_use]
    pub fn precision(self) -> f64 {
        match self {
            Self::Ratio(_, bound) => (bound - 1.0).abs() / 3.0,
            Self::Absolute(_, bound) => bound / 10.0,
        }
    }

    /// Judges by the whole interval.
    #[must_use]
    pub fn verdict(self, figure: &Estimate) -> Verdict {
        let bound = self.bound();
        let (best, worst) = match self.direction() {
            Direction::AtMost => (figure.low <= bound, figure.high <= bound),
            Direction::AtLeast => (figure.high >= bound, figure.low >= bound),
        };
        match (best, worst) {
            (_, true) => Verdict::Met,
            (true, false) => Verdict::Unresolved,
            (false, false) => Verdict::Missed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{AtLeast, AtMost};

    #[test]
    fn a_row_is_met_only_when_its_whole_interval_is_inside_the_goal() {
        let check = |goal: Goal, low, high, verdict| {
            let middle = f64::midpoint(low, high);
            let figure = Estimate { middle, low, high };
            assert_eq!(goal.verdict(&figure), verdict, "{goal:?} {figure:?}");
        };
        let below = Goal::Ratio(AtMost, 0.95);
        check(below, 0.90, 0.94, Verdict::Met);
        check(below, 0.90, 0.95, Verdict::Met);
        check(below, 0.90, 0.96, Verdict::Unresolved);
        check(below, 0.95, 0.97, Verdict::Unresolved);
        check(below, 0.96, 0.97, Verdict::Missed);
        let above = Goal::Ratio(AtLeast, 1.08);
        check(above, 1.08, 1.20, Verdict::Met);
        check(above, 1.07, 1.20, Verdict::Unresolved);
        check(above, 1.00, 1.07, Verdict::Missed);
        let none = Goal::Absolute(AtMost, 0.0);
        check(none, 0.0, 0.0, Verdict::Met);
        check(none, 1.0, 1.0, Verdict::Missed);
    }

    #[test]
    fn sampling_goes_on_until_a_third_of_the_way_or_a_tenth_of_the_bound() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(close(Goal::Ratio(AtMost, 0.85).precision(), 0.05));
        assert!(close(Goal::Ratio(AtLeast, 1.3).precision(), 0.1));
        assert!(close(Goal::Absolute(AtMost, 25.0).precision(), 2.5));
    }
}
