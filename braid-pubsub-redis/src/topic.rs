//! Publishing to a topic, and what it keeps.

use crate::{
    durable::Committer,
    entry::{Encoded, encode, flat, millis},
    error::NAME,
    id::EntryId,
    link::Limits,
    names::TopicNames,
    reply, scripts,
};
use braid_core::{Error, ErrorKind, MessageId, NewMessage, Result, Topic};
use braid_redis::{Frame, Key, Redis, Value, during, keys::slot};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// For how many milliseconds a look at a topic's length is good.
const LOOK_AGAIN: u64 = 100;

/// A topic, as publishers see it.
#[derive(Debug)]
pub(crate) struct TopicHandle {
    pub(crate) partitions: Vec<Partition>,
    turn: AtomicUsize,
}

/// One stream of a topic.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) names: Arc<TopicNames>,
    pub(crate) limits: Limits,
    gauge: Gauge,
}

impl TopicHandle {
    pub(crate) fn new(topic: &Topic, partitions: u16, limits: Limits) -> Self {
        let limits = Limits {
            capacity: limits.capacity.div_ceil(usize::from(partitions.max(1))),
            ..limits
        };
        let partition = |number| Partition {
            names: Arc::new(TopicNames::new(topic, number)),
            limits,
            gauge: Gauge::default(),
        };
        Self {
            partitions: (0..partitions.max(1)).map(partition).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    pub(crate) fn count(&self) -> u16 {
        u16::try_from(self.partitions.len()).unwrap_or(u16::MAX)
    }

    /// Where a message goes: that of its key, or the next in turn.
    pub(crate) fn partition_of(&self, message: &NewMessage) -> usize {
        let count = self.partitions.len();
        // Messages of a key have to follow each other, and duplicates have to meet. The hash is the cluster's own: the same
        // everywhere, for ever.
        match message.key().or(message.dedup_key()) {
            _ if count == 1 => 0,
            Some(key) => usize::from(slot(key.as_bytes())) % count,
            None => self.turn.fetch_add(1, Ordering::Relaxed) % count,
        }
    }
}

/// How full a topic is, by the last look at the server and what this process has published since.
///
/// Asking before each publish would cost as much as the publish. Far from the cap an estimate is enough; close to it each publish
/// asks, in one script.
#[derive(Debug)]
struct Gauge {
    estimate: AtomicUsize,
    started: Instant,
    /// Milliseconds from the start to the next look.
    next_look: AtomicU64,
}

impl Default for Gauge {
    fn default() -> Self {
        Self {
            estimate: AtomicUsize::new(0),
            started: Instant::now(),
            next_look: AtomicU64::new(0),
        }
    }
}

impl Gauge {
    /// Whether it is time for a look; whoever is told so does it.
    fn is_due(&self) -> bool {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let next = self.next_look.load(Ordering::Relaxed);
        let after = now + LOOK_AGAIN;
        now >= next
            && self
                .next_look
                .compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    fn set(&self, length: usize) {
        self.estimate.store(length, Ordering::Relaxed);
    }

    fn add(&self) -> usize {
        self.estimate.fetch_add(1, Ordering::Relaxed)
    }
}

impl Partition {
    /// The fields of a message that one XADD publishes, as most are. `Err` gives back one that needs more.
    pub(crate) fn plain(
        &self,
        message: NewMessage,
    ) -> std::result::Result<Vec<(Key, Value)>, NewMessage> {
        let plain = message.key().is_none()
            && message.dedup_key().is_none()
            && !self.gauge.is_due()
            && self.gauge.add() < near(&self.limits);
        if plain {
            Ok(encode(message).fields)
        } else {
            Err(message)
        }
    }

    /// Publishes by one XADD, whatever else there is.
    pub(crate) async fn append(
        &self,
        redis: &Redis,
        fields: Vec<(Key, Value)>,
    ) -> Result<MessageId> {
        let stream = Key::from(self.names.stream.clone());
        self.stored(redis.append(self.names.slot, stream, fields).await)
    }

    pub(crate) async fn publish(
        &self,
        redis: &Redis,
        dedup_window: Duration,
        durability: Option<&Committer>,
        message: NewMessage,
    ) -> Result<MessageId> {
        let encoded = encode(message);
        let special = encoded.has_key || encoded.dedup.is_some();
        // Without a durability, a message that isn't special is here for a look, or since the topic is nearly full.
        if !special && (durability.is_none() || self.gauge.is_due()) {
            let length = self.length(redis).await?;
            self.gauge.set(length);
        }
        if special || self.gauge.add() >= near(&self.limits) {
            let stored = self
                .by_script(redis, dedup_window, durability, &encoded)
                .await;
            return match stored {
                Err(error) if error.kind() == ErrorKind::Rejected => {
                    // Perhaps nobody has looked for a while at what is no longer needed.
                    match retain(redis, &self.names, &self.limits).await {
                        Ok(_) => {
                            self.by_script(redis, dedup_window, durability, &encoded)
                                .await
                        }
                        // It is the reason why the topic is full.
                        Err(refused) if refused.kind() == ErrorKind::Config => Err(refused),
                        Err(_) => Err(error),
                    }
                }
                stored => stored,
            };
        }
        let Some(committer) = durability else {
            return self.append(redis, encoded.fields).await;
        };
        let head = [
            Value::Bytes(self.names.stream.clone()),
            Value::from_static_str("*"),
        ];
        let args = head.into_iter().chain(flat(encoded.fields)).collect();
        self.stored(committer.commit(&self.names, "XADD", args).await)
    }

    /// The id that an XADD gave.
    fn stored(&self, frame: Result<Frame>) -> Result<MessageId> {
        self.id(&self.named(frame)?)
    }

    async fn by_script(
        &self,
        redis: &Redis,
        dedup_window: Duration,
        durability: Option<&Committer>,
        encoded: &Encoded,
    ) -> Result<MessageId> {
        let mut keys = self.names.keys();
        let dedup = encoded.dedup.as_deref();
        keys.push(Value::Bytes(match dedup {
            Some(key) => self.names.dedup(key),
            None => self.names.channels.clone(),
        }));
        let mut args = vec![
            Value::Integer(i64::try_from(self.limits.capacity).unwrap_or(i64::MAX)),
            Value::Integer(millis(dedup_window)),
            Value::Integer(i64::from(dedup.is_some())),
            Value::Integer(i64::from(encoded.has_key)),
        ];
        args.extend(flat(encoded.fields.clone()));
        let frame = match durability {
            None => {
                redis
                    .run(&scripts::PUBLISH, self.names.slot, keys, args)
                    .await
            }
            Some(committer) => {
                committer
                    .commit_script(&self.names, &scripts::PUBLISH, keys, args)
                    .await
            }
        };
        let frame = self.named(frame)?;
        let answer = reply::as_array(&frame).unwrap_or_default();
        let unreadable = || reply::unreadable("publish", &self.names.topic);
        let value = answer.get(1).ok_or_else(unreadable)?;
        match answer.first().and_then(reply::as_text) {
            Some("stored") => {
                if let Some(length) = answer.get(2) {
                    self.gauge.set(reply::count(length));
                }
                self.id(value)
            }
            Some("duplicate") => self.id(value),
            Some("full") => {
                let length = reply::count(value);
                self.gauge.set(length);
                let text = format!(
                    "topic `{}` is at its cap: it holds {length} messages of at most {}; its slowest channel keeps them",
                    self.names.topic, self.limits.capacity
                );
                Err(Error::new(ErrorKind::Rejected, NAME, "publish", text))
            }
            _ => Err(unreadable()),
        }
    }

    pub(crate) async fn length(&self, redis: &Redis) -> Result<usize> {
        let args = vec![Value::Bytes(self.names.stream.clone())];
        let frame = redis.command("XLEN", self.names.slot, args).await;
        Ok(reply::count(&self.named(frame)?))
    }

    fn named(&self, frame: Result<Frame>) -> Result<Frame> {
        frame.map_err(|error| {
            during(
                NAME,
                "publish",
                format_args!("topic `{}`", self.names.topic),
                error,
            )
        })
    }

    fn id(&self, frame: &Frame) -> Result<MessageId> {
        let text = reply::as_text(frame);
        let id = text.and_then(|text| EntryId::parse_named(text, self.names.partition));
        id.map(|(_, id)| id)
            .ok_or_else(|| reply::unreadable("publish", &self.names.topic))
    }
}

/// From how many messages on each publish asks whether there is room.
fn near(limits: &Limits) -> usize {
    limits.capacity - limits.capacity / 8
}

/// Removes what no channel of a topic needs any more, if nobody has done so just now. Gives the channels that no longer hold it back.
pub(crate) async fn retain(
    redis: &Redis,
    names: &TopicNames,
    limits: &Limits,
) -> Result<Vec<String>> {
    let mut args = vec![
        Value::Integer(millis(limits.retention_interval)),
        Value::Integer(limits.forget_after.map_or(-1, millis)),
        Value::Integer(millis(limits.ephemeral_after)),
    ];
    args.extend(names.channel_prefixes().map(Value::Bytes));
    let frame = redis
        .run(&scripts::RETAIN, names.slot, names.keys(), args)
        .await?;
    let forgotten = reply::as_array(&frame).and_then(|answer| reply::as_array(answer.get(1)?));
    let forgotten = forgotten.unwrap_or_default().iter();
    Ok(forgotten
        .filter_map(|name| Some(reply::as_text(name)?.to_owned()))
        .collect())
}
