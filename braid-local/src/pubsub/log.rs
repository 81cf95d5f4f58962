//! A topic's messages: each stored once, in the order of their publishing, until nobody needs it any more.

use braid_core::{BootTime, Channel, Message, MessageId, NewMessage};
use std::{collections::BTreeMap, time::SystemTime};

/// A message's place in its topic. The first message has 1.
pub(super) type Seq = u64;

/// The messages, and how many channels still need each.
///
/// A message goes as soon as no channel needs it and it isn't among the newest `history`. So the log never holds more than what
/// is needed plus `history`, however unevenly the channels proceed.
#[derive(Debug)]
pub(super) struct Log {
    entries: BTreeMap<Seq, Entry>,
    /// What the next message gets.
    next: Seq,
    /// How many entries have readers.
    needed: usize,
    history: u64,
}

#[derive(Debug)]
struct Entry {
    message: Message,
    /// When it may be handed out; `None`: it always might.
    due: Option<BootTime>,
    /// How many channels aren't done with it.
    readers: usize,
}

impl Log {
    pub(super) fn new(history: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            next: 1,
            needed: 0,
            history: u64::try_from(history).unwrap_or(u64::MAX),
        }
    }

    /// Stores a message that `readers` channels will need, once it is due.
    pub(super) fn append(
        &mut self,
        message: NewMessage,
        timestamp: SystemTime,
        due: Option<BootTime>,
        readers: usize,
    ) -> MessageId {
        let seq = self.next;
        self.next += 1;
        let id = id_of(seq);
        let message = Message::new(id.clone(), timestamp, message);
        let entry = Entry {
            message,
            due,
            readers,
        };
        self.entries.insert(seq, entry);
        self.needed += usize::from(readers > 0);
        if let Some(left_behind) = seq.checked_sub(self.history) {
            self.drop_unneeded(left_behind);
        }
        id
    }

    pub(super) fn message(&self, seq: Seq) -> Option<&Message> {
        self.entries.get(&seq).map(|entry| &entry.message)
    }

    /// When a message may be handed out, if that was not always so.
    pub(super) fn due(&self, seq: Seq) -> Option<BootTime> {
        self.entries.get(&seq).and_then(|entry| entry.due)
    }

    /// The first message at `seq` or behind it.
    pub(super) fn first_from(&self, seq: Seq) -> Option<(Seq, &Message)> {
        let (seq, entry) = self.entries.range(seq..).next()?;
        Some((*seq, &entry.message))
    }

    /// The first message for this channel at `seq` or behind it.
    pub(super) fn first_for(&self, seq: Seq, channel: &Channel) -> Option<&Message> {
        let messages = self.entries.range(seq..).map(|(_, entry)| &entry.message);
        messages.into_iter().find(|message| message.is_for(channel))
    }

    /// One more channel needs everything from `seq` on that is for it; returns how many messages that are.
    pub(super) fn add_reader(&mut self, seq: Seq, channel: &Channel) -> usize {
        let mut count = 0;
        let entries = self.entries.range_mut(seq..).map(|(_, entry)| entry);
        for entry in entries.filter(|entry| entry.message.is_for(channel)) {
            self.needed += usize::from(entry.readers == 0);
            entry.readers += 1;
            count += 1;
        }
        count
    }

    /// A channel is done with a message.
    pub(super) fn release(&mut self, seq: Seq) {
        let Some(entry) = self.entries.get_mut(&seq) else {
            debug_assert!(false, "message {seq} went although a channel needed it");
            return;
        };
        entry.readers -= 1;
        if entry.readers == 0 {
            self.needed -= 1;
            if self.next - seq > self.history {
                self.entries.remove(&seq);
            }
        }
    }

    /// A channel doesn't need what comes from `seq` on and is for it.
    pub(super) fn release_from(&mut self, seq: Seq, channel: &Channel) {
        let entries = self.entries.range(seq..);
        let its = entries.filter(|(_, entry)| entry.message.is_for(channel));
        let unread: Vec<Seq> = its.map(|(seq, _)| *seq).collect();
        for seq in unread {
            self.release(seq);
        }
    }

    /// What the next message will get.
    pub(super) fn end(&self) -> Seq {
        self.next
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many messages some channel needs.
    pub(super) fn needed(&self) -> usize {
        self.needed
    }

    fn drop_unneeded(&mut self, seq: Seq) {
        if self.entries.get(&seq).is_some_and(|e| e.readers == 0) {
            self.entries.remove(&seq);
        }
    }
}

/// The text of an id: as wide as the largest number, so that texts order as the messages do.
fn id_of(seq: Seq) -> MessageId {
    MessageId::new(format!("{seq:020}")).expect("twenty digits are a legal id")
}

/// The place that an id names; `None` when no message can have that id.
pub(super) fn seq_of(id: &MessageId) -> Option<Seq> {
    let seq: Seq = id.as_str().parse().ok()?;
    (seq > 0 && id_of(seq) == *id).then_some(seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(log: &mut Log, readers: usize, count: usize) {
        for _ in 0..count {
            log.append(NewMessage::new("x"), SystemTime::UNIX_EPOCH, None, readers);
        }
    }

    fn channel() -> Channel {
        Channel::new("c").unwrap()
    }

    fn kept(log: &Log) -> Vec<Seq> {
        log.entries.keys().copied().collect()
    }

    #[test]
    fn ids_order_as_texts_and_name_their_place() {
        assert!(id_of(9).as_str() < id_of(10).as_str());
        assert_eq!(seq_of(&id_of(u64::MAX)), Some(u64::MAX));
        for text in [
            "7",
            "+0000000000000000007",
            "00000000000000000000",
            "1-0",
            "x",
        ] {
            assert_eq!(seq_of(&MessageId::new(text).unwrap()), None, "{text}");
        }
    }

    #[test]
    fn newest_messages_are_kept_although_nobody_needs_them() {
        let mut log = Log::new(2);
        publish(&mut log, 0, 5);
        assert_eq!(kept(&log), [4, 5]);
        let mut nothing = Log::new(0);
        publish(&mut nothing, 0, 5);
        assert_eq!(nothing.len(), 0);
    }

    #[test]
    fn message_stays_until_its_last_reader_is_done() {
        let mut log = Log::new(1);
        publish(&mut log, 2, 4);
        log.release(2);
        assert_eq!((log.needed(), log.len()), (4, 4));
        log.release(2);
        assert_eq!(
            kept(&log),
            [1, 3, 4],
            "a hole: 1 is held by somebody slower"
        );
        log.release_from(1, &channel());
        log.release_from(1, &channel());
        assert_eq!((log.needed(), kept(&log)), (0, vec![4]));
    }

    #[test]
    fn late_reader_gets_what_is_still_there() {
        let mut log = Log::new(3);
        publish(&mut log, 0, 10);
        assert_eq!(log.add_reader(1, &channel()), 3);
        assert_eq!(log.needed(), 3);
        publish(&mut log, 1, 3);
        assert_eq!(kept(&log), [8, 9, 10, 11, 12, 13]);
    }
}
