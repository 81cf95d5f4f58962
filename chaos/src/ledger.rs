//! What the histories of one topic add up to.

use crate::history::{Moment, Record};
use std::{collections::BTreeMap, time::Duration};

/// What was published to one topic, and what each of its channels handed out.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// By message: when its publish was acked. 0: it was not.
    acked: Vec<Moment>,
    published: usize,
    unsure: usize,
    channels: BTreeMap<&'static str, ChannelLedger>,
    /// Hand-outs of what nobody ever published.
    strangers: usize,
    faults: usize,
}

#[derive(Debug)]
struct ChannelLedger {
    /// By message: when it was handed out first. 0: it was not.
    first: Vec<Moment>,
    delivered: usize,
    duplicates: usize,
}

impl Ledger {
    /// An empty one for messages with numbers below `messages`.
    pub(crate) fn new(messages: usize, channels: &[&'static str]) -> Self {
        let channel = || ChannelLedger {
            first: vec![0; messages],
            delivered: 0,
            duplicates: 0,
        };
        Self {
            acked: vec![0; messages],
            published: 0,
            unsure: 0,
            channels: channels.iter().map(|name| (*name, channel())).collect(),
            strangers: 0,
            faults: 0,
        }
    }

    /// Takes in a line of a publisher, or of a consumer of `channel`.
    pub(crate) fn take(&mut self, channel: Option<&str>, record: Record<'_>) {
        let channel = channel.and_then(|name| self.channels.get_mut(name));
        match (record, channel) {
            (Record::Acked(number, at), _) => {
                if let Some(acked) = self.acked.get_mut(number) {
                    *acked = at;
                    self.published += 1;
                }
            }
            (Record::Unsure(..), _) => self.unsure += 1,
            (Record::Handed(number, _, at), Some(channel)) => match channel.first.get_mut(number) {
                Some(first) if *first == 0 => {
                    *first = at;
                    channel.delivered += 1;
                }
                Some(first) => {
                    // Histories are not read in the order of time.
                    *first = at.min(*first);
                    channel.duplicates += 1;
                }
                None => self.strangers += 1,
            },
            (Record::Handed(..), None) => self.strangers += 1,
            (Record::Fault(_), _) => self.faults += 1,
        }
    }

    /// How many publishes were acked.
    pub(crate) fn published(&self) -> usize {
        self.published
    }

    /// How many publishes may have happened.
    pub(crate) fn unsure(&self) -> usize {
        self.unsure
    }

    /// How many different messages each channel handed out.
    pub(crate) fn delivered(&self) -> BTreeMap<&'static str, usize> {
        let delivered =
            |(name, channel): (&&'static str, &ChannelLedger)| (*name, channel.delivered);
        self.channels.iter().map(delivered).collect()
    }

    /// How many acked messages at least one channel never handed out, counted for each of them.
    pub(crate) fn lost(&self) -> usize {
        let lost = |channel: &ChannelLedger| {
            let both = self.acked.iter().zip(&channel.first);
            both.filter(|(acked, first)| **acked != 0 && **first == 0)
                .count()
        };
        self.channels.values().map(lost).sum()
    }

    /// How many hand-outs were not the first of their message on their channel.
    pub(crate) fn duplicates(&self) -> usize {
        let duplicates = self.channels.values().map(|channel| channel.duplicates);
        duplicates.sum()
    }

    /// How many hand-outs were of what nobody published.
    pub(crate) fn strangers(&self) -> usize {
        self.strangers
    }

    /// How many errors the processes were told of.
    pub(crate) fn faults(&self) -> usize {
        self.faults
    }

    /// The longest time that a channel handed out nothing new though something acked was waiting for it, and came later.
    pub(crate) fn longest_gap(&self) -> Duration {
        let gap = |channel: &ChannelLedger| longest_gap(&self.acked, &channel.first);
        Duration::from_micros(self.channels.values().map(gap).max().unwrap_or(0))
    }
}

fn longest_gap(acked: &[Moment], first: &[Moment]) -> Moment {
    const WAITS: bool = false;
    const COMES: bool = true;
    let mut events = Vec::new();
    for (acked, first) in acked.iter().zip(first) {
        if *first == 0 {
            continue;
        }
        // What comes before its publisher was answered waits for no time.
        let waits = if *acked == 0 {
            *first
        } else {
            *acked.min(first)
        };
        events.extend([(waits, WAITS), (*first, COMES)]);
    }
    events.sort_unstable();
    let (mut waiting, mut since, mut longest) = (0_usize, 0, 0);
    for (at, event) in events {
        if event == WAITS {
            if waiting == 0 {
                since = at;
            }
            waiting += 1;
        } else {
            longest = longest.max(at - since);
            since = at;
            waiting -= 1;
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acked_and_not_handed_out_is_lost() {
        let mut ledger = Ledger::new(3, &["a", "b"]);
        for number in [0, 1] {
            ledger.take(None, Record::Acked(number, 1));
        }
        ledger.take(None, Record::Unsure(2, 1));
        for (channel, number) in [("a", 0), ("a", 1), ("b", 1), ("a", 1), ("b", 7)] {
            ledger.take(Some(channel), Record::Handed(number, 1, 2));
        }
        assert_eq!(
            ledger.lost(),
            1,
            "message 0 on b; message 2 may not be there"
        );
        assert_eq!((ledger.published(), ledger.unsure()), (2, 1));
        assert_eq!(ledger.delivered(), [("a", 2), ("b", 1)].into());
        assert_eq!((ledger.duplicates(), ledger.strangers()), (1, 1));
    }

    #[test]
    fn a_gap_is_time_in_which_something_waited() {
        // Nothing waits from 12 to 100; message 2 waits from 100 to 130; message 3 is lost.
        let acked = [10, 11, 100, 5];
        let first = [11, 12, 130, 0];
        assert_eq!(longest_gap(&acked, &first), 30);
        // Others came meanwhile.
        let acked = [10, 11, 12];
        let first = [40, 20, 30];
        assert_eq!(longest_gap(&acked, &first), 10);
        assert_eq!(longest_gap(&[50], &[40]), 0, "handed out before the ack");
    }
}
