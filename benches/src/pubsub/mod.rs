//! Rows of pub-sub: braid's, and what it is held against, on one Redis server.

mod braid_go;
mod fanout;
mod fred;
mod ours;
pub mod parity;
mod redis;
mod redis_benchmark;
#[cfg(feature = "sea-streamer")]
mod sea_streamer;

pub use self::ours::{Ours, Publisher};
pub use self::redis::Redis;

use crate::Result;
use crate::bench::Bench;
use crate::blocks::{Caller, Load, latency, load};
use crate::goal::Direction::{AtLeast, AtMost};
use crate::goal::Goal::{Absolute, Ratio};
use crate::pairs::Side;
use crate::row::{
    Figures, Row,
    Unit::{Count, Rate, Time},
};

use self::fanout::Fanout;

/// How many tasks publish where there are many.
const PUBLISHERS: usize = 256;

/// The body of every message: the original's benchmark has it.
const BODY: &[u8] = b"test";

/// The rows, those of one line of the table together.
#[must_use]
pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::timed("pubsub/publish_vs_fred", Time, publish).with_goal(Ratio(AtMost, 1.03)),
        Row::timed("pubsub/publish_256_vs_fred", Rate, publish_256).with_goal(Ratio(AtLeast, 0.97)),
        Row::timed(
            "pubsub/publish_vs_redis_benchmark",
            Rate,
            redis_benchmark::compare,
        )
        .with_goal(Ratio(AtLeast, 0.5)),
        Row::timed("pubsub/deliver_vs_fred", Rate, deliver).with_goal(Ratio(AtLeast, 0.95)),
        Row::timed("pubsub/deliver_two_channels:rate", Rate, deliver_alone)
            .with_goal(Absolute(AtLeast, 120_000.0)),
    ];
    #[cfg(feature = "sea-streamer")]
    rows.push(sea_streamer::row());
    rows.push(
        Row::exact("pubsub/allocs", Count, |bench, _| {
            bench.counts()?.alone("publish")
        })
        .with_goal(Absolute(AtMost, 10.0)),
    );
    rows.extend(parity::rows());
    rows.push(
        Row::timed("pubsub/deliver_vs_braid_go", Rate, braid_go::deliver)
            .with_goal(Ratio(AtLeast, 30.0)),
    );
    rows.push(Row::timed("pubsub/aa", Time, aa));
    rows
}

fn publish(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let redis = bench.redis();
    let on = bench.runtime();
    let (ours, anchor) = on.block_on(async {
        let ours = Ours::connect(&redis.url()).await?;
        Ok::<_, crate::Error>((ours, fred::Publisher::connect(&redis).await?))
    })?;
    p50(bench, row, &redis, &ours.publisher(), &anchor)
}

/// fred's client against another one of its own.
fn aa(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let redis = bench.redis();
    let on = bench.runtime();
    let client = || on.block_on(fred::Publisher::connect(&redis));
    let (one, other) = (client()?, client()?);
    p50(bench, row, &redis, &one, &other)
}

/// The median latency of one task that publishes.
fn p50(
    bench: &Bench,
    row: &Row,
    redis: &Redis,
    ours: &impl Caller,
    anchor: &impl Caller,
) -> Result<Figures> {
    let on = bench.runtime();
    bench.alternate(row, |side| {
        let figure = match side {
            Side::Ours => on.block_on(latency(ours)),
            Side::Anchor => on.block_on(latency(anchor)),
        };
        on.block_on(redis.empty());
        figure
    })
}

fn publish_256(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let redis = bench.redis();
    let on = bench.runtime();
    let ours = on.block_on(Ours::connect(&redis.url()))?;
    let anchor = on.block_on(fred::Publisher::connect(&redis))?;
    bench.alternate(row, |side| match side {
        Side::Ours => on.block_on(publish_rate(&redis, &ours.publisher())),
        Side::Anchor => on.block_on(publish_rate(&redis, &anchor)),
    })
}

/// Publishes per second of many tasks. Leaves the topic empty.
async fn publish_rate(redis: &Redis, publisher: &impl Caller) -> Result<f64> {
    let load = load(publisher, PUBLISHERS).await;
    redis.empty().await;
    load.as_ref()
        .map(Load::rate)
        .map_err(|error| error.to_string().into())
}

fn deliver(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let redis = bench.redis();
    let on = bench.runtime();
    let ours = on.block_on(Ours::connect(&redis.url()))?;
    let fanout = on.block_on(ours.fanout())?;
    let anchor = on.block_on(fred::fanout(&redis))?;
    bench.alternate(row, |side| match side {
        Side::Ours => on.block_on(deliver_rate(&redis, &fanout)),
        Side::Anchor => on.block_on(deliver_rate(&redis, &anchor)),
    })
}

fn deliver_alone(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let redis = bench.redis();
    let on = bench.runtime();
    let ours = on.block_on(Ours::connect(&redis.url()))?;
    let fanout = on.block_on(ours.fanout())?;
    bench.repeat(row, || on.block_on(deliver_rate(&redis, &fanout)))
}

/// Deliveries per second. Checks that all are acked, and leaves the topic empty.
async fn deliver_rate<P: Caller, D: fanout::Drain>(
    redis: &Redis,
    fanout: &Fanout<P, D>,
) -> Result<f64> {
    let rate = fanout.drained().await?;
    redis.settled().await?;
    redis.empty().await;
    Ok(rate)
}
