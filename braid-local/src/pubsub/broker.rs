//! All topics of one in-process fleet: the locks around the state machines, and what leaves them.

use super::{
    NAME, PubSubConfig,
    dead_letters::DeadLetters,
    effects::{Effects, Note, Waiters},
    terms::{ChannelId, ConsumerId, Failed, Failure, HandOut, Member, Next, NodeKey, Wake},
    topic::{Refused, Seat, TopicState},
};
use braid_core::{
    BootTime, Channel, Clock, Error, ErrorKind, Message, MessageId, NewMessage, Ownership, Result,
    Start, SubscribeOptions, Topic, pubsub::TopicView,
};
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::{Duration, SystemTime},
};

/// All topics of one in-process fleet.
///
/// A topic is made by its first publish or subscribe and stays as long as the broker, as small as its messages make it.
///
/// Lock order: a topic, then its dead-letter topic, then the table of topics. Nothing is awaited, woken or logged under a lock.
pub(crate) struct Broker {
    config: PubSubConfig,
    pub(super) clock: Arc<dyn Clock>,
    topics: Mutex<HashMap<Topic, Arc<TopicCell>>>,
    /// The last id given to a node, a channel or a consumer.
    last_id: AtomicU64,
}

/// A topic behind its lock.
///
/// A std mutex: it is held for a few map operations and never across an await.
pub(super) struct TopicCell {
    name: Topic,
    inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub(super) state: TopicState,
    pub(super) waiters: Waiters,
}

/// The answer to a consumer that asks for a message.
#[derive(Debug)]
pub(super) enum Taken {
    Message(Message, HandOut),
    /// Nothing yet: the waker is called when there may be something, except for what time alone brings, which it does after
    /// this wait.
    Idle(Option<Duration>),
    /// The channel was forgotten while it had no consumer.
    Forgotten,
    /// The consumer has left.
    Gone,
}

impl Broker {
    /// A fleet without topics. `config` has been validated.
    pub(crate) fn new(config: PubSubConfig, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            config,
            clock,
            topics: Mutex::default(),
            last_id: AtomicU64::new(0),
        })
    }

    /// Publishes without waiting for anything.
    ///
    /// # Errors
    /// `Rejected`, naming topic and cap: the topic is at its cap, nothing was stored.
    pub(crate) fn append(&self, topic: &Topic, message: NewMessage) -> Result<MessageId> {
        let mut effects = Effects::default();
        let stored = self.store(topic, message, &mut effects);
        effects.run();
        stored.ok_or_else(|| {
            let capacity = self.config.capacity;
            let text = format!(
                "topic `{topic}` is at its cap: some channel still needs {capacity} messages of it"
            );
            Error::new(ErrorKind::Rejected, NAME, "publish", text)
        })
    }

    /// What a topic holds.
    ///
    /// # Errors
    /// `NotFound`, naming the topic.
    pub(crate) fn inspect(&self, topic: &Topic) -> Result<TopicView> {
        let Some(cell) = self.find(topic) else {
            let text = format!("topic `{topic}` was never published or subscribed to");
            return Err(Error::new(ErrorKind::NotFound, NAME, "inspect", text));
        };
        let now = self.clock.now();
        let mut view = self.within(&cell, |inner, graves| {
            graves.forget(inner, now);
            inner.state.view(now)
        });
        let dead = topic.dead_letters().ok().and_then(|dead| self.find(&dead));
        view.dead_letters = dead.map_or(0, |cell| cell.lock().state.len());
        Ok(view)
    }

    /// The topics, by name.
    pub(crate) fn all_topics(&self) -> Vec<Topic> {
        let mut topics: Vec<_> = self.topics().keys().cloned().collect();
        topics.sort();
        topics
    }

    // ===== what the handles ask for =====

    pub(super) fn new_node(&self) -> NodeKey {
        NodeKey(self.new_id())
    }

    pub(super) fn join(
        &self,
        topic: &Topic,
        channel: &Channel,
        options: SubscribeOptions,
        node: NodeKey,
    ) -> Result<(Arc<TopicCell>, Seat)> {
        options.validate()?;
        let cell = self.begin(topic, &options.start, "subscribe")?;
        let member = Member {
            consumer: ConsumerId(self.new_id()),
            node,
            options,
        };
        let fresh = ChannelId(self.new_id());
        let now = self.clock.now();
        let joined = self.within(&cell, |inner, graves| {
            graves.forget(inner, now);
            inner.state.join(channel, fresh, member, now)
        });
        let seat = joined.map_err(|refused| refusal(topic, channel, refused))?;
        Ok((cell, seat))
    }

    /// Leaves the channel, and wakes the consumer so that its stream ends. Does nothing the second time.
    pub(super) fn leave(&self, cell: &TopicCell, seat: &Seat) {
        let mut effects = Effects::default();
        {
            let mut inner = cell.lock();
            inner.state.leave(seat, self.clock.now());
            effects.wake_one(seat.channel_id, seat.consumer, &mut inner.waiters);
        }
        effects.run();
    }

    pub(super) fn take(&self, cell: &TopicCell, seat: &Seat, waker: &Waker) -> Taken {
        self.within(cell, |inner, graves| {
            let now = graves.broker.clock.now();
            match inner.state.next(seat, now, graves) {
                Next::Message(message, out) => Taken::Message(message, out),
                Next::Forgotten => Taken::Forgotten,
                Next::Gone => Taken::Gone,
                Next::Idle { until } => {
                    let Seat {
                        channel_id,
                        consumer,
                        ..
                    } = *seat;
                    let waiters = &mut inner.waiters;
                    graves
                        .effects
                        .register(channel_id, consumer, waker, waiters);
                    Taken::Idle(until.map(|until| until.saturating_since(now)))
                }
            }
        })
    }

    pub(super) fn ack(&self, cell: &TopicCell, seat: &Seat, out: HandOut) {
        self.within(cell, |inner, graves| {
            let wake = inner.state.ack(seat, out);
            graves
                .effects
                .wake(wake, seat.channel_id, &mut inner.waiters);
        });
    }

    pub(super) fn fail(
        &self,
        cell: &TopicCell,
        seat: &Seat,
        out: HandOut,
        failure: Failure,
    ) -> Failed {
        self.within(cell, |inner, graves| {
            let now = graves.broker.clock.now();
            let failed = inner.state.fail(seat, out, failure, now, graves);
            if failed != Failed::Lost {
                let waiters = &mut inner.waiters;
                graves.effects.wake(Wake::Channel, seat.channel_id, waiters);
            }
            failed
        })
    }

    pub(super) fn heartbeat(&self, cell: &TopicCell, seat: &Seat, out: HandOut) -> Ownership {
        let now = self.clock.now();
        cell.lock().state.heartbeat(seat, out, now)
    }

    /// A node is gone: what it holds counts as failed.
    pub(super) fn abandon(&self, node: NodeKey) {
        let cells: Vec<_> = self.topics().values().cloned().collect();
        for cell in cells {
            self.within(&cell, |inner, graves| {
                let now = graves.broker.clock.now();
                for channel in inner.state.abandon(node, now, graves) {
                    let waiters = &mut inner.waiters;
                    graves.effects.wake(Wake::Channel, channel, waiters);
                }
            });
        }
    }

    // ===== locks =====

    /// Changes a topic, and runs the effects when its lock is released.
    pub(super) fn within<T>(
        &self,
        cell: &TopicCell,
        change: impl FnOnce(&mut Inner, &mut DeadLetters<'_>) -> T,
    ) -> T {
        let mut graves = DeadLetters::new(self, &cell.name);
        let result = change(&mut cell.lock(), &mut graves);
        graves.effects.run();
        result
    }

    /// Stores a message; None when the topic is at its cap.
    pub(super) fn store(
        &self,
        topic: &Topic,
        message: NewMessage,
        effects: &mut Effects,
    ) -> Option<MessageId> {
        let cell = self.find_or_make(topic);
        let mut inner = cell.lock();
        let Inner { state, waiters } = &mut *inner;
        let now = self.clock.now();
        for channel in state.forget(now) {
            let topic = topic.clone();
            effects.note(Note::Forgotten { topic, channel });
        }
        match state.append(message, SystemTime::now(), now) {
            Ok(id) => {
                effects.wake_all(waiters);
                Some(id)
            }
            Err(full) => {
                if full.news {
                    effects.note(Note::Full {
                        topic: topic.clone(),
                        capacity: self.config.capacity,
                    });
                }
                None
            }
        }
    }

    /// The topic to begin in. One that nothing was published to is made, unless it is to begin behind a message: there can be none, and what
    /// is refused makes no topic.
    pub(super) fn begin(
        &self,
        topic: &Topic,
        start: &Start,
        operation: &'static str,
    ) -> Result<Arc<TopicCell>> {
        match start {
            Start::After(_) => {
                let found = self.find(topic);
                found.ok_or_else(|| unknown_start(topic, start, operation))
            }
            Start::New | Start::Beginning => Ok(self.find_or_make(topic)),
        }
    }

    fn find(&self, topic: &Topic) -> Option<Arc<TopicCell>> {
        self.topics().get(topic).cloned()
    }

    fn find_or_make(&self, topic: &Topic) -> Arc<TopicCell> {
        let mut topics = self.topics();
        if let Some(cell) = topics.get(topic) {
            return Arc::clone(cell);
        }
        let mut config = self.config.clone();
        if topic.is_dead_letters() {
            config.history = config.history.max(config.capacity);
        }
        let cell = Arc::new(TopicCell {
            name: topic.clone(),
            inner: Mutex::new(Inner {
                state: TopicState::new(&config),
                waiters: Waiters::default(),
            }),
        });
        topics.insert(topic.clone(), Arc::clone(&cell));
        cell
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<Topic, Arc<TopicCell>>> {
        ignore_poison(self.topics.lock())
    }

    pub(super) fn new_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl DeadLetters<'_> {
    /// Lets no channel hold the topic back that nobody has taken care of for too long.
    fn forget(&mut self, inner: &mut Inner, now: BootTime) {
        for channel in inner.state.forget(now) {
            let topic = self.topic.clone();
            self.effects.note(Note::Forgotten { topic, channel });
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("config", &self.config)
            .field("topics", &self.topics().len())
            .finish_non_exhaustive()
    }
}

impl TopicCell {
    pub(super) fn name(&self) -> &Topic {
        &self.name
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        ignore_poison(self.inner.lock())
    }
}

impl fmt::Debug for TopicCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TopicCell").field(&self.name).finish()
    }
}

/// A panic under a lock is a defect that its task reports; the others go on rather than panic one by one, some while unwinding.
pub(super) fn ignore_poison<T>(locked: Result<T, PoisonError<T>>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}

fn refusal(topic: &Topic, channel: &Channel, refused: Refused) -> Error {
    let text = match refused {
        Refused::Kind(kind) => {
            format!("channel `{channel}` of topic `{topic}` exists and is {kind:?}")
        }
        Refused::Owned => format!(
            "channel `{channel}` of topic `{topic}` is ephemeral and belongs to another consumer"
        ),
        Refused::UnknownId(id) => return unknown_start(topic, &Start::After(id), "subscribe"),
    };
    Error::new(ErrorKind::Conflict, NAME, "subscribe", text)
}

pub(super) fn unknown_start(topic: &Topic, start: &Start, operation: &'static str) -> Error {
    let text = match start {
        Start::After(id) => format!("start: topic `{topic}` never had a message `{id}`"),
        Start::New | Start::Beginning => format!("start: not in topic `{topic}`"),
    };
    Error::new(ErrorKind::Config, NAME, operation, text)
}
