//! Counts of allocations: taken by a program of its own, whose allocator counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

use crate::balancer::{p2c, smooth};
use crate::blocks::Caller;
use crate::pubsub::{Ours, Redis};
use crate::row::Figures;
use crate::rpc::Remote;
use crate::rpc::route::Route;
use crate::stats::Estimate;
use crate::{Result, sibling};

/// How often a thing is done before it counts: buffers have grown to their size by then.
const WARM_UP: u32 = 500;

/// How often it is done while it counts.
const TIMES: u32 = 1_000;

/// What doing a thing once allocates: the mean of many times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Count {
    /// How many allocations; one that grows is another one.
    pub allocations: f64,
    /// How many bytes were asked for.
    pub bytes: f64,
}

/// How many allocations.
#[must_use]
pub fn allocations(count: Count) -> f64 {
    count.allocations
}

/// How many bytes.
#[must_use]
pub fn bytes(count: Count) -> f64 {
    count.bytes
}

/// What the counting program has found, by the names of what was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Counts(BTreeMap<String, Count>);

/// All allocations and bytes so far.
pub type Meter = fn() -> (u64, u64);

impl Counts {
    /// The count of one thing.
    ///
    /// # Errors
    /// The counting program doesn't know it.
    pub fn of(&self, name: &str) -> Result<Count> {
        let count = self.0.get(name).copied();
        count.ok_or_else(|| format!("the counting program said nothing of {name}").into())
    }

    /// A count of one thing against that of another.
    ///
    /// # Errors
    /// The counting program doesn't know one of them.
    pub fn compare(&self, ours: &str, anchor: &str, of: fn(Count) -> f64) -> Result<Figures> {
        Ok(Figures::counts(of(self.of(ours)?), of(self.of(anchor)?)))
    }

    /// The allocations of one thing, compared with nothing.
    ///
    /// # Errors
    /// The counting program doesn't know it.
    pub fn alone(&self, name: &str) -> Result<Figures> {
        Ok(Figures::alone(Estimate::exact(self.of(name)?.allocations)))
    }

    /// What is more than it was: a sentence each. Things that `before` doesn't name are left out, and so are rare allocations, such as a buffer's
    /// that grows once in a while.
    ///
    /// # Errors
    /// Something isn't counted any more.
    pub fn worse_than(&self, before: &Self) -> Result<Vec<String>> {
        let mut worse = Vec::new();
        for (name, before) in &before.0 {
            let now = self.of(name)?;
            if now.allocations > before.allocations + 0.5 || now.bytes > before.bytes * 1.01 {
                worse.push(format!(
                    "{name}: {} allocations and {} bytes, formerly {} and {}",
                    now.allocations, now.bytes, before.allocations, before.bytes
                ));
            }
        }
        Ok(worse)
    }

    /// Reads what the counting program writes.
    ///
    /// # Errors
    /// A line isn't a name and two numbers.
    pub fn parse(text: &str) -> Result<Self> {
        let line = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            let [name, allocations, bytes] = words[..] else {
                return Err(format!("the counting program said `{line}`").into());
            };
            let count = Count {
                allocations: allocations.parse()?,
                bytes: bytes.parse()?,
            };
            Ok((name.to_owned(), count))
        };
        text.lines().map(line).collect::<Result<_>>().map(Self)
    }
}

/// Runs the counting program.
///
/// # Errors
/// It fails.
pub fn run() -> Result<Counts> {
    let mut program = Command::new(sibling("counts")?);
    let output = program.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the counting program failed: {}", output.status).into());
    }
    Counts::parse(&String::from_utf8(output.stdout)?)
}

/// Counts everything, in the counting program: a line each.
///
/// # Errors
/// Something needed doesn't start, or a call fails.
pub async fn take(meter: Meter) -> Result<String> {
    let mut lines = String::new();
    let mut tell =
        |name: &str, count: Count| writeln!(lines, "{name} {} {}", count.allocations, count.bytes);
    let remote = Remote::start().await?;
    tell("tonic", calls(meter, remote.tonic()).await?)?;
    tell("typed", calls(meter, remote.typed()).await?)?;
    tell("send", calls(meter, remote.by_name()).await?)?;
    let redis = Redis::start().await;
    let ours = Ours::connect(&redis.url()).await?;
    tell("publish", calls(meter, ours.publisher()).await?)?;
    let mut route = Route::new().await?;
    tell("route", plain(meter, || route.take()))?;
    let balancer = smooth::balancer(100)?;
    tell("swrr_pick", plain(meter, || smooth::take(&balancer)))?;
    let (balancer, mut call) = (p2c::balancer()?, 0);
    let pick = || {
        call += 1;
        p2c::take(&balancer, p2c::latency(call));
    };
    tell("p2c_pick", plain(meter, pick))?;
    Ok(lines)
}

/// Calls one after the other.
async fn calls(meter: Meter, mut caller: impl Caller) -> Result<Count> {
    for _ in 0..WARM_UP {
        caller.call().await?;
    }
    let before = meter();
    for _ in 0..TIMES {
        caller.call().await?;
    }
    Ok(since(before, meter()))
}

/// Work that waits for nothing.
fn plain(meter: Meter, mut work: impl FnMut()) -> Count {
    (0..WARM_UP).for_each(|_| work());
    let before = meter();
    (0..TIMES).for_each(|_| work());
    since(before, meter())
}

fn since(before: (u64, u64), after: (u64, u64)) -> Count {
    let mean = |before, after| (after - before) as f64 / f64::from(TIMES);
    Count {
        allocations: mean(before.0, after.0),
        bytes: mean(before.1, after.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_they_are_written() {
        let counts = Counts::parse("tonic 37.01 24100.5\nswrr_pick 0 0\n").unwrap();
        let tonic = counts.of("tonic").unwrap();
        assert_eq!((tonic.allocations, tonic.bytes), (37.01, 24100.5));
        assert_eq!(counts.alone("swrr_pick").unwrap().ours, 0.0);
        let compared = counts.compare("tonic", "tonic", bytes).unwrap();
        assert_eq!(compared, Figures::counts(24100.5, 24100.5));
        let error = counts.of("send").unwrap_err().to_string();
        assert_eq!(error, "the counting program said nothing of send");
        assert!(Counts::parse("tonic many 3").is_err());
        assert!(Counts::parse("tonic 3").is_err());
    }
    #[test]
    fn more_than_before_is_told_and_less_is_not() {
        let worse = |now: &str, before: &str| {
            let [now, before] = [now, before].map(|text| Counts::parse(text).unwrap());
            now.worse_than(&before).map(|worse| worse.join("; "))
        };
        assert_eq!(worse("a 20 6000\nb 1 1", "a 20 6000").unwrap(), "");
        assert_eq!(worse("a 20.01 6010", "a 20 6000").unwrap(), "");
        assert_eq!(worse("a 12 3000", "a 20 6000").unwrap(), "");
        assert_eq!(
            worse("a 21 6000", "a 20 6000").unwrap(),
            "a: 21 allocations and 6000 bytes, formerly 20 and 6000"
        );
        assert!(
            worse("a 20 6100", "a 20 6000")
                .unwrap()
                .starts_with("a: 20 ")
        );
        assert!(worse("a 1 1", "a 0 0").unwrap().starts_with("a: 1 "));
        assert!(worse("b 1 1", "a 1 1").is_err());
    }
}
