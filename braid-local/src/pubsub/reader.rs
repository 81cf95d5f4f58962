//! The stream of a reader that takes no part.

use super::{
    NAME,
    broker::{Broker, TopicCell, unknown_start},
    node::Node,
    place::{Look, Place},
    subscription::Timer,
    terms::{ChannelId, ConsumerId},
};
use braid_core::{Error, ErrorKind, Message, Result, Start, Stream, Topic};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::task::coop;

/// What a reader waits under: no channel has this id, and no consumer.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReaderKey {
    pub(super) channel: ChannelId,
    pub(super) reader: ConsumerId,
}

/// A topic's messages from a place on. The topic doesn't know of it, but for its waker while it waits.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) node: Arc<Node>,
    pub(super) topic: Arc<TopicCell>,
    pub(super) key: ReaderKey,
    pub(super) place: Place,
    pub(super) timer: Timer,
}

impl Stream for Reader {
    type Item = Result<Message>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let budget = ready!(coop::poll_proceed(cx));
        let Self {
            node,
            topic,
            key,
            place,
            timer,
        } = self.get_mut();
        loop {
            let read = node.broker.read_on(topic, *key, place, cx.waker());
            // Looked at behind the waker's registration: an end in between wakes it.
            if node.is_ending() {
                return Poll::Ready(None);
            }
            match read {
                ReadOut::Message(message) => {
                    budget.made_progress();
                    return Poll::Ready(Some(Ok(message)));
                }
                ReadOut::Missed(count) => {
                    budget.made_progress();
                    let topic = topic.name();
                    let text = format!(
                        "topic `{topic}`: {count} messages were removed before they were read"
                    );
                    let error = Error::new(ErrorKind::NotFound, NAME, "read", text);
                    return Poll::Ready(Some(Err(error)));
                }
                ReadOut::Idle(None) => return Poll::Pending,
                ReadOut::Idle(Some(wait)) => ready!(timer.poll(wait, cx)),
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.node.reader_left(&self.topic, self.key);
    }
}

/// The answer to a reader that asks for a message.
#[derive(Debug)]
enum ReadOut {
    Message(Message),
    /// So many messages were removed before it came by.
    Missed(u64),
    /// As `Taken::Idle`.
    Idle(Option<Duration>),
}

impl Broker {
    /// A reader's place, and what it waits under.
    pub(super) fn read(
        &self,
        topic: &Topic,
        start: &Start,
    ) -> Result<(Arc<TopicCell>, ReaderKey, Place)> {
        let cell = self.begin(topic, start, "read")?;
        let place = cell.lock().state.place(start);
        let place = place.map_err(|_| unknown_start(topic, start, "read"))?;
        let key = ReaderKey {
            channel: ChannelId(self.new_id()),
            reader: ConsumerId(self.new_id()),
        };
        Ok((cell, key, place))
    }

    fn read_on(
        &self,
        cell: &TopicCell,
        key: ReaderKey,
        place: &mut Place,
        waker: &Waker,
    ) -> ReadOut {
        let now = self.clock.now();
        self.within(cell, |inner, graves| match inner.state.read(place, now) {
            Look::Message(message) => ReadOut::Message(message),
            Look::Missed(count) => ReadOut::Missed(count),
            Look::Idle { until } => {
                let waiters = &mut inner.waiters;
                let effects = &mut graves.effects;
                effects.register(key.channel, key.reader, waker, waiters);
                ReadOut::Idle(until.map(|until| until.saturating_since(now)))
            }
        })
    }

    /// Lets a reader look again, and waits for it no longer.
    pub(super) fn wake_reader(&self, cell: &TopicCell, key: ReaderKey) {
        self.within(cell, |inner, graves| {
            let waiters = &mut inner.waiters;
            graves.effects.wake_one(key.channel, key.reader, waiters);
        });
    }
}
