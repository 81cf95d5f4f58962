//! What a change under a topic's lock leads to once the lock is released: tasks to wake and lines to log.
//!
//! Neither may happen under the lock: both run foreign code, and that may come back to this topic.

use super::terms::{ChannelId, ConsumerId, Wake};
use braid_core::{Channel, MessageId, Topic};
use std::{collections::BTreeMap, task::Waker};

/// The consumers and readers of a topic that wait.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    channels: BTreeMap<ChannelId, BTreeMap<ConsumerId, Waker>>,
    /// How often a whole channel was woken.
    turn: usize,
}

/// Wakers and log lines, to be let loose by [`run`](Effects::run).
#[derive(Debug, Default)]
#[must_use = "somebody waits for being woken"]
pub(super) struct Effects {
    wakers: Vec<Waker>,
    notes: Vec<Note>,
}

/// A line for the log. No body, and no reason: a handler wrote that, who knows from what.
#[derive(Debug)]
pub(super) enum Note {
    Full {
        topic: Topic,
        capacity: usize,
    },
    Forgotten {
        topic: Topic,
        channel: Channel,
    },
    DeadLetter {
        topic: Topic,
        channel: Channel,
        message: MessageId,
        attempts: u32,
        /// Why it could not be moved.
        stays: Option<&'static str>,
    },
}

impl Effects {
    /// From now on the consumer waits. If another task waited for it before, that one is woken: it does no harm, and a waker must
    /// not be dropped under the lock either.
    pub(super) fn register(
        &mut self,
        channel: ChannelId,
        consumer: ConsumerId,
        waker: &Waker,
        waiters: &mut Waiters,
    ) {
        let waiting = waiters.channels.entry(channel).or_default();
        if !waiting.get(&consumer).is_some_and(|w| w.will_wake(waker)) {
            self.wakers.extend(waiting.insert(consumer, waker.clone()));
        }
    }

    pub(super) fn wake(&mut self, wake: Wake, channel: ChannelId, waiters: &mut Waiters) {
        match wake {
            Wake::Nobody => {}
            Wake::Consumer(consumer) => self.wake_one(channel, consumer, waiters),
            Wake::Channel => {
                if let Some(waiting) = waiters.channels.remove(&channel) {
                    waiters.turn += 1;
                    self.wake_in_turn(waiting, waiters.turn);
                }
            }
        }
    }

    pub(super) fn wake_one(
        &mut self,
        channel: ChannelId,
        consumer: ConsumerId,
        waiters: &mut Waiters,
    ) {
        let Some(waiting) = waiters.channels.get_mut(&channel) else {
            return;
        };
        self.wakers.extend(waiting.remove(&consumer));
        if waiting.is_empty() {
            waiters.channels.remove(&channel);
        }
    }

    pub(super) fn wake_all(&mut self, waiters: &mut Waiters) {
        waiters.turn += 1;
        for waiting in std::mem::take(&mut waiters.channels).into_values() {
            self.wake_in_turn(waiting, waiters.turn);
        }
    }

    /// Wakes the consumers of one channel. All of them, since one alone might have lost interest; each time another is the first
    /// and another the last, so that a scheduler that prefers either still serves them equally.
    fn wake_in_turn(&mut self, waiting: BTreeMap<ConsumerId, Waker>, turn: usize) {
        let begin = self.wakers.len();
        self.wakers.extend(waiting.into_values());
        let woken = &mut self.wakers[begin..];
        if !woken.is_empty() {
            woken.rotate_left(turn % woken.len());
        }
    }

    pub(super) fn note(&mut self, note: Note) {
        self.notes.push(note);
    }

    pub(super) fn run(self) {
        self.wakers.into_iter().for_each(Waker::wake);
        self.notes.into_iter().for_each(Note::log);
    }
}

impl Note {
    fn log(self) {
        match self {
            Self::Full { topic, capacity } => {
                tracing::warn!(%topic, capacity, "the topic is at its cap: publishers are refused until a channel catches up");
            }
            Self::Forgotten { topic, channel } => {
                tracing::error!(%topic, %channel, "a channel had no consumer for too long and is forgotten: it no longer holds back its topic");
            }
            Self::DeadLetter {
                topic,
                channel,
                message,
                attempts,
                stays: None,
            } => {
                tracing::warn!(%topic, %channel, %message, attempts, "a message became a dead letter");
            }
            Self::DeadLetter {
                topic,
                channel,
                message,
                attempts,
                stays: Some(cause),
            } => {
                tracing::error!(%topic, %channel, %message, attempts, cause, "a message that should be a dead letter stays in its channel");
            }
        }
    }
}
