//! What is shown of a channel.

use super::{
    ChannelState, Consumer,
    stage::{Pending, Stage},
};
use crate::pubsub::{log::Log, terms::Member};
use braid_core::{
    BootTime,
    pubsub::{ChannelView, ConsumerView},
};
use std::time::SystemTime;

impl ChannelState {
    pub(in crate::pubsub) fn view(&self, log: &Log, now: BootTime) -> ChannelView {
        let untried = |pending: &&Pending| {
            pending.attempts == 0 && !matches!(pending.stage, Stage::Waiting(_))
        };
        let untried = self.pending.values().filter(untried).count();
        let mut view = ChannelView::new(self.name.clone(), self.kind);
        view.lag = self.unread + untried;
        view.pending = self.pending.len() - untried;
        view.oldest = self.oldest(log);
        view.consumers = self.consumers.len();
        let members = self.consumers.values();
        view.members = members.map(|consumer| consumer.view(now)).collect();
        view.members.sort_by(|a, b| a.name.cmp(&b.name));
        view
    }

    /// When the oldest message that the channel still needs was published.
    fn oldest(&self, log: &Log) -> Option<SystemTime> {
        let first = self.pending.first_key_value().map(|(seq, _)| *seq);
        let oldest = match first {
            Some(seq) => log.message(seq),
            None if self.unread > 0 => log.first_for(self.cursor, &self.name),
            None => None,
        };
        oldest.map(|message| message.timestamp)
    }
}

impl Consumer {
    fn view(&self, now: BootTime) -> ConsumerView {
        let Member { consumer, node, .. } = &*self.member;
        let mut view = ConsumerView::new(format!("{}-{}", node.0, consumer.0));
        view.pending = self.held;
        view.idle = Some(now.saturating_since(self.seen));
        view
    }
}
