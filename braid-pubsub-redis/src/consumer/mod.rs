//! One consumer of a channel: what it has read, what it has handed out, and what is to be told to the server.
//!
//! The subscription's stream takes deliveries from here, the deliveries' receipts settle here, and the worker
//! ([`crate::worker`]) carries what happens to the server. Nothing here does I/O.

mod feed;

use crate::{
    delivery::Receipt,
    id::EntryId,
    key_lane::{Candidate, KeyLane},
    limit::Limit,
    link::Link,
    window::Window,
};
use braid_core::{Delivery, Error, ErrorKind, Message, Result, SubscribeOptions};
use foldhash::{HashMap, HashSet};
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// So many acks make a command of their own.
const MANY_ACKS: usize = 256;

/// How a message came: with the others of the channel, or by the lease on its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Shared,
    Keys,
}

/// One consumer.
pub(crate) struct Consumer {
    pub(crate) link: Link,
    /// Shared with the consumers of the topic's other partitions.
    limit: Arc<Limit>,
    state: Mutex<State>,
    /// Leave the channel: no more reading, no more hand-outs.
    pub(crate) leaving: CancellationToken,
    /// The server knows, or will find out.
    pub(crate) left: CancellationToken,
    pub(crate) wake: Wake,
}

/// What the parts of the worker wait for.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    /// There may be something to hand out.
    pub(crate) hand_out: Notify,
    room: Notify,
    room_for_keys: Notify,
    pub(crate) acks: Notify,
    /// So many that they need not wait for more.
    pub(crate) many_acks: Notify,
    /// Something was dropped unsettled.
    pub(crate) dropped: Notify,
    /// Something was settled.
    pub(crate) settled: Notify,
    /// The channel has messages with keys.
    pub(crate) keys: Notify,
    /// The lease may be lost.
    pub(crate) lease: Notify,
}

impl Wake {
    /// There may be room to read.
    pub(crate) fn room(&self, lane: Lane) -> &Notify {
        match lane {
            Lane::Shared => &self.room,
            Lane::Keys => &self.room_for_keys,
        }
    }
}

struct State {
    phase: Phase,
    /// Read; no hand-out is counted.
    unmarked: VecDeque<Item>,
    /// The hand-out is counted: out with the next poll.
    marked: VecDeque<Item>,
    held: HashMap<EntryId, Held>,
    lane: KeyLane,
    window: Window,
    acks: Vec<EntryId>,
    /// Acks on their way.
    unsent: Vec<EntryId>,
    unsent_of_keys: Vec<EntryId>,
    acks_of_keys: Vec<EntryId>,
    dropped: Vec<(Lane, Settlement)>,
    faults: VecDeque<Error>,
    /// A fault was told, and nothing has gone well since.
    troubled: bool,
    /// What the server doesn't permit, as far as it was told.
    refusals: HashSet<String>,
    waker: Option<Waker>,
    /// When the claim time of everything here was last started anew.
    renewed: Instant,
    /// When something of this channel gets due for its next attempt.
    next_due: Option<Instant>,
    has_keys: bool,
    leave_error: Option<Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    Leaving,
    Ended,
}

#[derive(Debug)]
struct Item {
    id: EntryId,
    lane: Lane,
    message: Message,
    /// Since when it is here, or may be handed out.
    since: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    attempt: u32,
    lane: Lane,
}

/// What became of a delivery.
#[derive(Debug)]
pub(crate) struct Settlement {
    pub(crate) id: EntryId,
    pub(crate) attempt: u32,
    pub(crate) outcome: Outcome,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Failed {
        wait: Duration,
        reason: String,
    },
    Dead {
        reason: String,
    },
    /// Never handed out.
    Back,
}

impl Settlement {
    /// How long it waits for its next attempt.
    pub(crate) fn wait(&self) -> Duration {
        match &self.outcome {
            Outcome::Failed { wait, .. } => *wait,
            Outcome::Dead { .. } | Outcome::Back => Duration::ZERO,
        }
    }
}

/// What the server made of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Comes again.
    Waits,
    Dead,
    /// The entry was no longer in the stream.
    Gone,
    /// It was no longer held.
    Lost,
}

/// The next thing to hand out, before its attempt is counted.
#[derive(Debug)]
pub(crate) enum Next {
    /// These were read: all of them up to the last are counted with one command.
    Read(EntryId, usize),
    /// The first of its key.
    Keyed(Candidate),
    /// Something is due for another attempt.
    Due,
}

impl Consumer {
    pub(crate) fn new(link: Link, limit: Arc<Limit>) -> Self {
        let now = Instant::now();
        let state = State {
            phase: Phase::Open,
            unmarked: VecDeque::new(),
            marked: VecDeque::new(),
            held: HashMap::default(),
            lane: KeyLane::default(),
            window: Window::new(link.options.max_attempts == 1),
            acks: Vec::new(),
            unsent: Vec::new(),
            unsent_of_keys: Vec::new(),
            acks_of_keys: Vec::new(),
            dropped: Vec::new(),
            faults: VecDeque::new(),
            troubled: false,
            refusals: HashSet::default(),
            waker: None,
            renewed: now,
            // What others have left may be due.
            next_due: Some(now),
            has_keys: false,
            leave_error: None,
        };
        Self {
            link,
            limit,
            state: Mutex::new(state),
            leaving: CancellationToken::new(),
            left: CancellationToken::new(),
            wake: Wake::default(),
        }
    }

    fn options(&self) -> &SubscribeOptions {
        &self.link.options
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ===== the subscription's side =====

    /// The next delivery, or a fault that the subscription survives; `None` once the channel is left.
    pub(crate) fn poll(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Delivery>>> {
        let mut state = self.state();
        if let Some(fault) = state.faults.pop_front() {
            return Poll::Ready(Some(Err(fault)));
        }
        if state.phase != Phase::Open {
            return Poll::Ready(None);
        }
        let now = Instant::now();
        while let Some(item) = state.marked.front() {
            let fresh = item.since.max(state.renewed);
            let stale = now.saturating_duration_since(fresh) >= self.options().claim_after;
            if stale && item.lane == Lane::Shared {
                // This process stood still: by now it may be another consumer's. If it isn't, it comes again.
                state.marked.pop_front();
                continue;
            }
            if !self.limit.take(cx.waker()) {
                break;
            }
            let Some(item) = state.marked.pop_front() else {
                break;
            };
            let emptied = state.marked.is_empty();
            state.window.taken(item.since, now, emptied);
            let held = Held {
                attempt: item.message.attempt,
                lane: item.lane,
            };
            if state.held.insert(item.id, held).is_some() {
                // Out a second time: its former holder lost it, and only one of the two counts.
                self.limit.give_back();
            }
            state.waker = None;
            let more = state.wants_next(&self.limit);
            drop(state);
            if more {
                self.wake.hand_out.notify_one();
            }
            let receipt = Receipt::new(Arc::clone(self), item.id, item.message.attempt, item.lane);
            return Poll::Ready(Some(Ok(Delivery::new(item.message, Box::new(receipt)))));
        }
        state.waker = Some(cx.waker().clone());
        drop(state);
        self.wake.hand_out.notify_one();
        self.wake.room.notify_one();
        Poll::Pending
    }

    /// No more hand-outs; the worker does the rest.
    pub(crate) fn leave(&self) {
        let waker = {
            let mut state = self.state();
            state.phase = state.phase.max(Phase::Leaving);
            state.waker.take()
        };
        self.leaving.cancel();
        wake(waker);
    }

    /// The worker has ended, however.
    pub(crate) fn ended(&self) {
        self.state().phase = Phase::Ended;
        self.leave();
        self.left.cancel();
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.state().phase == Phase::Ended
    }

    pub(crate) fn left_with(&self, error: Option<Error>) {
        let mut state = self.state();
        let refusal = |error: &Error| error.kind() == ErrorKind::Config;
        // Whoever closes no longer asks the stream.
        let untold = state.faults.iter().position(refusal);
        let untold = untold.and_then(|at| state.faults.remove(at));
        state.leave_error = error.or(untold);
        drop(state);
        self.left.cancel();
    }

    pub(crate) fn leave_error(&self) -> Option<Error> {
        self.state().leave_error.take()
    }

    // ===== the receipts' side =====

    /// An ack is taken. False when nobody is left to send it.
    pub(crate) fn acked(&self, id: EntryId, lane: Lane) -> bool {
        let (acks, freed) = {
            let mut state = self.state();
            if state.phase == Phase::Ended {
                return false;
            }
            if state.held.remove(&id).is_some() {
                self.limit.give_back();
            }
            match lane {
                Lane::Shared => state.acks.push(id),
                Lane::Keys => {
                    state.acks_of_keys.push(id);
                    state.lane.done(id);
                }
            }
            let acks = state.acks.len() + state.acks_of_keys.len();
            (acks, state.freed(self.options().max_in_flight, &self.limit))
        };
        match acks {
            1 => self.wake.acks.notify_one(),
            MANY_ACKS => self.wake.many_acks.notify_one(),
            _ => {}
        }
        self.after(freed);
        true
    }

    pub(crate) fn has_many_acks(&self) -> bool {
        let state = self.state();
        state.acks.len() + state.acks_of_keys.len() >= MANY_ACKS
    }

    /// What the server made of a settlement.
    pub(crate) fn settled(&self, settlement: &Settlement, lane: Lane, settled: Settled) {
        let (id, wait) = (settlement.id, settlement.wait());
        let freed = {
            let mut state = self.state();
            let current = state
                .held
                .get(&id)
                .is_some_and(|held| held.attempt == settlement.attempt);
            if current && state.held.remove(&id).is_some() {
                self.limit.give_back();
            }
            match (lane, settled) {
                (Lane::Keys, Settled::Waits) => {
                    let due = Instant::now() + wait;
                    state.lane.again(id, due);
                }
                (Lane::Keys, Settled::Dead | Settled::Gone) => state.lane.done(id),
                // Whoever holds the lease says what comes of it.
                (Lane::Keys, Settled::Lost) if current => state.lane.again(id, Instant::now()),
                (Lane::Keys, Settled::Lost) | (Lane::Shared, _) => {}
            }
            state.freed(self.options().max_in_flight, &self.limit)
        };
        self.after(freed);
    }

    /// Dropped unsettled: the worker tells the server.
    pub(crate) fn dropped(&self, lane: Lane, settlement: Settlement) {
        let mut state = self.state();
        if state.phase != Phase::Ended {
            state.dropped.push((lane, settlement));
            drop(state);
            self.wake.dropped.notify_one();
        }
    }

    /// A message with a key was shown to be in work.
    pub(crate) fn touched(&self, id: EntryId) {
        self.state().lane.touch(id, Instant::now());
    }

    fn after(&self, freed: Freed) {
        if freed.leaving {
            self.wake.settled.notify_one();
        }
        if freed.more {
            self.wake.hand_out.notify_one();
        }
        if freed.room {
            self.wake.room.notify_one();
        }
        if freed.room_for_keys {
            self.wake.room_for_keys.notify_one();
        }
        wake(freed.waker);
    }
}

/// What a settlement changes for others.
struct Freed {
    waker: Option<Waker>,
    /// There may be something to hand out.
    more: bool,
    room: bool,
    room_for_keys: bool,
    /// Somebody may wait for the last settlement.
    leaving: bool,
}

impl State {
    /// Whether somebody waits for a delivery that may have it.
    fn demands(&self, limit: &Limit) -> bool {
        self.waker.is_some() && !limit.is_full()
    }

    /// Whether the next attempts should be counted.
    fn wants_next(&self, limit: &Limit) -> bool {
        let ahead = self.window.size();
        match self.marked.len() {
            0 => self.demands(limit) || ahead > 1,
            marked => ahead > 1 && marked <= ahead / 2,
        }
    }

    /// Something was settled.
    fn freed(&mut self, most: usize, limit: &Limit) -> Freed {
        let waker = match self.marked.is_empty() || limit.is_full() {
            true => None,
            false => self.waker.take(),
        };
        Freed {
            waker,
            more: self.demands(limit) || self.wants_next(limit),
            room: self.free(most, limit) >= (most / 2).max(1),
            room_for_keys: self.has_keys,
            leaving: self.phase != Phase::Open,
        }
    }

    /// How many more may be buffered: of this partition's share, and of what all partitions may hand out. What is held counts
    /// against the whole only, or the last messages could all be in one partition and wait for each other.
    fn free(&self, share: usize, limit: &Limit) -> usize {
        share
            .min(limit.left())
            .saturating_sub(self.unmarked.len() + self.marked.len())
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("topic", self.link.topic())
            .field("channel", self.link.channel())
            .field("name", &self.link.me())
            .finish_non_exhaustive()
    }
}
