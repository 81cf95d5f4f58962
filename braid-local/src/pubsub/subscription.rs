//! The stream of one consumer's deliveries.

use super::{
    NAME,
    broker::{Taken, TopicCell},
    delivery::Receipt,
    node::Node,
    topic::Seat,
};
use braid_core::{Delivery, Error, ErrorKind, Result, Stream};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    task::coop,
    time::{Instant, Sleep},
};

/// The longest sleep between two looks at the clock while something in the channel waits for its time. A clock that jumps, as
/// it does when the machine was suspended, is noticed within this, however far away the moment seemed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A consumer of a channel. Its subscription and each of its deliveries hold one; only the subscription's end leaves the channel.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) node: Arc<Node>,
    pub(super) topic: Arc<TopicCell>,
    pub(super) seat: Seat,
}

impl Membership {
    pub(super) fn leave(&self) {
        self.node.broker.leave(&self.topic, &self.seat);
    }
}

/// Pulls deliveries from the channel. Nothing is fetched ahead, so there is nothing to give back but the seat.
#[derive(Debug)]
pub(super) struct Deliveries {
    membership: Arc<Membership>,
    /// Wakes the task when something in the channel may be due.
    timer: Timer,
}

/// A sleep between two looks at the clock. Made when first needed, then reset.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready when it is time for another look.
    pub(super) fn poll(&mut self, wait: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = Instant::now() + wait.min(LOOK_INTERVAL);
        let timer = match &mut self.0 {
            Some(timer) => {
                timer.as_mut().reset(deadline);
                timer
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(deadline))),
        };
        timer.as_mut().poll(cx)
    }
}

impl Deliveries {
    pub(super) fn new(membership: Arc<Membership>) -> Self {
        Self {
            membership,
            timer: Timer::default(),
        }
    }
}

impl Stream for Deliveries {
    type Item = Result<Delivery>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // A handler that never waits would otherwise keep the other tasks of its thread from running.
        let budget = ready!(coop::poll_proceed(cx));
        loop {
            let Membership {
                node, topic, seat, ..
            } = &*self.membership;
            // Taken before the message: a drain that has ended the hand-out can't miss it.
            let outstanding = node.outstanding.token();
            match node.broker.take(topic, seat, cx.waker()) {
                Taken::Message(message, out) => {
                    budget.made_progress();
                    let receipt = Receipt::new(Arc::clone(&self.membership), out, outstanding);
                    return Poll::Ready(Some(Ok(Delivery::new(message, Box::new(receipt)))));
                }
                Taken::Forgotten => {
                    budget.made_progress();
                    let text = format!(
                        "channel `{}` of topic `{}` had no consumer for long and was forgotten: messages may be missing",
                        seat.channel,
                        topic.name()
                    );
                    let error = Error::new(ErrorKind::NotFound, NAME, "subscription", text);
                    return Poll::Ready(Some(Err(error)));
                }
                Taken::Gone => return Poll::Ready(None),
                Taken::Idle(None) => return Poll::Pending,
                Taken::Idle(Some(wait)) => ready!(self.timer.poll(wait, cx)),
            }
        }
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.membership.node.left(&self.membership);
    }
}
