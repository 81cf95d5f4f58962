//! A topic's state machine with a clock moved by hand and a graveyard to look into.

use crate::pubsub::{
    PubSubConfig,
    grave::{Buried, DeadLetter, Graveyard},
    terms::{ChannelId, ConsumerId, Failed, Failure, HandOut, Member, Next, NodeKey, Then, Wake},
    topic::{Full, Refused, Seat, TopicState},
};
use braid_core::{
    Backoff, BootTime, Channel, Message, NewMessage, Ownership, SubscribeOptions,
    pubsub::{ChannelView, TopicView},
};
use std::time::{Duration, SystemTime};

pub(super) const NODE: NodeKey = NodeKey(1);

pub(super) const WINDOW: Duration = Duration::from_secs(20);

/// Ids are handed out in order, so a message's number is its seq.
pub(super) struct Fixture {
    pub(super) topic: TopicState,
    pub(super) graves: Graves,
    pub(super) now: Duration,
    last_id: u64,
}

pub(super) struct Graves {
    pub(super) answer: Buried,
    pub(super) buried: Vec<(String, u32, String)>,
    pub(super) tries: usize,
}

impl Graveyard for Graves {
    fn bury(&mut self, letter: DeadLetter<'_>) -> Buried {
        self.tries += 1;
        if self.answer == Buried::Done {
            self.buried.push((
                letter.message.id.to_string(),
                letter.attempts,
                letter.reason.to_owned(),
            ));
        }
        self.answer
    }
}

/// Shared, one attempt's backoff 100 ms, two attempts, no heartbeat, claims after 10 s.
pub(super) fn options() -> SubscribeOptions {
    SubscribeOptions {
        max_attempts: 2,
        heartbeat: false,
        claim_after: Duration::from_secs(10),
        backoff: Backoff {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(5),
        },
        ..SubscribeOptions::shared()
    }
}

pub(super) fn one_at_a_time() -> SubscribeOptions {
    SubscribeOptions {
        max_in_flight: 1,
        ..options()
    }
}

pub(super) fn ephemeral() -> SubscribeOptions {
    SubscribeOptions {
        kind: braid_core::ChannelKind::Ephemeral,
        ..options()
    }
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with_limits(1_000, 0)
    }

    pub(super) fn with_limits(capacity: usize, history: usize) -> Self {
        Self {
            topic: TopicState::new(&PubSubConfig {
                capacity,
                history,
                dedup_window: WINDOW,
                ..PubSubConfig::default()
            }),
            graves: Graves {
                answer: Buried::Done,
                buried: Vec::new(),
                tries: 0,
            },
            now: Duration::ZERO,
            last_id: 0,
        }
    }

    pub(super) fn publish(&mut self, key: Option<&str>) -> Result<u64, Full> {
        let message = NewMessage::new("body");
        self.publish_this(match key {
            Some(key) => message.with_key(key),
            None => message,
        })
    }

    pub(super) fn publish_this(&mut self, message: NewMessage) -> Result<u64, Full> {
        let now = self.now();
        let id = self.topic.append(message, SystemTime::UNIX_EPOCH, now)?;
        Ok(id.as_str().parse().unwrap())
    }

    pub(super) fn publish_many(&mut self, count: usize) {
        for _ in 0..count {
            self.publish(None).unwrap();
        }
    }

    pub(super) fn join(&mut self, channel: &str, options: SubscribeOptions) -> Seat {
        self.try_join(channel, options).unwrap()
    }

    pub(super) fn try_join(
        &mut self,
        channel: &str,
        options: SubscribeOptions,
    ) -> Result<Seat, Refused> {
        self.last_id += 1;
        let member = Member {
            consumer: ConsumerId(self.last_id),
            node: NODE,
            options,
        };
        let channel = Channel::new(channel).unwrap();
        let now = self.now();
        self.topic
            .join(&channel, ChannelId(self.last_id), member, now)
    }

    pub(super) fn leave(&mut self, seat: &Seat) {
        let now = self.now();
        self.topic.leave(seat, now);
    }

    pub(super) fn view(&self) -> TopicView {
        self.topic.view(self.now())
    }

    pub(super) fn next(&mut self, seat: &Seat) -> Option<HandOut> {
        self.message(seat).map(|(_, out)| out)
    }

    pub(super) fn message(&mut self, seat: &Seat) -> Option<(Message, HandOut)> {
        match self.look(seat) {
            Next::Message(message, out) => Some((message, out)),
            Next::Idle { .. } | Next::Forgotten | Next::Gone => None,
        }
    }

    pub(super) fn look(&mut self, seat: &Seat) -> Next {
        let now = self.now();
        self.topic.next(seat, now, &mut self.graves)
    }

    /// The messages that a consumer is handed until there is none, as numbers.
    pub(super) fn take_all(&mut self, seat: &Seat) -> Vec<u64> {
        std::iter::from_fn(|| self.next(seat))
            .map(|out| out.seq)
            .collect()
    }

    pub(super) fn ack(&mut self, seat: &Seat, out: HandOut) -> Wake {
        self.topic.ack(seat, out)
    }

    pub(super) fn retry(&mut self, seat: &Seat, out: HandOut) -> Failed {
        self.fail(seat, out, Then::Backoff)
    }

    pub(super) fn drop_unsettled(&mut self, seat: &Seat, out: HandOut) -> Failed {
        self.fail(seat, out, Then::Wait(Duration::ZERO))
    }

    pub(super) fn fail(&mut self, seat: &Seat, out: HandOut, then: Then) -> Failed {
        let now = self.now();
        let failure = Failure {
            reason: format!("attempt {}", out.attempt),
            then,
        };
        self.topic.fail(seat, out, failure, now, &mut self.graves)
    }

    pub(super) fn heartbeat(&mut self, seat: &Seat, out: HandOut) -> Ownership {
        let now = self.now();
        self.topic.heartbeat(seat, out, now)
    }

    pub(super) fn abandon(&mut self) -> Vec<ChannelId> {
        let now = self.now();
        self.topic.abandon(NODE, now, &mut self.graves)
    }

    pub(super) fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    pub(super) fn channel(&self, name: &str) -> ChannelView {
        let view = self.view();
        let mut channels = view.channels.into_iter();
        channels.find(|c| c.name.as_str() == name).unwrap()
    }

    pub(super) fn now(&self) -> BootTime {
        BootTime::from_origin(self.now)
    }
}
