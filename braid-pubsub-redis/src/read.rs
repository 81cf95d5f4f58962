//! Reading a topic without a channel: nothing is acked, nothing is held back, nothing is left behind.

use crate::{entry::Entry, error::NAME, id::EntryId, names::TopicNames, reply, worker::Pause};
use braid_core::{Error, ErrorKind, Message, Result, Start, pubsub::dead_letter};
use braid_redis::{Dedicated, Redis, Value, during};
use futures_util::{Stream, stream};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

const MOST_A_READ: i64 = 256;

/// A read that goes on for ever.
pub(crate) struct Reading {
    redis: Redis,
    names: Arc<TopicNames>,
    block: Duration,
    closed: CancellationToken,
    last: EntryId,
    connection: Option<Dedicated>,
    buffered: VecDeque<Message>,
    /// What is shown later, by when.
    later: BTreeMap<(Instant, EntryId), Message>,
    pause: Pause,
    troubled: bool,
}

impl Reading {
    /// Fixes where it starts.
    pub(crate) async fn start(
        redis: Redis,
        names: Arc<TopicNames>,
        start: Start,
        block: Duration,
        closed: CancellationToken,
    ) -> Result<impl Stream<Item = Result<Message>> + Send + 'static> {
        let last = match &start {
            Start::Beginning => EntryId::default(),
            Start::After(id) => EntryId::behind(id, names.partition).ok_or_else(|| {
                let text = format!(
                    "topic `{}`: `{id}` is no id of a message on Redis",
                    names.topic
                );
                Error::new(ErrorKind::Config, NAME, "read", text)
            })?,
            Start::New => newest(&redis, &names).await?,
        };
        let reading = Self {
            redis,
            names,
            block,
            closed,
            last,
            connection: None,
            buffered: VecDeque::new(),
            later: BTreeMap::new(),
            pause: Pause::new(),
            troubled: false,
        };
        Ok(stream::unfold(reading, |mut reading| async move {
            let item = reading.next().await?;
            Some((item, reading))
        }))
    }

    async fn next(&mut self) -> Option<Result<Message>> {
        loop {
            if let Some(first) = self
                .later
                .first_entry()
                .filter(|first| first.key().0 <= Instant::now())
            {
                return Some(Ok(first.remove()));
            }
            if let Some(message) = self.buffered.pop_front() {
                return Some(Ok(message));
            }
            let closed = self.closed.clone();
            let read = tokio::select! {
                biased;
                () = closed.cancelled() => return None,
                read = self.fill() => read,
            };
            match read {
                Ok(()) => {
                    self.troubled = false;
                    self.pause.reset();
                }
                Err(error) => {
                    self.connection = None;
                    if !std::mem::replace(&mut self.troubled, true) {
                        return Some(Err(error));
                    }
                    self.pause.wait().await;
                }
            }
        }
    }

    async fn fill(&mut self) -> Result<()> {
        let connection = match self.connection.take() {
            Some(connection) => self.connection.insert(connection),
            None => self
                .connection
                .insert(self.redis.dedicated(self.names.slot).await?),
        };
        let due = self.later.first_key_value().map(|((due, _), _)| *due);
        let block = match due {
            // Not 0: that is without end.
            Some(due) => due
                .saturating_duration_since(Instant::now())
                .clamp(Duration::from_millis(1), self.block),
            None => self.block,
        };
        let args = vec![
            Value::from_static_str("COUNT"),
            Value::Integer(MOST_A_READ),
            Value::from_static_str("BLOCK"),
            Value::Integer(crate::entry::millis(block)),
            Value::from_static_str("STREAMS"),
            Value::Bytes(self.names.stream.clone()),
            Value::String(self.last.to_string().into()),
        ];
        let frame = connection.command("XREAD", args, 2 * self.block).await?;
        let mut delayed = Vec::new();
        for frame in reply::entries(frame) {
            let mut parts = reply::array(frame).into_iter();
            let (Some(id), Some(fields)) = (parts.next(), parts.next()) else {
                continue;
            };
            if let Some(entry) = Entry::decode(&id, fields, self.names.partition) {
                self.last = entry.id;
                if entry
                    .message
                    .headers
                    .contains_key(dead_letter::ONLY_CHANNEL)
                {
                    // For one channel, and for nobody else.
                    continue;
                }
                match entry.not_before {
                    None => self.buffered.push_back(entry.message),
                    Some(due) => delayed.push((due, entry)),
                }
            }
        }
        if !delayed.is_empty() {
            let now = time(&self.redis, &self.names).await?;
            for (due, entry) in delayed {
                let due = Instant::now() + Duration::from_millis(due.saturating_sub(now));
                self.later.insert((due, entry.id), entry.message);
            }
        }
        Ok(())
    }
}

/// The last id that the topic has given.
async fn newest(redis: &Redis, names: &TopicNames) -> Result<EntryId> {
    let args = ["+", "-", "COUNT", "1"].map(Value::from_static_str);
    let args = std::iter::once(Value::Bytes(names.stream.clone()))
        .chain(args)
        .collect();
    let frame = redis.command("XREVRANGE", names.slot, args).await;
    let frame = frame
        .map_err(|error| during(NAME, "read", format_args!("topic `{}`", names.topic), error))?;
    let last = reply::array(frame).pop().and_then(|entry| {
        let parts = reply::array(entry);
        EntryId::parse(reply::as_text(parts.first()?)?)
    });
    Ok(last.unwrap_or_default())
}

/// Milliseconds by the server's clock.
async fn time(redis: &Redis, names: &TopicNames) -> Result<u64> {
    let frame = redis.command("TIME", names.slot, Vec::new()).await?;
    let parts = reply::as_array(&frame).unwrap_or_default();
    let part = |at: usize| {
        parts
            .get(at)
            .and_then(reply::as_text)
            .and_then(|text| text.parse::<u64>().ok())
    };
    match (part(0), part(1)) {
        (Some(seconds), Some(micros)) => Ok(seconds * 1000 + micros / 1000),
        _ => Err(reply::unreadable("read", &names.topic)),
    }
}
