//! Random histories: the state machine against the oracle, step by step.
//!
//! A failure prints the shortest history that proptest finds. `PROPTEST_RNG_SEED` replays a run, `PROPTEST_CASES` lengthens it.

use super::{
    fixture::{Fixture, options},
    oracle::Oracle,
};
use crate::pubsub::{
    grave::Buried,
    terms::{ChannelId, ConsumerId, Failed, HandOut, Next, Then, Wake},
    topic::Seat,
};
use braid_core::{BootTime, ChannelKind, NewMessage, Start, SubscribeOptions, pubsub::dead_letter};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const CAPACITY: usize = 12;
const HISTORY: usize = 3;
const SLOTS: usize = 4;
/// The first two are shared.
const CHANNELS: [&str; 3] = ["one", "two", "own"];

#[derive(Clone, Debug)]
enum Op {
    Publish(Terms),
    Join(usize, usize, SubscribeOptions),
    Leave(usize),
    Take(usize),
    Settle(usize, Settle),
    Pass(u64),
    Graves(Buried),
    Abandon,
}

/// What is asked for a message.
#[derive(Clone, Debug)]
struct Terms {
    key: Option<u8>,
    delay: Option<u64>,
    dedup_key: Option<u8>,
    only: Option<usize>,
}

/// What is done with a hand-out: one of the latest, settled or not.
#[derive(Clone, Debug)]
enum Settle {
    Ack,
    Fail(Then),
    Heartbeat,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => message().prop_map(Op::Publish),
        2 => (0..SLOTS, 0..CHANNELS.len(), terms()).prop_map(|(s, c, o)| Op::Join(s, c, o)),
        1 => (0..SLOTS).prop_map(Op::Leave),
        10 => (0..SLOTS).prop_map(Op::Take),
        10 => (0_usize..8, settle()).prop_map(|(out, settle)| Op::Settle(out, settle)),
        3 => prop_oneof![Just(1_u64), 50..500_u64, 1_000..12_000_u64].prop_map(Op::Pass),
        1 => prop_oneof![2 => Just(Buried::Done), 1 => Just(Buried::Later), 1 => Just(Buried::Nowhere)]
            .prop_map(Op::Graves),
        1 => Just(Op::Abandon),
    ]
}

fn message() -> impl Strategy<Value = Terms> {
    let key = prop::option::of(0_u8..2);
    let delay = prop::option::weighted(0.3, prop_oneof![1_u64..500, 500_u64..20_000]);
    let dedup_key = prop::option::weighted(0.2, 0_u8..2);
    let only = prop::option::weighted(0.2, 0..CHANNELS.len());
    (key, delay, dedup_key, only).prop_map(|(key, delay, dedup_key, only)| Terms {
        key,
        delay,
        dedup_key,
        only,
    })
}

fn settle() -> impl Strategy<Value = Settle> {
    prop_oneof![
        4 => Just(Settle::Ack),
        2 => Just(Settle::Fail(Then::Backoff)),
        1 => (0_u64..300).prop_map(|ms| Settle::Fail(Then::Wait(Duration::from_millis(ms)))),
        1 => Just(Settle::Fail(Then::DeadLetter)),
        1 => Just(Settle::Heartbeat),
    ]
}

fn terms() -> impl Strategy<Value = SubscribeOptions> {
    (1_usize..4, 1_u32..4, any::<bool>(), any::<bool>()).prop_map(
        |(max_in_flight, max_attempts, heartbeat, all)| SubscribeOptions {
            max_in_flight,
            max_attempts,
            heartbeat,
            start: if all { Start::Beginning } else { Start::New },
            ..options()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn every_history_goes_as_the_oracle_says(ops in prop::collection::vec(op(), 1..150)) {
        let mut pair = Pair::new();
        for op in ops {
            pair.step(op);
            pair.compare();
        }
        pair.finish();
    }
}

/// The state machine and the oracle, side by side, and what has been seen so far.
struct Pair {
    real: Fixture,
    oracle: Oracle,
    seats: [Option<Seat>; SLOTS],
    outs: Vec<(Seat, HandOut)>,
    /// Consumers that found nothing and wait, and until when.
    asleep: BTreeMap<ConsumerId, (Seat, Option<Duration>)>,
    /// What each life of a channel was ever due, was handed out, and is done with.
    due: BTreeMap<ChannelId, BTreeSet<u64>>,
    tried: BTreeMap<(ChannelId, u64), u32>,
    acked: BTreeSet<(ChannelId, u64)>,
}

impl Pair {
    fn new() -> Self {
        Self {
            real: Fixture::with_limits(CAPACITY, HISTORY),
            oracle: Oracle::new(CAPACITY, HISTORY as u64),
            seats: Default::default(),
            outs: Vec::new(),
            asleep: BTreeMap::new(),
            due: BTreeMap::new(),
            tried: BTreeMap::new(),
            acked: BTreeSet::new(),
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Publish(terms) => self.publish(&terms),
            Op::Join(slot, channel, options) => self.join(slot, channel, options),
            Op::Leave(slot) => self.leave(slot),
            Op::Take(slot) => self.take(slot),
            Op::Settle(back, settle) => {
                let index = self.outs.len().checked_sub(back + 1);
                if let Some((seat, out)) = index.map(|index| self.outs[index].clone()) {
                    self.settle(&seat, out, &settle);
                }
            }
            Op::Pass(millis) => {
                self.real.pass(millis);
                let now = self.real.now;
                self.oracle.now = now;
                self.asleep
                    .retain(|_, (_, until)| until.is_none_or(|until| until > now));
            }
            Op::Graves(answer) => {
                self.real.graves.answer = answer;
                self.oracle.answer = answer;
            }
            Op::Abandon => {
                for channel in self.real.abandon() {
                    self.wake(channel, Wake::Channel);
                }
                self.oracle.abandon();
            }
        }
    }

    fn publish(&mut self, terms: &Terms) {
        let mut message = NewMessage::new("body");
        if let Some(key) = terms.key {
            message = message.with_key(key.to_string());
        }
        if let Some(delay) = terms.delay {
            message = message.with_delay(Duration::from_millis(delay));
        }
        if let Some(key) = terms.dedup_key {
            message = message.with_dedup_key(key.to_string());
        }
        if let Some(only) = terms.only {
            message = message.with_header(dead_letter::ONLY_CHANNEL, CHANNELS[only]);
        }
        let before = self.oracle.last;
        let expected = self.oracle.publish(&message);
        let published = self.real.publish_this(message);
        assert_eq!(published.ok(), expected);
        if let Some(seq) = expected.filter(|seq| *seq > before) {
            self.asleep.clear();
            for (id, life) in &self.oracle.channels {
                if life.is_open(seq) {
                    self.due.entry(*id).or_default().insert(seq);
                }
            }
        }
    }

    fn join(&mut self, slot: usize, channel: usize, mut options: SubscribeOptions) {
        if channel == 2 {
            options.kind = ChannelKind::Ephemeral;
        }
        if self.seats[slot].is_some() {
            return;
        }
        // An ephemeral channel that has its consumer refuses another one.
        let Ok(seat) = self.real.try_join(CHANNELS[channel], options.clone()) else {
            return;
        };
        let fresh = !self.oracle.channels.contains_key(&seat.channel_id);
        self.oracle.join(&seat, options.clone());
        if fresh && options.start == Start::Beginning {
            let open = self.oracle.channels[&seat.channel_id].all_open();
            self.due.insert(seat.channel_id, open);
        }
        self.seats[slot] = Some(seat);
    }

    fn leave(&mut self, slot: usize) {
        if let Some(seat) = self.seats[slot].take() {
            self.asleep.remove(&seat.consumer);
            self.real.leave(&seat);
            self.oracle.leave(&seat);
            if !self.oracle.channels.contains_key(&seat.channel_id) {
                self.due.remove(&seat.channel_id);
            }
        }
    }

    fn take(&mut self, slot: usize) {
        let Some(seat) = self.seats[slot].clone() else {
            return;
        };
        let next = self.real.look(&seat);
        let expected = self.oracle.next(&seat);
        let out = match next {
            Next::Message(_, out) => out,
            Next::Idle { until } => {
                assert_eq!(expected, None);
                let until = until.map(BootTime::since_origin);
                self.asleep.insert(seat.consumer, (seat, until));
                return;
            }
            Next::Gone | Next::Forgotten => panic!("{seat:?} is gone"),
        };
        assert_eq!(expected, Some(out));
        self.asleep.remove(&seat.consumer);
        let message = (seat.channel_id, out.seq);
        assert!(!self.acked.contains(&message), "{out:?} was acked");
        let tried = self.tried.entry(message).or_default();
        *tried += 1;
        assert_eq!(*tried, out.attempt);
        self.outs.push((seat, out));
    }

    fn settle(&mut self, seat: &Seat, out: HandOut, settle: &Settle) {
        match settle {
            Settle::Ack => {
                let wake = self.real.ack(seat, out);
                self.wake(seat.channel_id, wake);
                self.oracle.ack(seat, out);
                self.acked.insert((seat.channel_id, out.seq));
            }
            Settle::Fail(then) => {
                let reason = format!("attempt {}", out.attempt);
                let expected = self.oracle.fail(seat.channel_id, out, reason, *then);
                assert_eq!(self.real.fail(seat, out, *then), expected);
                if expected != Failed::Lost {
                    self.wake(seat.channel_id, Wake::Channel);
                }
            }
            Settle::Heartbeat => {
                let expected = self.oracle.heartbeat(seat, out);
                assert_eq!(self.real.heartbeat(seat, out), expected);
            }
        }
    }

    fn wake(&mut self, channel: ChannelId, wake: Wake) {
        self.asleep.retain(|consumer, (seat, _)| match wake {
            Wake::Nobody => true,
            Wake::Consumer(woken) => *consumer != woken,
            Wake::Channel => seat.channel_id != channel,
        });
    }

    fn compare(&self) {
        for (seat, until) in self.asleep.values() {
            assert!(
                !self.oracle.is_due(seat),
                "{seat:?} sleeps on until {until:?}"
            );
        }
        let mut buried = (self.real.graves.buried.clone(), self.oracle.buried.clone());
        // Which of two channels an abandoned node leaves first is open.
        buried.0.sort();
        buried.1.sort();
        assert_eq!(buried.0, buried.1);
        let view = self.real.view();
        assert_eq!(view.messages, self.oracle.kept().len());
        assert!(view.messages <= CAPACITY + 2 * HISTORY, "bounded");
        assert_eq!(view.channels.len(), self.oracle.channels.len());
        for seat in self.seats.iter().flatten() {
            let view = self.real.channel(seat.channel.as_str());
            let (untried, tried, consumers) = self.oracle.view(seat.channel_id);
            assert_eq!(view.consumers, consumers);
            assert_eq!(view.members.len(), consumers);
            // What is delayed is on either side.
            assert_eq!(view.lag + view.pending, untried + tried);
            assert!(view.pending >= tried);
            assert_eq!(view.oldest.is_some(), untried + tried > 0);
        }
    }

    /// Lets everything that is left be handled, and looks for what is missing.
    fn finish(mut self) {
        self.step(Op::Graves(Buried::Done));
        self.step(Op::Abandon);
        let own = self.seats.clone().into_iter().flatten();
        let own = own.filter(|seat| seat.channel.as_str() == CHANNELS[2]);
        let mut finishers: Vec<Seat> = own.collect();
        for channel in &CHANNELS[..2] {
            let seat = self.real.join(channel, options());
            self.oracle.join(&seat, options());
            finishers.push(seat);
        }
        for seat in &finishers {
            // Longer than any wait. Twice: the doomed are buried first.
            for _ in 0..2 {
                self.step(Op::Pass(60_000));
                while let Some(out) = self.real.next(seat) {
                    self.settle(seat, out, &Settle::Ack);
                }
            }
            let due = self.due.remove(&seat.channel_id).unwrap_or_default();
            for seq in due {
                let acked = self.acked.contains(&(seat.channel_id, seq));
                let id = format!("{seq:020}");
                let buried = self.real.graves.buried.iter().any(|(b, ..)| *b == id);
                assert!(
                    acked || buried,
                    "message {seq} of {:?} is lost",
                    seat.channel
                );
            }
            assert_eq!(self.real.channel(seat.channel.as_str()).pending, 0);
        }
        let newest = self.oracle.last.min(HISTORY as u64);
        assert_eq!(
            self.real.view().messages as u64,
            newest,
            "retention goes on"
        );
    }
}
