//! `pubsub-failover`: the primary loses its replica, takes on for a moment, and is killed; sentinels promote the replica. What that
//! moment's publishes were promised depends on their durability: of `replicated` ones nothing is lost, of `fast` ones all that no
//! consumer had seen. Losses are counted for each.

use crate::{
    Result,
    consumer::Consumer,
    ledger::Ledger,
    options::Options,
    progress::Progress,
    publisher::{Level, Publisher},
    scenario::Verdict,
    stage::{LOOK, STALLED, Stage, connect, create_channels, dead_letters, is_drained},
};
use braid_core::ErrorKind;
use braid_testkit::{
    SETTLED, eventually,
    redis::{Persistence, RedisSentinel, RedisServer},
};
use fastrand::Rng;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, Instant},
};
use tokio::time::sleep;

const LEVELS: [Level; 3] = [Level::Fast, Level::Replicated, Level::Durable];
const CHANNEL: &str = "mail";
const CONSUMERS_OF_EACH: usize = 2;
const PUBLISHING: usize = 32;
const WINDOW: usize = 256;
const CLAIM_AFTER: Duration = Duration::from_secs(2);
/// How long the publishes of a round take, without the failover in it.
const ROUND: Duration = Duration::from_secs(2);
/// When the link is cut: early enough that the primary dies while messages are published.
const CUT: Range<f64> = 0.2..0.6;
/// How long the primary goes on without its replica: below the 700 ms after which sentinels take a server for dead, which would
/// leave them nobody to promote.
const ALONE: Range<f64> = 0.1..0.4;

#[derive(Serialize)]
struct Counts {
    scenario: &'static str,
    seed: u64,
    messages: usize,
    /// By durability, as all that follow; `null` for what the server can't do.
    published: ByLevel<usize>,
    unsure: ByLevel<usize>,
    delivered: ByLevel<BTreeMap<&'static str, usize>>,
    lost: ByLevel<usize>,
    duplicates: ByLevel<usize>,
    dead_letters: ByLevel<usize>,
    strangers: ByLevel<usize>,
    kills: usize,
    longest_gap_ms: u128,
    drained: bool,
    seconds: f64,
    held: bool,
}

type ByLevel<T> = BTreeMap<&'static str, Option<T>>;

pub(crate) async fn run(options: &Options, progress: &mut Progress) -> Result<Verdict> {
    // One more after the last failover: what follows it has to come too.
    let rounds = options.kills + 1;
    if options.messages < rounds {
        let text = format!("--messages is below {rounds}, one for each failover and one after");
        return Err(text.into());
    }
    let servers = RedisServer::builder().persistence(Persistence::AofEverysec);
    // One is enough to promote a replica, and doesn't have to agree with others first.
    let servers = RedisSentinel::builder().sentinels(1).servers(servers);
    let servers = servers.start().await;
    let pubsub = connect(&servers.url()).await?;
    let mut levels = Vec::new();
    for level in LEVELS {
        match pubsub.with_durability(level.durability()) {
            Ok(_) => levels.push(level),
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                progress.say(&error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
    }
    let topics: Vec<_> = levels.iter().map(|level| level.name()).collect();
    let mut stage = Stage::new(options.messages, &topics, &[CHANNEL])?;
    for topic in &topics {
        create_channels(&pubsub, topic, &[CHANNEL]).await?;
        for _ in 0..CONSUMERS_OF_EACH {
            let consumer = Consumer {
                url: servers.url(),
                topic: (*topic).to_owned(),
                channel: CHANNEL.to_owned(),
                claim_after: CLAIM_AFTER,
                max_in_flight: WINDOW,
                history: "".into(),
            };
            stage.start_consumer(topic, CHANNEL, consumer)?;
        }
    }

    let mut random = Rng::with_seed(options.seed);
    let mut kills = 0;
    for round in 0..rounds {
        let bound = |round| options.messages * round / rounds;
        for level in &levels {
            let publisher = Publisher {
                url: servers.url(),
                topic: level.name().to_owned(),
                level: *level,
                numbers: bound(round)..bound(round + 1),
                in_flight: PUBLISHING,
                spread_over: Some(ROUND),
                history: "".into(),
            };
            stage.start_publisher(level.name(), publisher)?;
        }
        let before = published(&stage, &topics);
        let begun = watch(&mut stage, progress, |stage| {
            let now = published(stage, &topics);
            before.iter().zip(now).all(|(before, now)| now > *before)
        });
        if !begun.await? {
            return Err("a publisher doesn't come to a beginning".into());
        }
        if round < options.kills {
            let mut time = |range: Range<f64>| {
                let share = range.start + (range.end - range.start) * random.f64();
                Duration::from_secs_f64(share)
            };
            let (cut, alone) = (time(CUT), time(ALONE));
            let until = Instant::now() + ROUND.mul_f64(cut.as_secs_f64());
            watch(&mut stage, progress, |_| Instant::now() >= until).await?;
            fail_over(&servers, &mut stage, alone).await;
            // Publishes that wait for a replica take long without one.
            servers.replica().restart().await;
            kills += 1;
            progress.say(&format!("failover {kills} of {}", options.kills));
        }
        if !watch(&mut stage, progress, Stage::published).await? {
            return Err("the publishers don't come to an end".into());
        }
        if round < options.kills {
            in_step(&servers).await;
        }
    }

    let mut drained = false;
    while !drained && stage.quiet() < STALLED {
        sleep(LOOK).await;
        stage.look()?;
        drained = true;
        for topic in &topics {
            drained &= is_drained(&pubsub, topic).await?;
        }
    }
    // What was acked since the last look.
    stage.look()?;
    let mut letters = BTreeMap::new();
    for topic in &topics {
        let count = dead_letters(&pubsub, topic, drained, progress).await?;
        letters.insert(*topic, count);
    }
    let by_level = Sums(&stage, &topics);
    let mut counts = Counts {
        scenario: options.scenario.name,
        seed: options.seed,
        messages: options.messages,
        published: by_level.of(Ledger::published),
        unsure: by_level.of(Ledger::unsure),
        delivered: by_level.of(Ledger::delivered),
        lost: by_level.of(Ledger::lost),
        duplicates: by_level.of(Ledger::duplicates),
        dead_letters: LEVELS
            .map(|level| (level.name(), letters.get(level.name()).copied()))
            .into(),
        strangers: by_level.of(Ledger::strangers),
        kills,
        longest_gap_ms: topics
            .iter()
            .map(|topic| stage.ledger(topic).longest_gap().as_millis())
            .max()
            .unwrap_or(0),
        drained,
        seconds: progress.elapsed().as_secs_f64(),
        held: false,
    };
    let none = |counts: &ByLevel<usize>| counts.values().flatten().all(|count| *count == 0);
    counts.held = counts.drained
        && counts.lost[Level::Replicated.name()] == Some(0)
        && counts.published[Level::Replicated.name()] > Some(0)
        && none(&counts.dead_letters)
        && none(&counts.strangers)
        && counts.kills == options.kills;
    stage.keep_unless(counts.held, options, progress);
    Verdict::new(counts.held, &counts)
}

/// Cuts the replica off, lets the primary go on alone for a while, kills it, and waits for the replica's promotion.
///
/// Consumers are frozen meanwhile. They would have most of what the primary takes at once, before it dies with it; those that are behind
/// would not.
async fn fail_over(servers: &RedisSentinel, stage: &mut Stage, alone: Duration) {
    let (primary, replica) = (servers.primary(), servers.replica());
    stage.freeze_all(true);
    // A frozen replica doesn't connect again.
    replica.pause();
    primary
        .command(&["CLIENT", "KILL", "TYPE", "replica"])
        .await;
    sleep(alone).await;
    primary.kill();
    replica.resume();
    stage.freeze_all(false);
    servers.failover().await;
}

/// Waits until the former primary follows the present one, and every sentinel knows it.
async fn in_step(servers: &RedisSentinel) {
    let port = servers.primary().port().to_string();
    eventually("a replica in step", SETTLED, async || {
        let command = ["INFO", "replication"];
        let Ok(reply) = servers.replica().try_command(&command).await else {
            return false;
        };
        let is = |field, value| reply.field(field).as_deref() == Some(value);
        is("role", "slave") && is("master_port", &port) && is("master_link_status", "up")
    })
    .await;
    for sentinel in servers.sentinels() {
        eventually("a sentinel that knows it", SETTLED, async || {
            let command = ["SENTINEL", "REPLICAS", "main"];
            let Ok(reply) = sentinel.try_command(&command).await else {
                return false;
            };
            let is = |replica: &braid_testkit::redis::Reply, field, value: &str| {
                let mut pairs = replica.items().chunks_exact(2);
                pairs.any(|pair| pair[0].text() == field && pair[1].text() == value)
            };
            reply.items().iter().any(|replica| {
                is(replica, "flags", "slave")
                    && is(replica, "master-port", &port)
                    && is(replica, "master-link-status", "ok")
            })
        })
        .await;
    }
}

/// Reads the histories until something has come about; false when nothing happens any more.
async fn watch(
    stage: &mut Stage,
    progress: &mut Progress,
    until: impl Fn(&Stage) -> bool,
) -> Result<bool> {
    while stage.quiet() < STALLED {
        stage.look()?;
        progress.now_and_then(|| stage.summary());
        if until(stage) {
            return Ok(true);
        }
        sleep(LOOK).await;
    }
    Ok(false)
}

fn published(stage: &Stage, topics: &[&'static str]) -> Vec<usize> {
    let published = |topic: &&str| stage.ledger(topic).published();
    topics.iter().map(published).collect()
}

/// What the ledgers of the topics say, by durability.
struct Sums<'a>(&'a Stage, &'a [&'static str]);

impl Sums<'_> {
    fn of<T>(&self, count: impl Fn(&Ledger) -> T) -> ByLevel<T> {
        let of = |level: Level| {
            let name = level.name();
            let done = self.1.contains(&name);
            (name, done.then(|| count(self.0.ledger(name))))
        };
        LEVELS.map(of).into()
    }
}
