//! Another client library: sea-streamer.

use sea_streamer_redis::{
    AutoCommit, AutoStreamReset, RedisConsumer, RedisConsumerOptions, RedisProducer, RedisStreamer,
};
use sea_streamer_types::{
    Buffer as _, Consumer as _, ConsumerGroup, ConsumerMode, ConsumerOptions as _, Message as _,
    Producer as _, StreamKey, Streamer as _, StreamerUri,
};

use crate::Result;
use crate::bench::Bench;
use crate::blocks::Caller;
use crate::goal::{Direction::AtLeast, Goal::Ratio};
use crate::pairs::Side;
use crate::row::{Figures, Row, Unit};

use super::fanout::{Drain, Fanout};
use super::{BODY, Ours, Redis};

const TOPIC: &str = "bench-sea-streamer";

pub(super) fn row() -> Row {
    let name = "pubsub/deliver_two_channels:vs_sea_streamer";
    Row::timed(name, Unit::Rate, compare).with_goal(Ratio(AtLeast, 2.0))
}

fn compare(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let redis = bench.redis();
    let on = bench.runtime();
    let ours = on.block_on(Ours::connect(&redis.url()))?;
    let fanout = on.block_on(ours.fanout())?;
    let anchor = on.block_on(connect(&redis))?;
    bench.alternate(row, |side| {
        let rate = match side {
            Side::Ours => on.block_on(fanout.drained()),
            // Its acks are sent in the course of later reads.
            Side::Anchor => on.block_on(anchor.drained()),
        };
        on.block_on(redis.empty());
        rate
    })
}

/// A topic with two groups, acked as its documentation recommends for handling each message at least once, and its defaults for the rest.
async fn connect(redis: &Redis) -> Result<Fanout<Publisher, RedisConsumer>> {
    let uri: StreamerUri = redis.url().parse()?;
    let streamer = RedisStreamer::connect(uri, Default::default()).await?;
    let topic = StreamKey::new(TOPIC)?;
    let consumer = async |group: &str| {
        let mut options = RedisConsumerOptions::new(ConsumerMode::LoadBalanced);
        options.set_consumer_group(ConsumerGroup::new(group))?;
        options.set_auto_stream_reset(AutoStreamReset::Earliest);
        options.set_auto_commit(AutoCommit::Rolling);
        options.set_mkstream(true);
        streamer
            .create_consumer(std::slice::from_ref(&topic), options)
            .await
    };
    let consumers = [consumer("channel-1").await?, consumer("channel-2").await?];
    let producer = streamer
        .create_producer(topic.clone(), Default::default())
        .await?;
    Ok(Fanout::new(Publisher { producer }, consumers))
}

/// Sends one message after the other.
#[derive(Clone, Debug)]
struct Publisher {
    producer: RedisProducer,
}

impl Caller for Publisher {
    async fn call(&mut self) -> Result<()> {
        self.producer.send(BODY)?.await?;
        Ok(())
    }
}

impl Drain for RedisConsumer {
    async fn drain(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let message = self.next().await?;
            if message.message().as_bytes() != BODY {
                return Err("a body isn't what was published".into());
            }
            self.ack(&message)?;
        }
        Ok(())
    }
}
