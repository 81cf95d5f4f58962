//! Latency in an open loop: calls begin when they are due, whether or not earlier ones have come back.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Result;
use crate::bench::Bench;
use crate::blocks::Caller;
use crate::pairs::Side;
use crate::random::Random;
use crate::row::{Figures, Row};
use crate::stats::median;

use super::IN_FLIGHT;

/// How long a block takes. Longer than others, so that it has a 99th percentile.
const BLOCK: Duration = Duration::from_millis(250);

/// How many blocks measure the capacity.
const CAPACITY_BLOCKS: usize = 5;

/// How often a call is made that fails.
const TRIES: u32 = 10;

/// The 99th percentile of the latency at a share of the capacity, calls by name against tonic's.
pub(super) fn p99(bench: &mut Bench, row: &Row, share: f64) -> Result<Figures> {
    let rate = share * bench.capacity(capacity)?;
    bench.see(&format!("{rate:.0} calls/s"));
    let remote = bench.remote()?;
    let (ours, anchor) = (remote.by_name(), remote.tonic());
    let mut random = Random::new(rate.to_bits());
    let mut all = [Histogram::new(3)?, Histogram::new(3)?];
    let mut figures = bench.alternate(row, |side| {
        let block = match side {
            Side::Ours => block(bench, &ours, rate, &mut random)?,
            Side::Anchor => block(bench, &anchor, rate, &mut random)?,
        };
        all[usize::from(side == Side::Anchor)].add(&block)?;
        Ok(quantile(&block))
    })?;
    // The ratio is that of pairs of blocks; the two figures are those of all calls.
    figures.ours = quantile(&all[0]);
    figures.anchor = Some(quantile(&all[1]));
    Ok(figures)
}

/// The anchor's throughput, which both sides' load is a share of: the load is the same for both.
///
/// It is taken the same way as the calls are made later, each as a task of its own, begun by this thread: that takes its share of the machine, too.
fn capacity(bench: &mut Bench) -> Result<f64> {
    bench.see("measuring the capacity");
    let tonic = bench.remote()?.tonic();
    let places = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut rates = Vec::with_capacity(CAPACITY_BLOCKS);
    for _ in 0..CAPACITY_BLOCKS {
        let mut calls = JoinSet::new();
        let started = Instant::now();
        while started.elapsed() < BLOCK {
            let place = bench
                .runtime()
                .block_on(Arc::clone(&places).acquire_owned())?;
            let mut caller = tonic.clone();
            let call = async move {
                let called = caller.call().await;
                drop(place);
                called
            };
            calls.spawn_on(call, bench.runtime().handle());
        }
        let done = bench.runtime().block_on(calls.join_all());
        rates.push(done.len() as f64 / started.elapsed().as_secs_f64());
        done.into_iter().collect::<Result<()>>()?;
    }
    Ok(median(&mut rates))
}

/// Makes calls that are due at independent times, and gives their latencies.
fn block(
    bench: &Bench,
    caller: &impl Caller,
    rate: f64,
    random: &mut Random,
) -> Result<Histogram<u64>> {
    let mut calls = JoinSet::new();
    let started = Instant::now();
    let mut due = started;
    // This thread is no worker, so that it can sleep more finely than the runtime's timer does.
    while due < started + BLOCK {
        sleep(due.saturating_duration_since(Instant::now()));
        let mut caller = caller.clone();
        let call = async move {
            // What waits at a server that can't keep up may get its connection closed there. Its user calls again, and goes on waiting.
            let mut tries = 1;
            while let Err(error) = caller.call().await {
                if tries == TRIES {
                    return Err(error);
                }
                tries += 1;
            }
            // Counted from when the call was due: a late start is a wait, too.
            Ok(due.elapsed())
        };
        calls.spawn_on(call, bench.runtime().handle());
        due += Duration::from_secs_f64(random.gap() / rate);
    }
    let taken: Vec<Result<Duration>> = bench.runtime().block_on(calls.join_all());
    let mut histogram = Histogram::new(3)?;
    for taken in taken {
        let nanos = u64::try_from(taken?.as_nanos())?;
        histogram.record(nanos)?;
    }
    Ok(histogram)
}

fn quantile(histogram: &Histogram<u64>) -> f64 {
    histogram.value_at_quantile(0.99) as f64
}
