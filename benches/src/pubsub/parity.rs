//! The original's own benchmark, by braid and by the original: each repeat is a process of its own.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::bench::Bench;
use crate::blocks::Caller as _;
use crate::counts::Meter;
use crate::goal::Direction::AtMost;
use crate::goal::Goal::{self, Ratio};
use crate::pairs::Side;
use crate::row::{Figures, Row, Unit};
use crate::stats::{Estimate, median};
use crate::{Result, sibling};

use super::{Ours, Redis, braid_go};

/// The argument by which the counting program measures braid's side.
pub const PARITY: &str = "parity";

/// How many publish, one number after the other in each process: the original's `-cpu 2,4,8`.
const PUBLISHERS: [usize; 3] = [2, 4, 8];

/// How long the original's takes for each, once it has found out how often it publishes in that time: what `go test` does.
const THEIR_TIME: Duration = Duration::from_secs(1);

/// How long braid's takes for each.
const OUR_TIME: Duration = Duration::from_millis(500);

/// Either for a look.
const QUICK_TIME: Duration = Duration::from_millis(100);

/// The goal of the times.
const TIME: Goal = Ratio(AtMost, 0.7);

/// What one publish costs, whatever is delivered meanwhile included.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Cost {
    ns: f64,
    bytes: f64,
    allocs: f64,
}

/// The figures of one number of publishers.
#[derive(Clone, Copy, Debug)]
pub struct Parity {
    ns: Figures,
    bytes: Figures,
    allocs: Figures,
}

pub(super) fn rows() -> Vec<Row> {
    let ns = |name, take| Row::timed(name, Unit::Time, take).with_goal(TIME);
    let bytes = |name, take| Row::timed(name, Unit::Bytes, take).with_goal(Ratio(AtMost, 0.3));
    let allocs = |name, take| Row::timed(name, Unit::Count, take).with_goal(Ratio(AtMost, 0.2));
    vec![
        ns("pubsub/parity:ns_2", |bench, row| Ok(of(bench, row)?[0].ns)),
        bytes("pubsub/parity:bytes_2", |bench, row| {
            Ok(of(bench, row)?[0].bytes)
        }),
        allocs("pubsub/parity:allocs_2", |bench, row| {
            Ok(of(bench, row)?[0].allocs)
        }),
        ns("pubsub/parity:ns_4", |bench, row| Ok(of(bench, row)?[1].ns)),
        bytes("pubsub/parity:bytes_4", |bench, row| {
            Ok(of(bench, row)?[1].bytes)
        }),
        allocs("pubsub/parity:allocs_4", |bench, row| {
            Ok(of(bench, row)?[1].allocs)
        }),
        ns("pubsub/parity:ns_8", |bench, row| Ok(of(bench, row)?[2].ns)),
        bytes("pubsub/parity:bytes_8", |bench, row| {
            Ok(of(bench, row)?[2].bytes)
        }),
        allocs("pubsub/parity:allocs_8", |bench, row| {
            Ok(of(bench, row)?[2].allocs)
        }),
    ]
}

/// The figures of each number of publishers, taken when one is first asked for.
fn of(bench: &mut Bench, row: &Row) -> Result<[Parity; 3]> {
    bench.parity(|bench| measure(bench, row))
}

/// A repeat gives all figures; there are enough when the times can be judged, taken together.
fn measure(bench: &mut Bench, row: &Row) -> Result<[Parity; 3]> {
    let redis = bench.redis();
    let on = bench.runtime();
    let times = match bench.quick() {
        true => [QUICK_TIME; 2],
        false => [OUR_TIME, THEIR_TIME],
    };
    let [mut ours, mut anchor] = [Vec::new(), Vec::new()];
    bench.alternate(&row.clone().with_goal(TIME), |side| {
        on.block_on(redis.clear());
        let costs: [Cost; 3] = match side {
            Side::Ours => run(&redis, times[0])?,
            Side::Anchor => braid_go::publish(&redis, times[1], &PUBLISHERS)?,
        };
        match side {
            Side::Ours => ours.push(costs),
            Side::Anchor => anchor.push(costs),
        }
        // Their geometric mean: each counts alike in the ratio.
        Ok(costs.iter().map(|cost| cost.ns).product::<f64>().cbrt())
    })?;
    let figures = |index: usize, of: fn(&Cost) -> f64| {
        let mut both = [&ours, &anchor].map(|all| -> Vec<f64> {
            all.iter()
                .map(|costs: &[Cost; 3]| of(&costs[index]))
                .collect()
        });
        let ratios: Vec<_> = both[0].iter().zip(&both[1]).map(|(a, b)| a / b).collect();
        let [ours, anchor] = &mut both;
        Figures {
            ours: median(ours),
            anchor: Some(median(anchor)),
            judged: Estimate::of(&ratios),
        }
    };
    Ok([0, 1, 2].map(|index| Parity {
        ns: figures(index, |cost| cost.ns),
        bytes: figures(index, |cost| cost.bytes),
        allocs: figures(index, |cost| cost.allocs),
    }))
}

/// Runs braid's side once.
fn run(redis: &Redis, time: Duration) -> Result<[Cost; 3]> {
    let mut command = Command::new(sibling("counts")?);
    command.stderr(Stdio::inherit());
    command.args([PARITY, &redis.url(), &time.as_millis().to_string()]);
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("braid's side failed: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// braid's side, in a process of its own, which an argument tells how many milliseconds each part takes: prints what a publish costs as JSON.
///
/// # Errors
/// An argument is none, or something fails.
pub fn tell(meter: Meter, url: &str, time: &str) -> Result<()> {
    let time = Duration::from_millis(time.parse()?);
    let mut costs = Vec::new();
    for publishers in PUBLISHERS {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(publishers)
            .enable_all()
            .build()?;
        costs.push(runtime.block_on(publish(meter, url, publishers, time))?);
    }
    println!("{}", serde_json::to_string(&costs)?);
    Ok(())
}

/// As many tasks as threads publish `test`, each after its last one was stored, while two channels hand what arrives to handlers, which
/// nobody waits for.
async fn publish(meter: Meter, url: &str, publishers: usize, time: Duration) -> Result<Cost> {
    let ours = Ours::connect(url).await?;
    let subscriptions = ours.subscribe().await?;
    let (allocations_before, bytes_before) = meter();
    let started = Instant::now();
    let handler = |_| async { Ok::<_, braid_core::Error>(()) };
    let consumers = subscriptions.map(|subscription| subscription.arrived(handler));
    let mut tasks: JoinSet<Result<u64>> = JoinSet::new();
    for _ in 0..publishers {
        let mut publisher = ours.publisher();
        tasks.spawn(async move {
            let mut published = 0;
            while started.elapsed() < time {
                publisher.call().await?;
                published += 1;
            }
            Ok(published)
        });
    }
    let mut published = 0;
    while let Some(task) = tasks.join_next().await {
        published += task??;
    }
    let elapsed = started.elapsed();
    let (allocations, bytes) = meter();
    for consumer in consumers {
        consumer.close().await?;
    }
    let each = |figure: f64| figure / published as f64;
    Ok(Cost {
        ns: each(elapsed.as_secs_f64() * 1e9),
        bytes: each((bytes - bytes_before) as f64),
        allocs: each((allocations - allocations_before) as f64),
    })
}
