//! Rows: what is measured, and what came out.

use serde::Serialize;

use crate::Result;
use crate::bench::Bench;
use crate::goal::{Direction, Goal, Verdict};
use crate::pairs::Paired;
use crate::stats::Estimate;

/// One row of the benchmark.
#[derive(Clone, Debug)]
pub struct Row {
    /// `<component>/<line>`, or `<component>/<line>:<part>`.
    pub name: &'static str,
    /// What its figures are figures of.
    pub unit: Unit,
    /// None for a row that only reports.
    pub goal: Option<Goal>,
    /// What gives the figures.
    pub measure: Measure,
}

/// Takes the figures of a row.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// A count: the same in every run.
    Exact(Take),
    /// Depends on the machine and on its other work.
    Timed(Take),
}

/// What figures are figures of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Time,
    /// Per second.
    Rate,
    /// Things.
    Count,
    /// Bytes.
    Bytes,
}

/// The figures of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// braid's.
    pub ours: f64,
    /// That of what braid is compared with, if it is compared.
    pub anchor: Option<f64>,
    /// What the goal is about: the ratio of the two, or braid's own figure where there is no anchor.
    pub judged: Estimate,
}

impl Figures {
    /// Two counts.
    #[must_use]
    pub fn counts(ours: f64, anchor: f64) -> Self {
        Self {
            ours,
            anchor: Some(anchor),
            judged: Estimate::exact(ours / anchor),
        }
    }

    /// One figure alone.
    #[must_use]
    pub fn alone(estimate: Estimate) -> Self {
        Self {
            ours: estimate.middle,
            anchor: None,
            judged: estimate,
        }
    }
}

impl From<Paired> for Figures {
    fn from(paired: Paired) -> Self {
        Self {
            ours: paired.ours,
            anchor: Some(paired.anchor),
            judged: paired.ratio,
        }
    }
}

/// A row with its figures.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The row.
    pub row: Row,
    /// Its figures.
    pub figures: Figures,
}

/// A row as `--json` writes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JsonRow<'a> {
    name: &'a str,
    ours: f64,
    anchor: Option<f64>,
    ratio: f64,
    low: f64,
    high: f64,
    goal: Option<f64>,
    direction: &'static str,
    met: bool,
}

impl Measured {
    /// How it ended; a row that only reports is met.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let judge = |goal: Goal| goal.verdict(&self.figures.judged);
        self.row.goal.map_or(Verdict::Met, judge)
    }

    /// The row for `--json`.
    #[must_use]
    pub fn json(&self) -> JsonRow<'_> {
        let Figures {
            ours,
            anchor,
            judged,
        } = self.figures;
        JsonRow {
            name: self.row.name,
            ours,
            anchor,
            ratio: judged.middle,
            low: judged.low,
            high: judged.high,
            goal: self.row.goal.map(Goal::bound),
            direction: self.row.direction().sign(),
            met: self.verdict() == Verdict::Met,
        }
    }

    /// What a table shows: braid's figure, the anchor's, the ratio with its interval, the goal, the verdict.
    #[must_use]
    pub fn cells(&self) -> [String; 5] {
        let Figures {
            ours,
            anchor,
            judged,
        } = self.figures;
        let unit = self.row.unit;
        let number = |figure| match anchor {
            Some(_) => ratio(figure),
            None => unit.show(figure),
        };
        let interval = if judged.low == judged.high {
            number(judged.middle)
        } else {
            let [middle, low, high] = [judged.middle, judged.low, judged.high].map(number);
            format!("{middle} [{low}, {high}]")
        };
        let goal = self.row.goal.map_or_else(String::new, |goal| {
            let bound = match goal {
                Goal::Ratio(_, bound) => bound.to_string(),
                Goal::Absolute(_, bound) => unit.show(bound),
            };
            format!("{} {bound}", goal.direction().sign())
        });
        let verdict = match (self.row.goal, self.verdict()) {
            (None, _) => "report",
            (_, Verdict::Met) => "met",
            (_, Verdict::Missed) => "missed",
            (_, Verdict::Unresolved) => "unresolved",
        };
        let anchor = anchor.map_or_else(String::new, |anchor| unit.show(anchor));
        [unit.show(ours), anchor, interval, goal, verdict.to_owned()]
    }
}

/// What gives the figures of a row.
pub type Take = fn(&mut Bench, &Row) -> Result<Figures>;

impl Row {
    /// A row whose figures depend on time. It only reports, until it has a goal.
    #[must_use]
    pub fn timed(name: &'static str, unit: Unit, take: Take) -> Self {
        Self {
            name,
            unit,
            goal: None,
            measure: Measure::Timed(take),
        }
    }

    /// A row of counts. It only reports, until it has a goal.
    #[must_use]
    pub fn exact(name: &'static str, unit: Unit, take: Take) -> Self {
        Self {
            measure: Measure::Exact(take),
            ..Self::timed(name, unit, take)
        }
    }

    /// The same row, held against a goal.
    #[must_use]
    pub fn with_goal(self, goal: Goal) -> Self {
        Self {
            goal: Some(goal),
            ..self
        }
    }

    /// Which way is better.
    #[must_use]
    pub fn direction(&self) -> Direction {
        match (self.goal, self.unit) {
            (Some(goal), _) => goal.direction(),
            (None, Unit::Rate) => Direction::AtLeast,
            (None, _) => Direction::AtMost,
        }
    }

    /// Whether its figures are the same in every run.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        matches!(self.measure, Measure::Exact(_))
    }
}

impl Unit {
    /// A figure with as many digits as are worth reading.
    #[must_use]
    pub fn show(self, figure: f64) -> String {
        let scaled = |steps: &[(f64, &str)]| {
            let fits = |(scale, _): &&(f64, &str)| figure >= *scale;
            let (scale, name) = steps.iter().find(fits).or(steps.last())?;
            Some(format!("{}{name}", digits(figure / scale)))
        };
        let shown = match self {
            Self::Time => scaled(&[(1e9, " s"), (1e6, " ms"), (1e3, " µs"), (1.0, " ns")]),
            Self::Rate => scaled(&[(1e6, " M/s"), (1e3, " k/s"), (1.0, " /s")]),
            Self::Bytes => scaled(&[(1e6, " MB"), (1e3, " kB"), (1.0, " B")]),
            Self::Count => None,
        };
        shown.unwrap_or_else(|| digits(figure))
    }
}

/// Three digits at least, and no decimal places of a whole number.
fn digits(figure: f64) -> String {
    match figure {
        _ if figure.fract() == 0.0 => format!("{figure:.0}"),
        _ if figure >= 100.0 => format!("{figure:.0}"),
        _ if figure >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

fn ratio(ratio: f64) -> String {
    if ratio >= 10.0 {
        format!("{ratio:.1}")
    } else {
        format!("{ratio:.3}")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row with these figures.
    pub(crate) fn measured(name: &'static str, goal: Option<Goal>, figures: Figures) -> Measured {
        let row = Row::timed(name, Unit::Time, |_, _| {
            Err("a test measures nothing".into())
        });
        let row = Row { goal, ..row };
        Measured { row, figures }
    }

    fn paired(middle: f64, low: f64, high: f64) -> Figures {
        Figures {
            ours: 95_000.0,
            anchor: Some(100_000.0),
            judged: Estimate { middle, low, high },
        }
    }

    fn keys(row: &Measured) -> (String, serde_json::Value) {
        let json = serde_json::to_value(row.json()).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        (keys.join(" "), json)
    }

    #[test]
    fn json_rows_have_these_keys_and_no_others() {
        let goal = Goal::Ratio(Direction::AtMost, 0.95);
        let row = measured("rpc/x", Some(goal), paired(0.95, 0.94, 0.96));
        let (keys, json) = keys(&row);
        assert_eq!(keys, "anchor direction goal high low met name ours ratio");
        assert_eq!(json["met"], false);
        assert_eq!(json["goal"], 0.95);
        assert_eq!(json["direction"], "<=");
        assert_eq!(
            row.cells(),
            [
                "95 µs",
                "100 µs",
                "0.950 [0.940, 0.960]",
                "<= 0.95",
                "unresolved"
            ]
        );
    }

    #[test]
    fn an_absolute_goal_has_no_anchor_and_is_judged_by_the_figure() {
        let goal = Goal::Absolute(Direction::AtMost, 25.0);
        let figures = Figures::alone(Estimate {
            middle: 21.5,
            low: 21.0,
            high: 22.0,
        });
        let row = measured("balancer/x", Some(goal), figures);
        let (_, json) = keys(&row);
        assert!(json["anchor"].is_null());
        assert_eq!(
            (&json["ratio"], &json["ours"]),
            (&21.5.into(), &21.5.into())
        );
        assert_eq!(json["met"], true);
        assert_eq!(
            row.cells(),
            ["21.5 ns", "", "21.5 ns [21 ns, 22 ns]", "<= 25 ns", "met"]
        );
    }

    #[test]
    fn a_row_that_only_reports_has_no_goal_and_is_met() {
        let row = measured("rpc/aa", None, paired(1.0, 0.9, 1.1));
        let (_, json) = keys(&row);
        assert!(json["goal"].is_null());
        assert_eq!(json["met"], true);
        assert_eq!(row.cells()[4], "report");
    }

    #[test]
    fn figures_are_shown_in_their_unit() {
        for (unit, figure, shown) in [
            (Unit::Time, 0.5, "0.50 ns"),
            (Unit::Time, 23.456, "23.5 ns"),
            (Unit::Time, 123_456.0, "123 µs"),
            (Unit::Rate, 15_234.0, "15.2 k/s"),
            (Unit::Rate, 41_200_000.0, "41.2 M/s"),
            (Unit::Bytes, 24_123.0, "24.1 kB"),
            (Unit::Bytes, 12.0, "12 B"),
            (Unit::Count, 37.0, "37"),
            (Unit::Count, 37.04, "37.0"),
            (Unit::Count, 0.0, "0"),
        ] {
            assert_eq!(unit.show(figure), shown);
        }
    }
}
