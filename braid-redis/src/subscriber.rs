//! A connection that hears channels.

use crate::{
    Redis,
    error::{error, refusal},
    reply,
    task::Task,
};
use braid_core::{Error, ErrorKind, Result};
use bytes::Bytes;
use fred::{
    clients::Client,
    interfaces::{ClientLike, EventInterface},
    types::{CustomCommand, Message, Value},
};
use std::fmt;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError, error::TryRecvError},
    time::timeout,
};

/// The rules that [`Subscriber`] needs of an ACL user beside [`ACL_CONNECTION`](crate::ACL_CONNECTION), and one like `&braid:*` for the
/// channels.
pub const ACL_SUBSCRIBER: &[&str] = &["+subscribe", "+ping"];

/// How many messages wait for [`Subscriber::next`] before one is missed. fred makes room for all of them at once, and as much for each of its
/// other kinds of event: 3 MB altogether.
const HELD: usize = 4096;

/// What these begin with fred keeps for events of keys.
const EVENTS: [&str; 2] = ["__keyspace@", "__keyevent@"];

/// One connection that hears what is published on some channels. It is never made again: once it was lost, or was too slow and missed
/// something, [`next`](Self::next) fails for ever, and [`Redis::subscriber`] makes another one. Whatever was published in between was
/// missed, so whoever goes on has to look for it elsewhere.
///
/// A channel promises little: messages are for whoever is connected now, and a primary that fails takes along what it hadn't passed on. A server
/// that is frozen, or cut off from the rest of its cluster, is heard like one where nothing is published; whoever must know publishes
/// something from time to time and waits to hear it.
///
/// Dropping it closes the connection. It takes 3 MB, so one for many channels is better than many.
///
/// ```no_run
/// use braid_redis::{Redis, RedisConfig, Subscriber};
///
/// # async fn example() -> braid_core::Result<()> {
/// let redis = Redis::connect(&RedisConfig::new("redis://127.0.0.1:6379"), "example").await?;
/// loop {
///     let mut subscriber = redis.subscriber(vec!["braid:example".into()]).await?;
///     // Now look at what was missed before, wherever it is kept.
///     while let Ok(published) = subscriber.next().await {
///         println!("{published:?}");
///     }
/// }
/// # }
/// ```
pub struct Subscriber {
    redis: Redis,
    client: Client,
    task: Task,
    messages: Receiver<Message>,
    missed: u64,
}

/// What was published on a channel.
#[derive(Clone, PartialEq, Eq)]
pub struct Published {
    /// Where.
    pub channel: Bytes,
    /// What: any bytes.
    pub body: Bytes,
}

impl Redis {
    /// A connection of its own that hears `channels`, subscribed when this returns: whatever is published from then on is heard.
    ///
    /// It is made to the present primary; to one of the primaries of a cluster, whose nodes pass all messages on. fred hears only channels that
    /// are UTF-8, and none of key events (`__keyspace@...`, `__keyevent@...`). Up to 4,096 messages wait to be taken.
    ///
    /// # Errors
    /// `Config`, for channels that can't be heard, and if the server refuses, naming the ACL rule that is missing. `Unavailable`, if the
    /// connection can't be made now. `Closed`, after [`close`](Self::close).
    ///
    /// # Cancel safety
    /// A dropped call leaves no connection.
    pub async fn subscriber(&self, channels: Vec<Bytes>) -> Result<Subscriber> {
        check(&channels).map_err(|text| self.fail(ErrorKind::Config, "subscribe", &text))?;
        let shards = self.shards();
        // A cluster without any is an error that `node` tells.
        let slot = fastrand::choice(shards).unwrap_or(0);
        let server = self.node(slot).await?;
        let client = self.0.settings.subscriber_client(server, HELD);
        let messages = client.message_rx();
        let task = self.open(&client).await?;
        let subscriber = Subscriber {
            redis: self.clone(),
            client,
            task,
            messages,
            missed: 0,
        };
        subscriber.subscribe(channels).await?;
        Ok(subscriber)
    }
}

impl Subscriber {
    /// The next message. Those of one publisher on one channel come in the order in which it published them.
    ///
    /// # Errors
    /// `Unavailable`, for ever: the connection was lost, which is told after all that came before, or this was too slow and missed
    /// messages, which is told at once.
    ///
    /// # Cancel safety
    /// It can be dropped at any time; nothing is lost.
    pub async fn next(&mut self) -> Result<Published> {
        if self.missed > 0 {
            return Err(self.too_slow());
        }
        let ended = self.task.ended();
        let received = tokio::select! {
            biased;
            received = self.messages.recv() => received,
            _ = ended => match self.messages.try_recv() {
                Ok(message) => Ok(message),
                Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => Err(RecvError::Closed),
            },
        };
        match received {
            Ok(message) => Ok(published(message)),
            Err(RecvError::Lagged(missed)) => {
                self.missed = missed;
                self.task.abort();
                Err(self.too_slow())
            }
            Err(RecvError::Closed) => {
                let text = "the connection was lost; messages may have been missed";
                Err(self.redis.fail(ErrorKind::Unavailable, "next", text))
            }
        }
    }

    /// Whether the connection has been lost, or something was missed. Messages that came before may still wait.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.missed > 0 || self.task.is_finished()
    }

    /// Subscribes, and waits until the server has said so.
    async fn subscribe(&self, channels: Vec<Bytes>) -> Result<()> {
        // Boxed, since fred's are of 7 KB.
        let send = |name, args: Vec<Value>| {
            let command = CustomCommand::new_static(name, 0_u16, false);
            Box::pin(self.client.custom_raw(command, args))
        };
        // fred drops the confirmations. So the first reply that it gives to SUBSCRIBE is either its refusal or that to the PING behind it,
        // which comes after the confirmations and has another form from a connection that is subscribed.
        let channels = channels.into_iter().map(Value::Bytes).collect();
        let subscribe = send("SUBSCRIBE", channels);
        let ping = send("PING", Vec::new());
        let reply = async {
            tokio::select! {
                biased;
                reply = subscribe => Some(reply),
                _ = ping => None,
                _ = self.task.ended() => None,
            }
        };
        let within = self.redis.0.settings.command_timeout;
        let component = self.redis.0.component;
        let address = &self.redis.0.settings.address;
        let fail = |text: &str| self.redis.fail(ErrorKind::Unavailable, "subscribe", text);
        let frame = match timeout(within, reply).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(failed))) => {
                let failed = error(component, "subscribe", address, &failed);
                return Err(fail("the connection was lost").with_source(failed));
            }
            Ok(None) => return Err(fail("the connection was lost")),
            Err(_) => return Err(fail("no reply in time")),
        };
        match reply::as_error(&frame) {
            Some(text) => Err(refusal(component, "subscribe", address, &text)),
            None if reply::as_array(&frame).is_some() => Ok(()),
            None => {
                let text = "the server doesn't say that it subscribed";
                Err(self.redis.fail(ErrorKind::Internal, "subscribe", text))
            }
        }
    }

    fn too_slow(&self) -> Error {
        let text = format!("too slow: {} messages or more were missed", self.missed);
        self.redis.fail(ErrorKind::Unavailable, "next", &text)
    }
}

/// Without the channels, which may be many.
impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("component", &self.redis.0.component)
            .field("lost", &self.is_lost())
            .finish_non_exhaustive()
    }
}

/// Without the body.
impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("channel", &self.channel)
            .field("body_len", &self.body.len())
            .finish()
    }
}

/// Whether fred hears these.
fn check(channels: &[Bytes]) -> Result<(), String> {
    if channels.is_empty() {
        return Err("no channel to subscribe to".to_owned());
    }
    for channel in channels {
        let Ok(text) = std::str::from_utf8(channel) else {
            return Err(format!("channel `{}` isn't UTF-8", channel.escape_ascii()));
        };
        if EVENTS.iter().any(|prefix| text.starts_with(prefix)) {
            return Err(format!("channel `{text}` is one of key events"));
        }
    }
    Ok(())
}

fn published(message: Message) -> Published {
    let body = match message.value {
        Value::String(text) => text.into_inner(),
        Value::Bytes(bytes) => bytes,
        // Messages are bulk strings, whatever is in them.
        _ => Bytes::new(),
    };
    Published {
        channel: message.channel.into_inner(),
        body,
    }
}
