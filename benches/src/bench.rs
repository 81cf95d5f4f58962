//! What a run of the benchmark holds while it measures.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::counts::Counts;
use crate::goal::Goal;
use crate::pairs::{Paired, Side, Until, alternate, repeat};
use crate::pubsub::Redis;
use crate::pubsub::parity::Parity;
use crate::row::{Figures, Measure, Measured, Row};
use crate::rpc::Remote;
use crate::stats::Estimate;
use crate::{Result, counts};

/// The half width that is good enough for a row without a goal: what the tightest goal asks for.
const REPORT: f64 = 0.01;

/// A run.
#[derive(Debug)]
pub struct Bench {
    quick: bool,
    runtime: Runtime,
    remote: Option<Remote>,
    counts: Option<Counts>,
    capacity: Option<f64>,
    redis: Option<Redis>,
    parity: Option<[Parity; 3]>,
    row: &'static str,
}

impl Bench {
    /// A run; a quick one is a look and not a measurement.
    ///
    /// # Errors
    /// The runtime doesn't start.
    pub fn new(quick: bool) -> Result<Self> {
        // As many threads as tonic's users have on two cores. Both sides run on it.
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        Ok(Self {
            quick,
            runtime,
            remote: None,
            counts: None,
            capacity: None,
            redis: None,
            parity: None,
            row: "",
        })
    }

    /// Measures a row.
    ///
    /// # Errors
    /// Something needed doesn't start, or a call fails.
    pub fn measure(&mut self, row: Row) -> Result<Measured> {
        self.row = row.name;
        if !stderr().is_terminal() {
            eprintln!("{}", row.name);
        }
        let (Measure::Exact(measure) | Measure::Timed(measure)) = row.measure;
        let figures = measure(self, &row);
        clear();
        let figures = figures.inspect_err(|_| eprintln!("{} failed", row.name))?;
        Ok(Measured { row, figures })
    }

    /// Whether this is only a look.
    #[must_use]
    pub fn quick(&self) -> bool {
        self.quick
    }

    /// What calls run on.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The echo server in its own process, and clients to it. Started when it is first asked for.
    ///
    /// # Errors
    /// It doesn't start.
    pub fn remote(&mut self) -> Result<Remote> {
        if self.remote.is_none() {
            self.remote = Some(self.runtime.block_on(Remote::start())?);
        }
        self.remote
            .clone()
            .ok_or_else(|| "it was started just now".into())
    }

    /// A Redis server that holds nothing. Started when it is first asked for; what a former row left on it is removed.
    ///
    /// # Panics
    /// When there is no `redis-server`; the text tells what to do.
    pub fn redis(&mut self) -> Redis {
        let start = || self.runtime.block_on(Redis::start());
        let redis = self.redis.get_or_insert_with(start).clone();
        self.runtime.block_on(redis.clear());
        redis
    }

    /// The counts, taken when they are first asked for.
    ///
    /// # Errors
    /// The counting program fails.
    pub fn counts(&mut self) -> Result<&Counts> {
        match &mut self.counts {
            Some(counts) => Ok(counts),
            none => Ok(none.insert(counts::run()?)),
        }
    }

    /// A figure that is taken once in a run.
    ///
    /// # Errors
    /// Those of `measure`.
    pub fn capacity(&mut self, measure: impl FnOnce(&mut Self) -> Result<f64>) -> Result<f64> {
        if let Some(capacity) = self.capacity {
            return Ok(capacity);
        }
        let capacity = measure(self)?;
        self.capacity = Some(capacity);
        Ok(capacity)
    }

    /// The original's benchmark, taken once in a run.
    ///
    /// # Errors
    /// Those of `measure`.
    pub fn parity(
        &mut self,
        measure: impl FnOnce(&mut Self) -> Result<[Parity; 3]>,
    ) -> Result<[Parity; 3]> {
        if let Some(parity) = self.parity {
            return Ok(parity);
        }
        let parity = measure(self)?;
        self.parity = Some(parity);
        Ok(parity)
    }

    /// Blocks of both sides in turn, until the row's goal can be judged.
    ///
    /// # Errors
    /// Those of `block`.
    pub fn alternate(&self, row: &Row, block: impl FnMut(Side) -> Result<f64>) -> Result<Figures> {
        let paired: Paired = alternate(self.until(row), |n, e| self.progress(row, n, e), block)?;
        Ok(paired.into())
    }

    /// Blocks of braid alone, until the row's goal can be judged.
    ///
    /// # Errors
    /// Those of `block`.
    pub fn repeat(&self, row: &Row, block: impl FnMut() -> Result<f64>) -> Result<Figures> {
        let estimate = repeat(self.until(row), |n, e| self.progress(row, n, e), block)?;
        Ok(Figures::alone(estimate))
    }

    fn until(&self, row: &Row) -> Until {
        let precision = row.goal.map_or(REPORT, Goal::precision);
        let (least, limit) = match (self.quick, row.goal) {
            (true, _) => (4, Duration::from_secs(2)),
            (false, Some(_)) => (20, Duration::from_secs(120)),
            (false, None) => (20, Duration::from_secs(30)),
        };
        Until {
            precision,
            least,
            limit,
        }
    }

    fn progress(&self, row: &Row, samples: usize, estimate: &Estimate) {
        let figures = Figures {
            ours: estimate.middle,
            anchor: matches!(row.goal, None | Some(Goal::Ratio(..))).then_some(1.0),
            judged: *estimate,
        };
        let [_, _, interval, ..] = Measured {
            row: row.clone(),
            figures,
        }
        .cells();
        self.see(&format!("{samples} blocks, {interval}"));
    }

    /// Shows how far a row is. Where it would pile up, only the rows' names are shown.
    pub fn see(&self, doing: &str) {
        if stderr().is_terminal() {
            eprint!("\r\x1b[K{}: {doing}", self.row);
            // Nothing is lost when a terminal can't show it.
            let _ = stderr().flush();
        }
    }
}

/// Takes the progress off the terminal.
fn clear() {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}
