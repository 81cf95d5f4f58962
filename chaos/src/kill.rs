//! `pubsub-kill`: consumers are killed while messages flow. Nothing acked is lost, no channel gets more duplicates than what the
//! killed ones held.

use crate::{
    Result,
    consumer::Consumer,
    options::Options,
    progress::Progress,
    publisher::{Level, Publisher},
    scenario::Verdict,
    stage::{LOOK, STALLED, Stage, connect, create_channels, dead_letters, is_drained},
};
use braid_testkit::redis::RedisServer;
use fastrand::Rng;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::time::sleep;

const TOPIC: &str = "numbers";
const CHANNELS: [&str; 2] = ["audit", "mail"];
const CONSUMERS_OF_EACH: usize = 3;
const PUBLISHERS: usize = 2;
/// How many publishes each publisher has under way.
const PUBLISHING: usize = 128;
/// How many deliveries a consumer may hold: what a kill may bring a second time.
const WINDOW: usize = 256;
const CLAIM_AFTER: Duration = Duration::from_secs(2);
/// Long enough that what a frozen consumer holds is another's when it goes on.
const FROZEN: Duration = Duration::from_secs(4);
/// So much time a kill, at least, is there to be published in.
const A_KILL: Duration = Duration::from_millis(300);
/// The share of everything at which nothing more comes, though something may be missing.
const DONE: f64 = 1.0;
/// One freeze for so many kills.
const KILLS_A_FREEZE: usize = 10;

#[derive(Serialize)]
struct Counts {
    scenario: &'static str,
    seed: u64,
    messages: usize,
    published: usize,
    /// Publishes that may have happened.
    unsure: usize,
    delivered: BTreeMap<&'static str, usize>,
    lost: usize,
    duplicates: usize,
    duplicates_allowed: usize,
    dead_letters: usize,
    strangers: usize,
    kills: usize,
    freezes: usize,
    longest_gap_ms: u128,
    faults: usize,
    drained: bool,
    seconds: f64,
    held: bool,
}

pub(crate) async fn run(options: &Options, progress: &mut Progress) -> Result<Verdict> {
    let server = RedisServer::builder().start().await;
    let pubsub = connect(&server.url()).await?;
    create_channels(&pubsub, TOPIC, &CHANNELS).await?;
    let mut stage = Stage::new(options.messages, &[TOPIC], &CHANNELS)?;
    for channel in CHANNELS {
        for _ in 0..CONSUMERS_OF_EACH {
            let consumer = Consumer {
                url: server.url(),
                topic: TOPIC.to_owned(),
                channel: channel.to_owned(),
                claim_after: CLAIM_AFTER,
                max_in_flight: WINDOW,
                history: "".into(),
            };
            stage.start_consumer(TOPIC, channel, consumer)?;
        }
    }
    for index in 0..PUBLISHERS {
        let bound = |index| options.messages * index / PUBLISHERS;
        let publisher = Publisher {
            url: server.url(),
            topic: TOPIC.to_owned(),
            level: Level::Fast,
            numbers: bound(index)..bound(index + 1),
            in_flight: PUBLISHING,
            spread_over: Some(A_KILL * u32::try_from(options.kills)?),
            history: "".into(),
        };
        stage.start_publisher(TOPIC, publisher)?;
    }

    let mut faults = Faults::new(options);
    let mut drained = false;
    while !drained && stage.quiet() < STALLED {
        sleep(LOOK).await;
        stage.look()?;
        let ledger = stage.ledger(TOPIC);
        let done = ledger.delivered().values().sum::<usize>();
        let share = match stage.published() && is_drained(&pubsub, TOPIC).await? {
            true => DONE,
            false => done as f64 / (options.messages * CHANNELS.len()) as f64,
        };
        progress.now_and_then(|| {
            let (kills, of) = (faults.kills, options.kills);
            format!("{}; {kills} of {of} kills", stage.summary())
        });
        faults.make(&mut stage, share)?;
        drained = share >= DONE && faults.is_over();
    }
    // What was acked since the last look.
    stage.look()?;

    let dead_letters = dead_letters(&pubsub, TOPIC, drained, progress).await?;
    let ledger = stage.ledger(TOPIC);
    let mut counts = Counts {
        scenario: options.scenario.name,
        seed: options.seed,
        messages: options.messages,
        published: ledger.published(),
        unsure: ledger.unsure(),
        delivered: ledger.delivered(),
        lost: ledger.lost(),
        duplicates: ledger.duplicates(),
        duplicates_allowed: (faults.kills + faults.freezes) * WINDOW,
        dead_letters,
        strangers: ledger.strangers(),
        kills: faults.kills,
        freezes: faults.freezes,
        longest_gap_ms: ledger.longest_gap().as_millis(),
        faults: ledger.faults(),
        drained,
        seconds: progress.elapsed().as_secs_f64(),
        held: false,
    };
    counts.held = counts.drained
        && counts.published + counts.unsure == counts.messages
        && counts.lost == 0
        && counts.duplicates <= counts.duplicates_allowed
        && counts.dead_letters == 0
        && counts.strangers == 0
        && counts.kills == options.kills;
    stage.keep_unless(counts.held, options, progress);
    Verdict::new(counts.held, &counts)
}

/// What is done to the consumers, and when.
struct Faults {
    random: Rng,
    /// How much is to be delivered before each; the next one is the last.
    kills_at: Vec<f64>,
    freezes_at: Vec<f64>,
    /// Consumers, and when they go on.
    frozen: Vec<(usize, Instant)>,
    kills: usize,
    freezes: usize,
}

impl Faults {
    fn new(options: &Options) -> Self {
        let mut random = Rng::with_seed(options.seed);
        let mut moments = |count| {
            // None so late that everything is delivered before it is made.
            let mut moments: Vec<_> = (0..count).map(|_| 0.9 * random.f64()).collect();
            moments.sort_by(|a, b| b.total_cmp(a));
            moments
        };
        let kills_at = moments(options.kills);
        let freezes_at = moments(options.kills.div_ceil(KILLS_A_FREEZE));
        Self {
            random,
            kills_at,
            freezes_at,
            frozen: Vec::new(),
            kills: 0,
            freezes: 0,
        }
    }

    /// Makes what is due when this share of everything was delivered.
    fn make(&mut self, stage: &mut Stage, share: f64) -> Result<()> {
        let now = Instant::now();
        self.frozen.retain(|(consumer, until)| {
            if *until <= now {
                stage.thaw(*consumer);
            }
            *until > now
        });
        let is_due = |moments: &[f64]| moments.last().is_some_and(|moment| *moment <= share);
        while is_due(&self.kills_at) {
            let Some(consumer) = self.choose(stage, share) else {
                break;
            };
            stage.kill(consumer)?;
            self.frozen.retain(|(frozen, _)| *frozen != consumer);
            self.kills_at.pop();
            self.kills += 1;
        }
        while is_due(&self.freezes_at) {
            let Some(consumer) = self.choose(stage, share) else {
                break;
            };
            self.freezes_at.pop();
            if stage.freeze(consumer) {
                self.frozen.push((consumer, now + FROZEN));
                self.freezes += 1;
            }
        }
        Ok(())
    }

    /// A consumer to do something to.
    fn choose(&mut self, stage: &Stage, share: f64) -> Option<usize> {
        match share >= DONE {
            true => self.random.choice(0..stage.consumers()),
            // One that has just been started holds nothing that could be lost.
            false => self.random.choice(stage.at_work()),
        }
    }

    /// Whether all were made, and nobody is frozen.
    fn is_over(&self) -> bool {
        self.kills_at.is_empty() && self.freezes_at.is_empty() && self.frozen.is_empty()
    }
}
