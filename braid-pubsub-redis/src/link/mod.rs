//! One consumer's words with the server: each command and script that belongs to its channel.

mod deliveries;
mod keys;

pub(crate) use self::keys::{Lease, Marked};

use crate::{
    consumer::Lane,
    entry::{Entry, millis},
    error::NAME,
    id::{EntryId, texts},
    names::{ChannelNames, TopicNames},
    reply, scripts, topics,
};
use braid_core::{Channel, ChannelKind, Error, ErrorKind, Result, Start, SubscribeOptions, Topic};
use braid_redis::{Frame, Redis, Script, Value};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};

/// One consumer of a channel, as the server knows it.
pub(crate) struct Link {
    pub(crate) redis: Redis,
    pub(crate) names: Arc<TopicNames>,
    /// How many the topic has.
    partitions: u16,
    pub(crate) channel: ChannelNames,
    pub(crate) options: SubscribeOptions,
    pub(crate) limits: Limits,
    /// The consumer's name, the same in all partitions.
    me: Bytes,
}

/// What the configuration says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) capacity: usize,
    pub(crate) block: Duration,
    pub(crate) ephemeral_after: Duration,
    pub(crate) forget_after: Option<Duration>,
    pub(crate) retention_interval: Duration,
}

/// What a script said of the next time that something gets due, and of what it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Answer<T> {
    pub(crate) next_due: Option<Duration>,
    pub(crate) results: T,
}

/// What a join found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joined {
    /// The channel was away for so long that its topic was no longer held back for it.
    pub(crate) forgotten: bool,
    pub(crate) has_keys: bool,
}

fn text(text: impl Into<String>) -> Value {
    Value::String(text.into().into())
}

fn number(number: i64) -> Value {
    Value::Integer(number)
}

fn size(size: usize) -> Value {
    Value::Integer(i64::try_from(size).unwrap_or(i64::MAX))
}

fn ids<'a>(ids: &'a [EntryId]) -> impl Iterator<Item = Value> + 'a {
    texts(ids.iter().copied()).map(Value::Bytes)
}

fn wait(frame: Option<&Frame>) -> Option<Duration> {
    let wait = frame.and_then(reply::as_int)?;
    u64::try_from(wait).ok().map(Duration::from_millis)
}

/// What scripts answer that say when something gets due: that, and one thing more.
fn answer(frame: Frame) -> Answer<Vec<Frame>> {
    let mut parts = reply::array(frame).into_iter();
    Answer {
        next_due: wait(parts.next().as_ref()),
        results: parts.next().map(reply::array).unwrap_or_default(),
    }
}

impl<T> Answer<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            next_due: self.next_due,
            results: f(self.results),
        }
    }
}

impl Link {
    pub(crate) fn new(
        redis: Redis,
        names: Arc<TopicNames>,
        partitions: u16,
        channel: &Channel,
        options: SubscribeOptions,
        limits: Limits,
        me: Bytes,
    ) -> Self {
        Self {
            channel: names.channel(channel),
            redis,
            names,
            partitions,
            options,
            limits,
            me,
        }
    }

    pub(crate) fn topic(&self) -> &Topic {
        &self.names.topic
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel.channel
    }

    pub(crate) fn me(&self) -> &Bytes {
        &self.me
    }

    pub(crate) fn has_dead_letters(&self) -> bool {
        self.names.has_dead_letters()
    }

    fn is_ephemeral(&self) -> bool {
        self.options.kind == ChannelKind::Ephemeral
    }

    pub(crate) fn group(&self, lane: Lane) -> Value {
        Value::Bytes(match lane {
            Lane::Shared => self.channel.group.clone(),
            Lane::Keys => self.channel.group_of_keys.clone(),
        })
    }

    pub(crate) fn consumer(&self) -> Value {
        Value::Bytes(self.me.clone())
    }

    /// What scripts begin with that move messages to the dead letters: group, consumer, names, attempts, cap, longest wait.
    fn ending(&self, lane: Lane) -> Vec<Value> {
        // Without dead letters the attempts never end.
        let attempts = match self.has_dead_letters() {
            true => i64::from(self.options.max_attempts),
            false => 1 << 53,
        };
        let longest = self.options.backoff.max.max(Duration::from_secs(1));
        vec![
            self.group(lane),
            self.consumer(),
            text(self.topic().as_str()),
            text(self.channel().as_str()),
            number(attempts),
            size(self.limits.capacity),
            number(millis(longest)),
        ]
    }

    async fn run(&self, script: &Script, lane: Lane, args: Vec<Value>) -> Result<Frame> {
        let keys = self.names.keys_of(&self.channel, lane == Lane::Keys);
        // Boxed: it is part of many futures, and most of their size.
        Box::pin(self.redis.run(script, self.names.slot, keys, args)).await
    }

    async fn command(&self, name: &'static str, args: Vec<Value>) -> Result<Frame> {
        self.redis.command(name, self.names.slot, args).await
    }

    /// Writes a field of this consumer's.
    async fn note(&self, kind: &str, value: Value) -> Result<()> {
        let field = [kind.as_bytes(), &self.me].concat();
        let args = vec![
            Value::Bytes(self.channel.consumers.clone()),
            Value::Bytes(field.into()),
            value,
        ];
        self.command("HSET", args).await.map(drop)
    }

    /// Entries, as reads give them.
    fn decode_all(&self, frames: Vec<Frame>) -> Vec<Entry> {
        frames
            .into_iter()
            .filter_map(|frame| self.decode(frame))
            .collect()
    }

    fn decode(&self, frame: Frame) -> Option<Entry> {
        let mut parts = reply::array(frame).into_iter();
        Entry::decode(&parts.next()?, parts.next()?, self.names.partition)
    }

    fn unreadable(&self, operation: &'static str) -> Error {
        reply::unreadable(operation, self.topic())
    }

    /// Becomes a consumer of the channel. `again` after the group was lost.
    pub(crate) async fn join(&self, again: bool) -> Result<Joined> {
        let start = match &self.options.start {
            Start::New => "$".to_owned(),
            Start::Beginning => "0-0".to_owned(),
            Start::After(id) => {
                let unknown = || {
                    let text = format!(
                        "topic `{}`: `{id}` is no id of a message on Redis",
                        self.topic()
                    );
                    Error::new(ErrorKind::Config, NAME, "subscribe", text)
                };
                EntryId::behind(id, self.names.partition)
                    .ok_or_else(unknown)?
                    .to_string()
            }
        };
        let kind = match self.options.kind {
            ChannelKind::Shared => "shared",
            ChannelKind::Ephemeral => "ephemeral",
        };
        let args = vec![
            self.group(Lane::Shared),
            text(self.channel().as_str()),
            self.consumer(),
            text(kind),
            text(start),
            number(millis(self.options.claim_after)),
            number(millis(self.limits.ephemeral_after)),
            number(i64::from(again)),
        ];
        let frame = self.run(&scripts::JOIN, Lane::Shared, args).await?;
        let answer = reply::as_array(&frame).ok_or_else(|| self.unreadable("subscribe"))?;
        let flag = |at: usize| answer.get(at).and_then(reply::as_int).unwrap_or(0) > 0;
        let conflict = |what: String| {
            let text = format!(
                "channel `{}` of topic `{}` {what}",
                self.channel(),
                self.topic()
            );
            Err(Error::new(ErrorKind::Conflict, NAME, "subscribe", text))
        };
        match answer.first().and_then(reply::as_text) {
            Some("made" | "joined") => Ok(Joined {
                forgotten: flag(1),
                has_keys: flag(2),
            }),
            Some("kind") => {
                let present = answer
                    .get(1)
                    .and_then(reply::as_text)
                    .unwrap_or("of another kind");
                conflict(format!("is {present}"))
            }
            Some("taken") => conflict("is ephemeral and belongs to another consumer".to_owned()),
            _ => Err(self.unreadable("subscribe")),
        }
    }

    /// Enters the topic into the list of topics, where it is missing after the server was emptied.
    pub(crate) async fn enter(&self) -> Result<()> {
        topics::enter(&self.redis, self.topic(), self.partitions)
            .await
            .map(drop)
    }

    /// Leaves the channel: what is not among `held` goes back to it, uncounted.
    pub(crate) async fn leave(&self, keeps_lease: bool, held: &[EntryId]) -> Result<()> {
        let kind = match self.is_ephemeral() {
            true => "ephemeral",
            false => "shared",
        };
        let mut args = vec![
            self.group(Lane::Shared),
            text(self.channel().as_str()),
            self.consumer(),
            text(kind),
            number(i64::from(keeps_lease)),
        ];
        args.extend(ids(held));
        self.run(&scripts::LEAVE, Lane::Shared, args)
            .await
            .map(drop)
    }

    /// Does what is to be done now and then. Gives whether the channel has messages with keys.
    pub(crate) async fn tend(&self, interval: Duration) -> Result<Answer<bool>> {
        let mut args = self.ending(Lane::Shared);
        args.extend([
            number(millis(self.options.claim_after)),
            number(millis(interval)),
        ]);
        let frame = self.run(&scripts::TEND, Lane::Shared, args).await?;
        let answer = reply::as_array(&frame).ok_or_else(|| self.unreadable("tend"))?;
        Ok(Answer {
            next_due: wait(answer.first()),
            results: answer.get(1).and_then(reply::as_int) == Some(1),
        })
    }

    /// Removes what no channel needs any more. Gives the channels that were forgotten just now.
    pub(crate) async fn retain(&self) -> Result<Vec<String>> {
        crate::topic::retain(&self.redis, &self.names, &self.limits).await
    }
}
