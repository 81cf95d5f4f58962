//! A process that publishes numbers.

use crate::{
    Result,
    history::{History, Record, now},
};
use braid_core::{Component as _, ErrorKind, NewMessage, PubSub as _, ShutdownTrigger, Topic};
use braid_pubsub_redis::{Durability, PubSubConfig, RedisPubSub};
use serde::{Deserialize, Serialize};
use std::{
    ops::Range,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

/// How the program is started for this.
pub(crate) const ROLE: &str = "publisher";

/// Between two attempts at what surely was not stored.
const PAUSE: Duration = Duration::from_millis(20);

/// What a publisher has to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Publisher {
    pub(crate) url: String,
    pub(crate) topic: String,
    pub(crate) level: Level,
    /// The numbers to publish.
    pub(crate) numbers: Range<usize>,
    /// How many publishes may be under way.
    pub(crate) in_flight: usize,
    /// How long all of it is to take; `None`: no longer than it must.
    pub(crate) spread_over: Option<Duration>,
    pub(crate) history: PathBuf,
}

/// What has to have happened before a publish is acked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Level {
    Fast,
    Replicated,
    Durable,
}

impl Level {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Replicated => "replicated",
            Self::Durable => "durable",
        }
    }

    pub(crate) fn durability(self) -> Durability {
        match self {
            Self::Fast => Durability::Fast,
            // There is one replica to be promoted.
            Self::Replicated => Durability::Replicated {
                n: 1,
                timeout: Duration::from_millis(500),
            },
            Self::Durable => Durability::Durable,
        }
    }
}

/// Publishes, and writes down what became of each number.
pub(crate) fn run(config: &str) -> Result<()> {
    let config: Publisher = serde_json::from_str(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(publish(config))
}

async fn publish(config: Publisher) -> Result<()> {
    let history = Arc::new(History::create(&config.history)?);
    let pubsub = RedisPubSub::connect(patient(&config.url, config.level.durability())).await?;
    let trigger = ShutdownTrigger::new();
    let background = {
        let (pubsub, shutdown) = (pubsub.clone(), trigger.shutdown());
        tokio::spawn(async move { pubsub.run(shutdown).await })
    };
    let topic = Topic::new(config.topic.as_str())?;
    let next = Arc::new(AtomicUsize::new(config.numbers.start));
    let started = Instant::now();
    let mut tasks = JoinSet::<Result<()>>::new();
    for _ in 0..config.in_flight {
        let (history, pubsub, topic, next) = (
            Arc::clone(&history),
            pubsub.clone(),
            topic.clone(),
            Arc::clone(&next),
        );
        let (numbers, spread_over) = (config.numbers.clone(), config.spread_over);
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if !numbers.contains(&number) {
                    return Ok(());
                }
                if let Some(spread_over) = spread_over {
                    let share = (number - numbers.start) as f64 / numbers.len() as f64;
                    sleep_until(started + spread_over.mul_f64(share)).await;
                }
                publish_one(&pubsub, &topic, number, &history).await?;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    trigger.drain();
    Ok(background.await??)
}

async fn publish_one(
    pubsub: &RedisPubSub,
    topic: &Topic,
    number: usize,
    history: &History,
) -> Result<()> {
    loop {
        let message = NewMessage::new(number.to_string());
        let error = match pubsub.publish(topic, message).await {
            Ok(_) => return history.write(Record::Acked(number, now())),
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::Timeout | ErrorKind::Indeterminate => {
                history.write(Record::Fault(&error.to_string()))?;
                return history.write(Record::Unsure(number, now()));
            }
            // Nothing was stored, so that this makes no duplicate: if it does, the count of duplicates tells.
            ErrorKind::Unavailable | ErrorKind::Rejected => sleep(PAUSE).await,
            _ => return Err(error.into()),
        }
    }
}

/// The server's, for a process that outlives a failover.
pub(crate) fn patient(url: &str, durability: Durability) -> PubSubConfig {
    let mut config = PubSubConfig::new(url);
    config.redis.start_timeout = Duration::from_secs(60);
    config.durability = durability;
    config
}
