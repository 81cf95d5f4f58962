//! One topic as a pure state machine: the log and its channels.

use super::{
    channel::{ChannelState, Env},
    grave::Graveyard,
    log::{self, Log, Seq},
    terms::{ChannelId, ConsumerId, Failed, Failure, HandOut, Member, Next, NodeKey, Wake},
};
use braid_core::{
    BootTime, Channel, ChannelKind, MessageId, NewMessage, Ownership, Start, pubsub::TopicView,
};
use std::{
    collections::{HashMap, hash_map::Entry},
    time::SystemTime,
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
    capacity: usize,
    /// The last message was refused.
    full: bool,
}

impl TopicState {
    pub(super) fn new(capacity: usize, history: usize) -> Self {
        Self {
            log: Log::new(history),
            channels: HashMap::new(),
            capacity,
            full: false,
        }
    }

    /// Stores a message. Everyone in every channel has to look again.
    pub(super) fn append(
        &mut self,
        message: NewMessage,
        timestamp: SystemTime,
    ) -> Result<MessageId, Full> {
        if self.log.needed() >= self.capacity {
            let news = !std::mem::replace(&mut self.full, true);
            return Err(Full { news });
        }
        self.full = false;
        let id = self.log.append(message, timestamp, self.channels.len());
        self.channels.values_mut().for_each(ChannelState::appended);
        Ok(id)
    }

    /// Takes a consumer into a channel, which is made with `fresh` as its id when there is none.
    pub(super) fn join(
        &mut self,
        channel: &Channel,
        fresh: ChannelId,
        member: Member,
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
        state.join(member);
        Ok(Seat {
            channel: channel.clone(),
            channel_id: state.id(),
            consumer,
        })
    }

    /// The consumer leaves; an ephemeral channel goes with it.
    pub(super) fn leave(&mut self, seat: &Seat) {
        let Some((channel, _)) = self.channel(seat) else {
            return;
        };
        match channel.kind() {
            ChannelKind::Shared => channel.leave(seat.consumer),
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

    pub(super) fn view(&self) -> TopicView {
        let mut view = TopicView::default();
        view.messages = self.log.len();
        view.channels = self.channels.values().map(ChannelState::view).collect();
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
