//! Messages with keys, as their one consumer holds them: of each key only the first can be handed out.

use crate::{entry::Entry, id::EntryId};
use braid_core::Message;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::{Duration, Instant},
};

#[derive(Debug, Default)]
pub(crate) struct KeyLane {
    items: BTreeMap<EntryId, Item>,
    /// Of each key its messages, the first one first.
    queues: HashMap<String, VecDeque<EntryId>>,
    /// First of their keys, and due.
    ready: BTreeSet<EntryId>,
    /// First of their keys, and not due yet.
    waiting: BTreeSet<(Instant, EntryId)>,
}

#[derive(Debug)]
struct Item {
    message: Message,
    not_before: Option<u64>,
    due: Instant,
    out_since: Option<Instant>,
    /// How often it was handed out.
    handed: u32,
    /// Whether the server may have counted a hand-out that did not take place.
    unsure: bool,
}

/// A message with a key that can be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: EntryId,
    /// The time on the server before which it must not be handed out.
    pub(crate) not_before: Option<u64>,
    /// How often it was handed out, where the server may have counted one more.
    pub(crate) handed: Option<u32>,
}

impl KeyLane {
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Takes in a message behind those of its key that are here; it was handed out so often.
    pub(crate) fn push(&mut self, entry: Entry, due: Instant, handed: u32) {
        let Some(key) = entry.message.key.clone() else {
            return;
        };
        let id = entry.id;
        let item = Item {
            message: entry.message,
            not_before: entry.not_before,
            due,
            out_since: None,
            handed,
            unsure: false,
        };
        if self.items.insert(id, item).is_some() {
            return;
        }
        let queue = self.queues.entry(key).or_default();
        queue.push_back(id);
        if queue.len() == 1 {
            self.waiting.insert((due, id));
        }
    }

    /// The oldest one that can be handed out.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Candidate> {
        while let Some(first) = self.waiting.first().copied().filter(|(due, _)| *due <= now) {
            self.waiting.remove(&first);
            self.ready.insert(first.1);
        }
        let id = *self.ready.first()?;
        let item = self.items.get(&id)?;
        Some(Candidate {
            id,
            not_before: item.not_before,
            handed: item.unsure.then_some(item.handed),
        })
    }

    /// The server may have counted a hand-out of this one: its answer was lost.
    pub(crate) fn unsure(&mut self, id: EntryId) {
        if let Some(item) = self.items.get_mut(&id) {
            item.unsure = true;
        }
    }

    /// When the next one gets due that waits.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(due, _)| *due)
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Hands one out, in this attempt.
    pub(crate) fn take(&mut self, id: EntryId, now: Instant, attempt: u32) -> Option<Message> {
        let item = self.items.get_mut(&id)?;
        self.ready.remove(&id);
        self.waiting.remove(&(item.due, id));
        item.out_since = Some(now);
        item.handed = attempt;
        item.unsure = false;
        let mut message = item.message.clone();
        message.attempt = attempt;
        Some(message)
    }

    /// One is settled for good: the next of its key is up.
    pub(crate) fn done(&mut self, id: EntryId) {
        let Some(item) = self.items.remove(&id) else {
            return;
        };
        self.ready.remove(&id);
        self.waiting.remove(&(item.due, id));
        let Some(key) = item.message.key else {
            return;
        };
        let Some(queue) = self.queues.get_mut(&key) else {
            return;
        };
        let was_first = queue.front() == Some(&id);
        queue.retain(|queued| *queued != id);
        match queue.front() {
            None => drop(self.queues.remove(&key)),
            Some(next) if was_first => {
                let due = self.items[next].due;
                self.waiting.insert((due, *next));
            }
            Some(_) => {}
        }
    }

    /// One comes again at `due`; its key waits for it.
    pub(crate) fn again(&mut self, id: EntryId, due: Instant) {
        if let Some(item) = self.items.get_mut(&id) {
            self.ready.remove(&id);
            self.waiting.remove(&(item.due, id));
            item.due = due;
            item.out_since = None;
            self.waiting.insert((due, id));
        }
    }

    /// The holder of one has shown that it is alive.
    pub(crate) fn touch(&mut self, id: EntryId, now: Instant) {
        if let Some(item) = self
            .items
            .get_mut(&id)
            .filter(|item| item.out_since.is_some())
        {
            item.out_since = Some(now);
        }
    }

    /// Takes back what has been out for longer than `limit`, and gives when the next one will have been.
    pub(crate) fn take_back(&mut self, now: Instant, limit: Duration) -> Option<Instant> {
        let out: Vec<_> = self
            .items
            .iter()
            .filter_map(|(id, item)| Some((*id, item.out_since? + limit)))
            .collect();
        for (id, _) in out.iter().filter(|(_, until)| *until <= now) {
            self.again(*id, now);
        }
        out.into_iter()
            .map(|(_, until)| until)
            .filter(|until| *until > now)
            .min()
    }

    /// Forgets everything: somebody else hands these out now.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_core::NewMessage;

    fn entry(sequence: u64, key: &str) -> Entry {
        let id = EntryId {
            millis: 1,
            sequence,
        };
        let message = NewMessage::new("body").with_key(key);
        Entry {
            id,
            message: Message::new(id.message_id(0), id.published(), message),
            not_before: None,
        }
    }

    fn next(lane: &mut KeyLane, now: Instant) -> Option<u64> {
        let id = lane.next(now)?.id;
        lane.take(id, now, 1).unwrap();
        Some(id.sequence)
    }

    const fn id(sequence: u64) -> EntryId {
        EntryId {
            millis: 1,
            sequence,
        }
    }

    #[test]
    fn of_each_key_one_is_out_and_the_next_follows_it() {
        let (mut lane, now) = (KeyLane::default(), Instant::now());
        for (sequence, key) in [(1, "a"), (2, "a"), (3, "b"), (4, "a")] {
            lane.push(entry(sequence, key), now, 0);
        }
        assert_eq!(
            [
                next(&mut lane, now),
                next(&mut lane, now),
                next(&mut lane, now)
            ],
            [Some(1), Some(3), None]
        );
        lane.done(id(1));
        assert_eq!(
            [next(&mut lane, now), next(&mut lane, now)],
            [Some(2), None]
        );
        lane.done(id(2));
        lane.done(id(3));
        assert_eq!(next(&mut lane, now), Some(4));
        lane.done(id(4));
        assert_eq!((lane.len(), lane.queues.len()), (0, 0));
    }

    #[test]
    fn one_that_failed_holds_back_its_key_until_it_is_due() {
        let (mut lane, now) = (KeyLane::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        for (sequence, key) in [(1, "a"), (2, "a"), (3, "b")] {
            lane.push(entry(sequence, key), now, 0);
        }
        assert_eq!(next(&mut lane, now), Some(1));
        lane.again(id(1), later);
        assert_eq!(
            [next(&mut lane, now), next(&mut lane, now)],
            [Some(3), None]
        );
        assert_eq!(lane.next_due(), Some(later));
        assert_eq!(
            [next(&mut lane, later), next(&mut lane, later)],
            [Some(1), None]
        );
    }

    #[test]
    fn what_is_out_for_too_long_is_taken_back() {
        let (mut lane, now) = (KeyLane::default(), Instant::now());
        let limit = Duration::from_secs(1);
        lane.push(entry(1, "a"), now, 0);
        assert_eq!(next(&mut lane, now), Some(1));
        assert_eq!(lane.take_back(now, limit), Some(now + limit));
        lane.touch(id(1), now + limit / 2);
        assert_eq!(
            lane.take_back(now + limit, limit),
            Some(now + limit + limit / 2)
        );
        assert_eq!(next(&mut lane, now + limit), None);
        assert_eq!(lane.take_back(now + 2 * limit, limit), None);
        assert_eq!(next(&mut lane, now + 2 * limit), Some(1));
    }

    #[test]
    fn same_message_twice_is_one() {
        let (mut lane, now) = (KeyLane::default(), Instant::now());
        lane.push(entry(1, "a"), now, 0);
        lane.push(entry(1, "a"), now, 0);
        assert_eq!(
            [next(&mut lane, now), next(&mut lane, now)],
            [Some(1), None]
        );
        lane.done(id(1));
        assert_eq!(lane.len(), 0);
    }
}
