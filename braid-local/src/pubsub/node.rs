//! One node's handle on the broker.

use super::{
    NAME,
    broker::{Broker, TopicCell, ignore_poison},
    reader::{Reader, ReaderKey},
    subscription::{Deliveries, Membership, Timer},
    terms::{ConsumerId, NodeKey},
};
use braid_core::{
    BoxFuture, BoxStream, Channel, Component, Error, ErrorKind, Message, MessageId, NewMessage,
    PubSub, Result, Shutdown, Start, SubscribeOptions, Subscription, Topic, pubsub::TopicView,
};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio_util::task::TaskTracker;

/// Topics in memory, as one node of an in-process fleet uses them: the reference for the distributed backends.
///
/// Clones are the same node. What the trait leaves to the backend:
///
/// - **Ids** are decimal numbers of twenty digits, counted up from 1 in each topic; as texts they order as the messages do.
/// - **Hand-outs** are pulled: a message is handed out when the subscription is polled, the oldest first, and nothing is fetched
///   ahead. Subscriptions must be polled within a tokio runtime that has its timers on.
/// - **Claim time.** A [`Delivery`](braid_core::Delivery) that exists proves that its holder is alive, so with
///   [`heartbeat`](SubscribeOptions::heartbeat) on (the default) it is never claimed. With it off, the claim time counts on the
///   fleet's clock, and beyond it the delivery goes to whoever looks next; until then its holder can still settle it. A
///   delivery whose claim time and attempts are both used up becomes a dead letter.
/// - **Dead letters** are moved in one step: nobody sees the message in both places or in none. While the dead-letter topic is at
///   its cap they wait in their channel, and are tried again every second. A topic whose name ends in `.dead-letters` (or leaves no room
///   for that) has no dead letters itself: there, a message whose attempts are used up is tried on at the longest backoff, at least
///   a second, and an error is logged; [`dead_letter`](braid_core::Delivery::dead_letter) is `Rejected`.
/// - **An ephemeral channel** goes at once when its subscription is closed or dropped, or its node ends, with all that is pending.
///   What was handed out by then can be acked to no effect; anything else finds it lost.
/// - **Start behind an id**: `Config` when the topic never had a message with that id. If retention has removed what follows it,
///   the channel begins with the oldest message that is left.
/// - **A delay** counts on the fleet's clock, from the publish on.
/// - **Dedup keys** are remembered for [`dedup_window`](crate::PubSubConfig::dedup_window) from the first publish on; publishes in between don't
///   lengthen it.
/// - **A shared channel without consumers** is forgotten after [`forget_after`](crate::PubSubConfig::forget_after), when the topic is next published,
///   subscribed to or looked at. What it had pending is given up; it goes on with what it had not read and the topic still holds.
/// - **Readers** are told of every message that was removed before they came by, with the number of them, but for those that were gone
///   before a read from the beginning began.
/// - **The end** of a node comes with [`run`](Component::run)'s or by [`close`](LocalPubSub::close). Dropping the handle ends nothing: its
///   subscriptions live on until they are dropped.
#[derive(Clone)]
pub struct LocalPubSub {
    node: Arc<Node>,
}

impl LocalPubSub {
    /// A new node on a broker.
    pub(crate) fn new(broker: Arc<Broker>) -> Self {
        let node = Node {
            key: broker.new_node(),
            broker,
            seats: Mutex::default(),
            outstanding: TaskTracker::new(),
        };
        Self {
            node: Arc::new(node),
        }
    }

    /// Ends this node's subscriptions: their streams end, shared channels stay, ephemeral ones go. Publishing and subscribing give
    /// `Closed` from then on. What was handed out can still be settled.
    pub fn close(&self) {
        self.node.stop(Phase::Closed);
    }
}

impl Component for LocalPubSub {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Waits for the shutdown.
    ///
    /// On `drain` the streams of this node's subscriptions end at once, and it waits until what was handed out is settled;
    /// publishing goes on meanwhile, since handlers do that. On `force` what isn't settled counts as failed and goes back to
    /// its channel, for other nodes to take. The node is closed when this returns.
    fn run(&self, shutdown: Shutdown) -> BoxFuture<'_, Result<()>> {
        // Made here, so that a future that is dropped before its first poll ends the node too.
        let end = EndOnDrop(&self.node);
        Box::pin(async move {
            let _end = end;
            shutdown.draining().await;
            self.node.stop(Phase::Draining);
            self.node.outstanding.close();
            tokio::select! {
                biased;
                () = shutdown.forced() => {}
                () = self.node.outstanding.wait() => {}
            }
            Ok(())
        })
    }
}

impl PubSub for LocalPubSub {
    fn publish<'a>(
        &'a self,
        topic: &'a Topic,
        message: NewMessage,
    ) -> BoxFuture<'a, Result<MessageId>> {
        Box::pin(async move {
            message.validate()?;
            if self.node.seats().phase == Phase::Closed {
                return Err(closed("publish", topic));
            }
            self.node.broker.append(topic, message)
        })
    }

    fn subscribe<'a>(
        &'a self,
        topic: &'a Topic,
        channel: &'a Channel,
        options: SubscribeOptions,
    ) -> BoxFuture<'a, Result<Subscription>> {
        Box::pin(async move {
            let membership = self.node.join(topic, channel, options)?;
            // Dropping the stream leaves the channel at once, so that there is nothing more to wait for.
            Ok(Subscription::new(Deliveries::new(membership), async {
                Ok(())
            }))
        })
    }

    fn read<'a>(
        &'a self,
        topic: &'a Topic,
        start: Start,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<Message>>>> {
        Box::pin(async move { Ok(Box::pin(self.node.read(topic, &start)?) as _) })
    }

    fn topics(&self) -> BoxFuture<'_, Result<Vec<Topic>>> {
        Box::pin(async move {
            if self.node.seats().phase == Phase::Closed {
                let text = "this node was closed";
                return Err(Error::new(ErrorKind::Closed, NAME, "topics", text));
            }
            Ok(self.node.broker.all_topics())
        })
    }

    fn inspect<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<TopicView>> {
        Box::pin(async move {
            if self.node.seats().phase == Phase::Closed {
                return Err(closed("inspect", topic));
            }
            self.node.broker.inspect(topic)
        })
    }
}

impl fmt::Debug for LocalPubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalPubSub")
            .field("node", &self.node)
            .finish()
    }
}

// ===== impl Node =====

/// What a handle, its subscriptions and their deliveries share.
pub(super) struct Node {
    pub(super) broker: Arc<Broker>,
    /// Has a token for each delivery that is handed out and not settled.
    pub(super) outstanding: TaskTracker,
    key: NodeKey,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    phase: Phase,
    taken: HashMap<ConsumerId, Arc<Membership>>,
    readers: HashMap<ConsumerId, (Arc<TopicCell>, ReaderKey)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    #[default]
    Open,
    /// Hands out nothing, still publishes.
    Draining,
    Closed,
}

impl Node {
    fn join(
        self: &Arc<Self>,
        topic: &Topic,
        channel: &Channel,
        options: SubscribeOptions,
    ) -> Result<Arc<Membership>> {
        // Locked until the seat is entered, so that the node's end misses none.
        let mut seats = self.seats();
        if seats.phase != Phase::Open {
            return Err(closed("subscribe", topic));
        }
        let (topic, seat) = self.broker.join(topic, channel, options, self.key)?;
        let consumer = seat.consumer;
        let membership = Arc::new(Membership {
            node: Arc::clone(self),
            topic,
            seat,
        });
        seats.taken.insert(consumer, Arc::clone(&membership));
        Ok(membership)
    }

    fn read(self: &Arc<Self>, topic: &Topic, start: &Start) -> Result<Reader> {
        // As in `join`.
        let mut seats = self.seats();
        if seats.phase != Phase::Open {
            return Err(closed("read", topic));
        }
        let (topic, key, place) = self.broker.read(topic, start)?;
        seats.readers.insert(key.reader, (Arc::clone(&topic), key));
        Ok(Reader {
            node: Arc::clone(self),
            topic,
            key,
            place,
            timer: Timer::default(),
        })
    }

    /// A reader is gone.
    pub(super) fn reader_left(&self, topic: &TopicCell, key: ReaderKey) {
        self.seats().readers.remove(&key.reader);
        self.broker.wake_reader(topic, key);
    }

    /// Whether streams end.
    pub(super) fn is_ending(&self) -> bool {
        self.seats().phase != Phase::Open
    }

    /// A subscription is gone.
    pub(super) fn left(&self, membership: &Membership) {
        self.seats().taken.remove(&membership.seat.consumer);
        membership.leave();
    }

    /// Ends all subscriptions and readers.
    fn stop(&self, phase: Phase) {
        let (taken, readers) = {
            let mut seats = self.seats();
            seats.phase = seats.phase.max(phase);
            let Seats { taken, readers, .. } = &mut *seats;
            (std::mem::take(taken), std::mem::take(readers))
        };
        taken.values().for_each(|membership| membership.leave());
        for (topic, key) in readers.values() {
            self.broker.wake_reader(topic, *key);
        }
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        ignore_poison(self.seats.lock())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("key", &self.key)
            .field("phase", &self.seats().phase)
            .field("outstanding", &self.outstanding.len())
            .finish_non_exhaustive()
    }
}

/// However `run` ends, nothing of the node stays behind.
struct EndOnDrop<'a>(&'a Node);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop(Phase::Closed);
        if !self.0.outstanding.is_empty() {
            self.0.broker.abandon(self.0.key);
        }
    }
}

fn closed(operation: &'static str, topic: &Topic) -> Error {
    let text = format!("topic `{topic}`: this node was closed");
    Error::new(ErrorKind::Closed, NAME, operation, text)
}
