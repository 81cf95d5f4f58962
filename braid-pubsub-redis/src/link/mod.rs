//! One consumer's words with the server: each command and script that belongs to its channel.

use crate::{
    consumer::{Lane, Outcome, Settled, Settlement},
    entry::{Entry, millis},
    error::NAME,
    id::EntryId,
    key_lane::Candidate,
    names::{ChannelNames, TopicNames},
    reply, scripts,
};
use braid_core::{Channel, ChannelKind, Error, ErrorKind, Result, Start, SubscribeOptions, Topic};
use braid_redis::{Dedicated, Frame, Redis, Script, Value};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};

/// One consumer of a channel, as the server knows it.
pub(crate) struct Link {
    pub(crate) redis: Redis,
    pub(crate) names: Arc<TopicNames>,
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

/// Who holds the lease on a channel's keys.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lease {
    /// This consumer, as before.
    Renewed,
    /// This consumer, from now on; and the connections by which former holders may still be reading.
    Taken(Vec<i64>),
    Anothers,
}

/// What became of the wish to hand out a message with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marked {
    Handed(u32),
    /// It is due later.
    Early(Duration),
    /// It is a dead letter now, or gone.
    Over,
    /// It waits since the dead letters are full.
    Waits,
    /// Somebody else hands these out now.
    Lost,
}

/// A message that a former holder of the lease has left.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) id: EntryId,
    pub(crate) wait: Duration,
    /// How often it was handed out.
    pub(crate) handed: u32,
    /// `None` when it was gone from the stream, or was this consumer's and isn't asked for.
    pub(crate) entry: Option<Entry>,
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

fn wait(frame: Option<&Frame>) -> Option<Duration> {
    let wait = frame.and_then(reply::as_int)?;
    u64::try_from(wait).ok().map(Duration::from_millis)
}

impl Link {
    pub(crate) fn new(
        redis: Redis,
        names: Arc<TopicNames>,
        channel: &Channel,
        options: SubscribeOptions,
        limits: Limits,
        me: Bytes,
    ) -> Self {
        Self {
            channel: names.channel(channel),
            redis,
            names,
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

    fn named(&self) -> [Value; 2] {
        [text(self.topic().as_str()), text(self.channel().as_str())]
    }

    /// What scripts need that move messages to the dead letters: attempts, cap, longest wait.
    fn ends(&self) -> [Value; 3] {
        // Without dead letters the attempts never end.
        let attempts = match self.has_dead_letters() {
            true => i64::from(self.options.max_attempts),
            false => 1 << 53,
        };
        let longest = self.options.backoff.max.max(Duration::from_secs(1));
        [
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

    /// An entry, as reads give it.
    fn decode(&self, frame: Frame) -> Option<Entry> {
        let mut parts = reply::array(frame).into_iter();
        Entry::decode(&parts.next()?, parts.next()?, self.names.partition)
    }

    fn unreadable(&self, operation: &'static str) -> Error {
        reply::unreadable(operation, self.topic())
    }

    // ===== the channel =====

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
        args.extend(held.iter().map(|id| text(id.to_string())));
        self.run(&scripts::LEAVE, Lane::Shared, args)
            .await
            .map(drop)
    }

    /// Does what is to be done now and then. Gives whether the channel has messages with keys.
    pub(crate) async fn tend(&self, interval: Duration) -> Result<Answer<bool>> {
        let [topic, channel] = self.named();
        let [attempts, cap, longest] = self.ends();
        let args = vec![
            self.group(Lane::Shared),
            self.consumer(),
            topic,
            channel,
            attempts,
            cap,
            longest,
            number(millis(self.options.claim_after)),
            number(millis(interval)),
        ];
        let frame = self.run(&scripts::TEND, Lane::Shared, args).await?;
        let answer = reply::as_array(&frame).ok_or_else(|| self.unreadable("tend"))?;
        Ok(Answer {
            next_due: wait(answer.first()),
            results: answer.get(1).and_then(reply::as_int) == Some(1),
        })
    }

    // ===== deliveries =====

    /// Reads new messages, waiting for them at the server.
    pub(crate) async fn read(
        &self,
        connection: &Dedicated,
        lane: Lane,
        count: usize,
    ) -> Result<Vec<Entry>> {
        let args = vec![
            Value::from_static_str("GROUP"),
            self.group(lane),
            self.consumer(),
            Value::from_static_str("COUNT"),
            size(count),
            Value::from_static_str("BLOCK"),
            number(millis(self.limits.block)),
            Value::from_static_str("STREAMS"),
            Value::Bytes(self.names.stream.clone()),
            Value::from_static_str(">"),
        ];
        // A read that waits is answered after one block time.
        let frame = connection
            .command("XREADGROUP", args, 2 * self.limits.block)
            .await?;
        Ok(reply::entries(frame)
            .into_iter()
            .filter_map(|frame| self.decode(frame))
            .collect())
    }

    /// The name of a connection, by which its read can be ended.
    pub(crate) async fn connection(&self, connection: &Dedicated) -> Result<i64> {
        let args = vec![Value::from_static_str("ID")];
        let frame = connection
            .command("CLIENT", args, self.limits.block)
            .await?;
        reply::as_int(&frame).ok_or_else(|| self.unreadable("read"))
    }

    /// Says by which connection messages with keys are read.
    pub(crate) async fn reads_by(&self, connection: i64) -> Result<()> {
        let mut field = b"r:".to_vec();
        field.extend_from_slice(&self.me);
        let args = vec![
            Value::Bytes(self.channel.consumers.clone()),
            Value::Bytes(field.into()),
            number(connection),
        ];
        self.redis
            .command("HSET", self.names.slot, args)
            .await
            .map(drop)
    }

    /// Ends the read that waits on a connection.
    pub(crate) async fn unblock(&self, connection: i64) -> Result<()> {
        let args = vec![Value::from_static_str("UNBLOCK"), number(connection)];
        self.redis
            .command("CLIENT", self.names.slot, args)
            .await
            .map(drop)
    }

    /// What reads whose answers were lost have brought, beside what is known.
    pub(crate) async fn recover(&self, known: &[EntryId]) -> Result<Answer<Vec<Entry>>> {
        let mut args = vec![self.group(Lane::Shared), self.consumer()];
        args.extend(known.iter().map(|id| text(id.to_string())));
        let frame = self.run(&scripts::RECOVER, Lane::Shared, args).await?;
        let mut answer = reply::array(frame).into_iter();
        let next_due = wait(answer.next().as_ref());
        let found = answer.next().map(reply::array).unwrap_or_default();
        Ok(Answer {
            next_due,
            results: found
                .into_iter()
                .filter_map(|frame| self.decode(frame))
                .collect(),
        })
    }

    /// Counts the hand-out of everything that this consumer has read up to `last`.
    pub(crate) async fn mark(&self, last: EntryId) -> Result<()> {
        let mut field = Vec::with_capacity(2 + self.me.len());
        field.extend_from_slice(b"w:");
        field.extend_from_slice(&self.me);
        let args = vec![
            Value::Bytes(self.channel.consumers.clone()),
            Value::Bytes(field.into()),
            text(last.to_string()),
        ];
        self.redis
            .command("HSET", self.names.slot, args)
            .await
            .map(drop)
    }

    /// Takes one message that is due for another attempt, which is counted. `ticket` is another one for each answer that has come;
    /// `again` after an answer that was lost: what it took is given, if it took any.
    pub(crate) async fn take(
        &self,
        ticket: u64,
        again: bool,
    ) -> Result<Answer<Option<(Entry, u32)>>> {
        let [topic, channel] = self.named();
        let [attempts, cap, longest] = self.ends();
        let args = vec![
            self.group(Lane::Shared),
            self.consumer(),
            topic,
            channel,
            attempts,
            cap,
            longest,
            text(ticket.to_string()),
            number(i64::from(again)),
        ];
        let frame = self.run(&scripts::TAKE, Lane::Shared, args).await?;
        let mut answer = reply::array(frame).into_iter();
        let next_due = wait(answer.next().as_ref());
        let results = match (answer.next(), answer.next(), answer.next()) {
            (Some(attempt), Some(id), Some(fields)) => {
                let entry = Entry::decode(&id, fields, self.names.partition)
                    .ok_or_else(|| self.unreadable("take"))?;
                let attempt = reply::as_int(&attempt).and_then(|n| u32::try_from(n).ok());
                Some((entry, attempt.unwrap_or(u32::MAX)))
            }
            _ => None,
        };
        Ok(Answer { next_due, results })
    }

    /// Puts off what was read and is to be handed out later; gives for each whether it still was early.
    pub(crate) async fn delay(&self, entries: &[(EntryId, u64)]) -> Result<Answer<Vec<bool>>> {
        let mut args = vec![self.group(Lane::Shared), self.consumer()];
        for (id, not_before) in entries {
            args.extend([text(id.to_string()), text(not_before.to_string())]);
        }
        let frame = self.run(&scripts::DELAY, Lane::Shared, args).await?;
        let mut answer = reply::array(frame).into_iter();
        let next_due = wait(answer.next().as_ref());
        let early = answer.next().map(reply::array).unwrap_or_default();
        Ok(Answer {
            next_due,
            results: early
                .iter()
                .map(|early| reply::as_int(early) == Some(1))
                .collect(),
        })
    }

    /// Sends acks. Each counts, whoever holds the message now.
    pub(crate) async fn ack(&self, lane: Lane, ids: &[EntryId]) -> Result<()> {
        let mut args = Vec::with_capacity(2 + ids.len());
        args.extend([Value::Bytes(self.names.stream.clone()), self.group(lane)]);
        args.extend(ids.iter().map(|id| text(id.to_string())));
        self.redis
            .command("XACK", self.names.slot, args)
            .await
            .map(drop)
    }

    /// Settles deliveries, those of them that are still held.
    pub(crate) async fn settle(
        &self,
        lane: Lane,
        settlements: &[&Settlement],
    ) -> Result<Answer<Vec<Settled>>> {
        let [topic, channel] = self.named();
        let [attempts, cap, longest] = self.ends();
        let mut args = vec![
            self.group(lane),
            self.consumer(),
            topic,
            channel,
            attempts,
            cap,
            longest,
            number(i64::from(lane == Lane::Keys)),
        ];
        for settlement in settlements {
            let (what, wait, reason) = match &settlement.outcome {
                Outcome::Failed { wait, reason } => ("failed", *wait, reason.as_str()),
                Outcome::Dead { reason } => ("dead", Duration::ZERO, reason.as_str()),
                Outcome::Back => ("back", Duration::ZERO, ""),
            };
            args.extend([
                text(settlement.id.to_string()),
                number(i64::from(settlement.attempt)),
                Value::from_static_str(what),
                number(millis(wait)),
                text(reason),
            ]);
        }
        let frame = self.run(&scripts::SETTLE, lane, args).await?;
        let mut answer = reply::array(frame).into_iter();
        let next_due = wait(answer.next().as_ref());
        let results = answer.next().map(reply::array).unwrap_or_default();
        let settled = |frame: &Frame| match reply::as_text(frame) {
            Some("waits") => Settled::Waits,
            Some("dead") => Settled::Dead,
            Some("gone") => Settled::Gone,
            _ => Settled::Lost,
        };
        Ok(Answer {
            next_due,
            results: results.iter().map(settled).collect(),
        })
    }

    /// Starts the claim time of deliveries anew; gives those that are still this consumer's.
    pub(crate) async fn beat(&self, lane: Lane, held: &[(EntryId, u32)]) -> Result<Vec<EntryId>> {
        let mut args = vec![self.group(lane), self.consumer()];
        for (id, attempt) in held {
            args.extend([text(id.to_string()), number(i64::from(*attempt))]);
        }
        let frame = self.run(&scripts::BEAT, lane, args).await?;
        let mine = reply::array(frame);
        Ok(mine
            .iter()
            .filter_map(|id| EntryId::parse(reply::as_text(id)?))
            .collect())
    }

    // ===== messages with keys =====

    /// Takes or renews the lease.
    pub(crate) async fn lease(&self, time: Duration) -> Result<Lease> {
        let args = vec![self.consumer(), number(millis(time))];
        let frame = self.run(&scripts::LEASE, Lane::Keys, args).await?;
        let answer = reply::as_array(&frame).ok_or_else(|| self.unreadable("lease"))?;
        let flag = |at: usize| answer.get(at).and_then(reply::as_int) == Some(1);
        if !flag(0) {
            return Ok(Lease::Anothers);
        }
        if flag(1) {
            return Ok(Lease::Renewed);
        }
        let readers = answer.get(2).and_then(reply::as_array).unwrap_or_default();
        Ok(Lease::Taken(
            readers.iter().filter_map(reply::as_int).collect(),
        ))
    }

    /// Takes over what former holders of the lease have left behind this id. `None` when the lease is lost.
    pub(crate) async fn adopt(
        &self,
        behind: EntryId,
        most: usize,
        only_others: bool,
    ) -> Result<Option<Vec<Adopted>>> {
        let args = vec![
            self.group(Lane::Keys),
            self.consumer(),
            text(behind.to_string()),
            size(most),
            number(i64::from(only_others)),
        ];
        let frame = self.run(&scripts::ADOPT, Lane::Keys, args).await?;
        if reply::is_null(&frame) {
            return Ok(None);
        }
        let mut adopted = Vec::new();
        for frame in reply::array(frame) {
            let mut parts = reply::array(frame).into_iter();
            let id = parts.next().ok_or_else(|| self.unreadable("adopt"))?;
            let handed = parts.next().as_ref().and_then(reply::as_int).unwrap_or(0);
            let due = wait(parts.next().as_ref()).unwrap_or_default();
            let entry = parts
                .next()
                .and_then(|fields| Entry::decode(&id, fields, self.names.partition));
            let id = reply::as_text(&id).and_then(EntryId::parse);
            adopted.push(Adopted {
                id: id.ok_or_else(|| self.unreadable("adopt"))?,
                wait: due,
                handed: u32::try_from(handed).unwrap_or(u32::MAX),
                entry,
            });
        }
        Ok(Some(adopted))
    }

    /// Counts the hand-out of a message with a key.
    pub(crate) async fn mark_keyed(&self, candidate: Candidate) -> Result<Marked> {
        let [topic, channel] = self.named();
        let [attempts, cap, longest] = self.ends();
        let args = vec![
            self.group(Lane::Keys),
            self.consumer(),
            text(candidate.id.to_string()),
            topic,
            channel,
            attempts,
            cap,
            longest,
            text(candidate.not_before.unwrap_or(0).to_string()),
            number(candidate.handed.map_or(-1, i64::from)),
        ];
        let frame = self.run(&scripts::MARK, Lane::Keys, args).await?;
        let answer = reply::as_array(&frame).ok_or_else(|| self.unreadable("hand-out"))?;
        let value = answer
            .get(1)
            .and_then(reply::as_int)
            .and_then(|n| u64::try_from(n).ok());
        Ok(match answer.first().and_then(reply::as_text) {
            Some("handed") => Marked::Handed(
                value
                    .and_then(|n| u32::try_from(n).ok())
                    .unwrap_or(u32::MAX),
            ),
            Some("early") => Marked::Early(Duration::from_millis(value.unwrap_or(0))),
            Some("dead" | "gone") => Marked::Over,
            Some("waits") => Marked::Waits,
            _ => Marked::Lost,
        })
    }

    /// Removes what no channel needs any more. Gives the channels that were forgotten just now.
    pub(crate) async fn retain(&self) -> Result<Vec<String>> {
        crate::topic::retain(&self.redis, &self.names, &self.limits).await
    }
}
