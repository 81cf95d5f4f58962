//! One topic as a pure state machine: the log and its channels.

use super::{
    PubSubConfig,
    channel::{ChannelState, Env},
    dedup::Dedup,
    grave::Graveyard,
    log::{self, Log, Seq},
    place::{Look, Place},
    terms::{ChannelId, ConsumerId, Failed, Failure, HandOut, Member, Next, NodeKey, Wake},
};
use braid_core::{
    BootTime, Channel, ChannelKind, MessageId, NewMessage, Ownership, Start,
    pubsub::{TopicView, dead_letter},
};
use std::{
    collections::{HashMap, hash_map::Entry},
    time::{Duration, SystemTime},
};

/// A consumer's place in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) channel: Channel,
    pub(super) channel_id: ChannelId,
    pub(super) consumer: ConsumerId,
}

/// The topic is at its cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// It took the message before this one.
    pub(super) news: bool,
}

/// Why a consumer can't join a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The channel is of this other kind.
    Kind(ChannelKind),
    /// The channel belongs to another consumer.
    Owned,
    /// The channel was to begin behind a message that the topic never had.
    UnknownId(MessageId),
}

#[derive(Debug)]
pub(super) struct TopicState {
    log: Log,
    channels: HashMap<Channel, ChannelState>,
    seen: Dedup,
    capacity: usize,
    forget_after: Option<Duration>,
    /// The last message was refused.
    full: bool,
}

impl TopicState {
    pub(super) fn new(config: &PubSubConfig) -> Self {
        Self {
            log: Log::new(config.history),
            channels: HashMap::new(),
            seen: Dedup::new(config.dedup_window),
            capacity: config.capacity,
            forget_after: config.forget_after,
            full: false,
        }
    }

    /// Stores a message, unless its dedup key was seen within the window. Everyone in every channel has to look again.
    pub(super) fn append(
        &mut self,
        message: NewMessage,
        timestamp: SystemTime,
        now: BootTime,
    ) -> Result<MessageId, Full> {
        let dedup_key = message.dedup_key().map(str::to_owned);
        if let Some(key) = &dedup_key
            && let Some(first) = self.seen.find(key, now)
        {
            return Ok(first.clone());
        }
        if self.log.needed() >= self.capacity {
            let news = !std::mem::replace(&mut self.full, true);
            return Err(Full { news });
        }
        self.full = false;
        let only = message.headers().get(dead_letter::ONLY_CHANNEL);
        let mut readers = 0;
        for channel in self.channels.values_mut() {
            if channel.needs(only.map(String::as_str)) {
                channel.appended();
                readers += 1;
            }
        }
        let due = message.delay().map(|delay| now + delay);
        let id = self.log.append(message, timestamp, due, readers);
        if let Some(key) = dedup_key {
            self.seen.insert(key, id.clone(), now);
        }
        Ok(id)
    }

    /// Lets no channel hold the topic back that nobody has taken care of for too long; returns those of which that is new.
    pub(super) fn forget(&mut self, now: BootTime) -> Vec<Channel> {
        let Some(after) = self.forget_after else {
            return Vec::new();
        };
        let log = &mut self.log;
        let forgotten = self.channels.values_mut().filter_map(|channel| {
            channel
                .forget(after, log, now)
                .then(|| channel.name().clone())
        });
        forgotten.collect()
    }

    /// Takes a consumer into a channel, which is made with `fresh` as its id when there is none.
    pub(super) fn join(
        &mut self,
        channel: &Channel,
        fresh: ChannelId,
        member: Member,
        now: BootTime,
    ) -> Result<Seat, Refused> {
        let cursor = self.cursor_of(&member.options.start)?;
        let consumer = member.consumer;
        let kind = member.options.kind;
        let state = match self.channels.entry(channel.clone()) {
            Entry::Occupied(entry) if entry.get().kind() != kind => {
                return Err(Refused::Kind(entry.get().kind()));
            }
            Entry::Occupied(_) if kind == ChannelKind::Ephemeral => return Err(Refused::Owned),
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let name = channel.clone();
                entry.insert(ChannelState::new(fresh, name, kind, cursor, &mut self.log))
            }
        };
        state.join(member, &mut self.log, now);
        Ok(Seat {
            channel: channel.clone(),
            channel_id: state.id(),
            consumer,
        })
    }

    /// The consumer leaves; an ephemeral channel goes with it.
    pub(super) fn leave(&mut self, seat: &Seat, now: BootTime) {
        let Some((channel, _)) = self.channel(seat) else {
            return;
        };
        match channel.kind() {
            ChannelKind::Shared => channel.leave(seat.consumer, now),
            ChannelKind::Ephemeral => {
                if let Some(channel) = self.channels.remove(&seat.channel) {
                    channel.dissolve(&mut self.log);
                }
            }
        }
    }

    /// The next message for a consumer.
    pub(super) fn next(&mut self, seat: &Seat, now: BootTime, graves: &mut dyn Graveyard) -> Next {
        match self.channel(seat) {
            Some((channel, log)) => channel.next(seat.consumer, &mut Env { now, log, graves }),
            None => Next::Gone,
        }
    }

    /// A hand-out was handled.
    pub(super) fn ack(&mut self, seat: &Seat, out: HandOut) -> Wake {
        match self.channel(seat) {
            Some((channel, log)) => channel.ack(out.seq, log),
            None => Wake::Nobody,
        }
    }

    /// A hand-out failed. Unless it was lost, everyone in the channel has to look again.
    pub(super) fn fail(
        &mut self,
        seat: &Seat,
        out: HandOut,
        failure: Failure,
        now: BootTime,
        graves: &mut dyn Graveyard,
    ) -> Failed {
        match self.channel(seat) {
            Some((channel, log)) => channel.fail(out, failure, &mut Env { now, log, graves }),
            None => Failed::Lost,
        }
    }

    /// A hand-out is still being worked on.
    pub(super) fn heartbeat(&mut self, seat: &Seat, out: HandOut, now: BootTime) -> Ownership {
        match self.channel(seat) {
            Some((channel, _)) => channel.heartbeat(out, now),
            None => Ownership::Lost,
        }
    }

    /// A node is gone: what it holds counts as failed. Returns the channels in which everyone has to look again.
    pub(super) fn abandon(
        &mut self,
        node: NodeKey,
        now: BootTime,
        graves: &mut dyn Graveyard,
    ) -> Vec<ChannelId> {
        let mut env = Env {
            now,
            log: &mut self.log,
            graves,
        };
        self.channels
            .values_mut()
            .filter_map(|channel| channel.abandon(node, &mut env).then(|| channel.id()))
            .collect()
    }

    /// Where a reader begins.
    pub(super) fn place(&self, start: &Start) -> Result<Place, Refused> {
        let first = || self.log.first_from(1).map(|(seq, _)| seq);
        let next = match start {
            // What was removed before it came it doesn't miss.
            Start::Beginning => first().unwrap_or(self.log.end()),
            Start::New | Start::After(_) => self.cursor_of(start)?,
        };
        Ok(Place::new(next))
    }

    /// The next message for a reader.
    pub(super) fn read(&self, place: &mut Place, now: BootTime) -> Look {
        place.look(&self.log, now)
    }

    /// How many messages it holds.
    pub(super) fn len(&self) -> usize {
        self.log.len()
    }

    pub(super) fn view(&self, now: BootTime) -> TopicView {
        let mut view = TopicView::default();
        view.messages = self.log.len();
        view.channels = {
            let channels = self.channels.values();
            channels
                .map(|channel| channel.view(&self.log, now))
                .collect()
        };
        view.channels.sort_by(|a, b| a.name.cmp(&b.name));
        view
    }

    /// The channel that a seat is in, unless it went; and the log.
    fn channel(&mut self, seat: &Seat) -> Option<(&mut ChannelState, &mut Log)> {
        let channel = self.channels.get_mut(&seat.channel)?;
        (channel.id() == seat.channel_id).then_some((channel, &mut self.log))
    }

    /// Where a new channel would begin.
    fn cursor_of(&self, start: &Start) -> Result<Seq, Refused> {
        match start {
            Start::New => Ok(self.log.end()),
            Start::Beginning => Ok(1),
            Start::After(id) => match log::seq_of(id) {
                Some(seq) if seq < self.log.end() => Ok(seq + 1),
                _ => Err(Refused::UnknownId(id.clone())),
            },
        }
    }
}
