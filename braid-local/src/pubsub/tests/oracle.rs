//! What a topic should do, written as plainly as possible: every question walks over every message. Nothing is shared with the
//! state machine but the words.

use super::fixture::WINDOW;
use crate::pubsub::{
    grave::Buried,
    terms::{ChannelId, ConsumerId, Failed, HandOut, Then},
    topic::Seat,
};
use braid_core::{
    Channel, ChannelKind, NewMessage, Ownership, Start, SubscribeOptions, pubsub::dead_letter,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

pub(super) struct Oracle {
    pub(super) now: Duration,
    pub(super) answer: Buried,
    pub(super) buried: Vec<(String, u32, String)>,
    pub(super) channels: BTreeMap<ChannelId, Life>,
    pub(super) capacity: usize,
    pub(super) history: u64,
    pub(super) last: u64,
    keys: BTreeMap<u64, String>,
    /// What was published, for channels that come later.
    messages: BTreeMap<u64, (NewMessage, Duration)>,
    dedup: Vec<(String, Duration, u64)>,
}

/// One life of a channel.
pub(super) struct Life {
    name: Channel,
    kind: ChannelKind,
    consumers: BTreeMap<ConsumerId, SubscribeOptions>,
    /// What isn't acked or buried.
    open: BTreeMap<u64, Open>,
}

struct Open {
    attempts: u32,
    doom: Option<String>,
    stage: Stage,
}

enum Stage {
    Free,
    Until(Duration),
    Held(ConsumerId, SubscribeOptions, Option<Duration>),
}

impl Oracle {
    pub(super) fn new(capacity: usize, history: u64) -> Self {
        Self {
            now: Duration::ZERO,
            answer: Buried::Done,
            buried: Vec::new(),
            channels: BTreeMap::new(),
            capacity,
            history,
            last: 0,
            keys: BTreeMap::new(),
            messages: BTreeMap::new(),
            dedup: Vec::new(),
        }
    }

    /// The message's number, if it is taken or was before.
    pub(super) fn publish(&mut self, message: &NewMessage) -> Option<u64> {
        if let Some(key) = message.dedup_key() {
            let within =
                |(k, at, _): &&(String, Duration, u64)| k == key && self.now < *at + WINDOW;
            if let Some((_, _, seq)) = self.dedup.iter().find(within) {
                return Some(*seq);
            }
        }
        if self.needed().len() >= self.capacity {
            return None;
        }
        self.last += 1;
        if let Some(key) = message.dedup_key() {
            self.dedup.push((key.to_owned(), self.now, self.last));
        }
        if let Some(key) = message.key() {
            self.keys.insert(self.last, key.to_owned());
        }
        self.messages.insert(self.last, (message.clone(), self.now));
        for life in self.channels.values_mut() {
            life.add(self.last, message, self.now);
        }
        Some(self.last)
    }

    pub(super) fn join(&mut self, seat: &Seat, options: SubscribeOptions) {
        let kept = self.kept();
        let life = self.channels.entry(seat.channel_id).or_insert_with(|| {
            let mut life = Life {
                name: seat.channel.clone(),
                kind: options.kind,
                consumers: BTreeMap::new(),
                open: BTreeMap::new(),
            };
            if options.start == Start::Beginning {
                for seq in kept {
                    let (message, at) = &self.messages[&seq];
                    life.add(seq, message, *at);
                }
            }
            life
        });
        life.consumers.insert(seat.consumer, options);
    }

    pub(super) fn leave(&mut self, seat: &Seat) {
        if let Some(life) = self.channels.get_mut(&seat.channel_id) {
            life.consumers.remove(&seat.consumer);
            if life.kind == ChannelKind::Ephemeral {
                self.channels.remove(&seat.channel_id);
            }
        }
    }

    /// Whether a look would lead to anything.
    pub(super) fn is_due(&self, seat: &Seat) -> bool {
        let life = self.channels.get(&seat.channel_id);
        life.is_some_and(|life| {
            life.has_room(seat.consumer, self.now)
                && life.first_free(self.now, &self.keys).is_some()
        })
    }

    pub(super) fn next(&mut self, seat: &Seat) -> Option<HandOut> {
        let now = self.now;
        let life = self.channels.get_mut(&seat.channel_id)?;
        let options = life.consumers.get(&seat.consumer)?.clone();
        if !life.has_room(seat.consumer, now) {
            return None;
        }
        loop {
            let life = self.channels.get_mut(&seat.channel_id)?;
            let seq = life.first_free(now, &self.keys)?;
            let open = life.open.get_mut(&seq)?;
            let verdict = match &open.stage {
                Stage::Held(_, of, _) if open.attempts >= of.max_attempts => Some((
                    "not settled within the claim time".to_owned(),
                    of.backoff.max,
                )),
                Stage::Held(..) => None,
                _ => open.doom.clone().map(|reason| (reason, SECOND)),
            };
            if let Some((reason, longest)) = verdict {
                self.bury(seat.channel_id, seq, reason, longest);
                continue;
            }
            open.attempts += 1;
            let deadline = (!options.heartbeat).then(|| now + options.claim_after);
            open.stage = Stage::Held(seat.consumer, options, deadline);
            let attempt = open.attempts;
            return Some(HandOut { seq, attempt });
        }
    }

    pub(super) fn ack(&mut self, seat: &Seat, out: HandOut) {
        if let Some(life) = self.channels.get_mut(&seat.channel_id) {
            life.open.remove(&out.seq);
        }
    }

    pub(super) fn fail(
        &mut self,
        channel: ChannelId,
        out: HandOut,
        reason: String,
        then: Then,
    ) -> Failed {
        let now = self.now;
        let Some((open, of, _)) = self.held(channel, out) else {
            return Failed::Lost;
        };
        let wait = match then {
            Then::Backoff => of.backoff.after(out.attempt),
            Then::Wait(wait) => wait,
            Then::DeadLetter => Duration::ZERO,
        };
        open.stage = Stage::Until(now + wait);
        if then == Then::DeadLetter || out.attempt >= of.max_attempts {
            self.bury(channel, out.seq, reason, of.backoff.max);
            if self.answer == Buried::Nowhere {
                return Failed::NoGrave;
            }
        }
        Failed::Done
    }

    pub(super) fn heartbeat(&mut self, seat: &Seat, out: HandOut) -> Ownership {
        let now = self.now;
        let Some((open, of, by)) = self.held(seat.channel_id, out) else {
            return Ownership::Lost;
        };
        let deadline = (!of.heartbeat).then(|| now + of.claim_after);
        open.stage = Stage::Held(by, of, deadline);
        Ownership::Held
    }

    pub(super) fn abandon(&mut self) {
        let mut held = Vec::new();
        for (id, life) in &self.channels {
            for (&seq, open) in &life.open {
                let attempt = open.attempts;
                if matches!(open.stage, Stage::Held(..)) {
                    held.push((*id, HandOut { seq, attempt }));
                }
            }
        }
        for (channel, out) in held {
            let reason = "not settled before its node was shut down".to_owned();
            self.fail(channel, out, reason, Then::Wait(Duration::ZERO));
        }
    }

    /// What some channel needs.
    pub(super) fn needed(&self) -> BTreeSet<u64> {
        let open = self.channels.values().flat_map(|life| life.open.keys());
        open.copied().collect()
    }

    /// What the topic holds.
    pub(super) fn kept(&self) -> BTreeSet<u64> {
        let newest = self.last.saturating_sub(self.history) + 1..=self.last;
        newest.chain(self.needed()).collect()
    }

    /// Lag, pending, consumers.
    pub(super) fn view(&self, channel: ChannelId) -> (usize, usize, usize) {
        let life = &self.channels[&channel];
        let untried = life.open.values().filter(|open| open.attempts == 0).count();
        (untried, life.open.len() - untried, life.consumers.len())
    }

    fn held(
        &mut self,
        channel: ChannelId,
        out: HandOut,
    ) -> Option<(&mut Open, SubscribeOptions, ConsumerId)> {
        let life = self.channels.get_mut(&channel)?;
        let open = life.open.get_mut(&out.seq)?;
        let Stage::Held(by, of, _) = &open.stage else {
            return None;
        };
        let (by, of) = (*by, of.clone());
        (open.attempts == out.attempt).then_some((open, of, by))
    }

    fn bury(&mut self, channel: ChannelId, seq: u64, reason: String, longest: Duration) {
        let now = self.now;
        let life = self.channels.get_mut(&channel).unwrap();
        let open = life.open.get_mut(&seq).unwrap();
        match self.answer {
            Buried::Done => {
                self.buried
                    .push((format!("{seq:020}"), open.attempts, reason));
                life.open.remove(&seq);
            }
            Buried::Later => {
                open.doom = Some(reason);
                open.stage = Stage::Until(now + SECOND);
            }
            Buried::Nowhere => open.stage = Stage::Until(now + longest.max(SECOND)),
        }
    }
}

impl Life {
    fn add(&mut self, seq: u64, message: &NewMessage, at: Duration) {
        let only = message.headers().get(dead_letter::ONLY_CHANNEL);
        if only.is_none_or(|only| only == self.name.as_str()) {
            let open = Open {
                attempts: 0,
                doom: None,
                stage: match message.delay() {
                    Some(delay) => Stage::Until(at + delay),
                    None => Stage::Free,
                },
            };
            self.open.insert(seq, open);
        }
    }

    pub(super) fn is_open(&self, seq: u64) -> bool {
        self.open.contains_key(&seq)
    }

    pub(super) fn all_open(&self) -> BTreeSet<u64> {
        self.open.keys().copied().collect()
    }

    fn has_room(&self, consumer: ConsumerId, now: Duration) -> bool {
        let held = self.open.values().filter(|open| {
            let Stage::Held(by, _, deadline) = &open.stage else {
                return false;
            };
            *by == consumer && deadline.is_none_or(|d| d > now)
        });
        held.count() < self.consumers[&consumer].max_in_flight
    }

    fn first_free(&self, now: Duration, keys: &BTreeMap<u64, String>) -> Option<u64> {
        let free = |(seq, open): &(&u64, &Open)| {
            let due = match &open.stage {
                Stage::Free => true,
                Stage::Until(time) => *time <= now,
                Stage::Held(_, _, deadline) => deadline.is_some_and(|time| time <= now),
            };
            let behind = |older: &u64| keys.contains_key(*seq) && keys.get(older) == keys.get(*seq);
            due && !self.open.range(..*seq).any(|(older, _)| behind(older))
        };
        self.open.iter().find(free).map(|(seq, _)| *seq)
    }
}
