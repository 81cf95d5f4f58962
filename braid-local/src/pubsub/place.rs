//! How far a reader is that takes no part in a topic.

use super::log::{Log, Seq};
use braid_core::{BootTime, Message, pubsub::dead_letter};
use std::collections::BTreeSet;

/// A reader's place in the log, which knows nothing of it.
#[derive(Debug)]
pub(super) struct Place {
    /// What comes next.
    next: Seq,
    /// What it came by before it was due.
    delayed: BTreeSet<(BootTime, Seq)>,
}

/// The answer to a reader that asks for a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    Message(Message),
    /// So many messages were removed before it came by.
    Missed(u64),
    /// None for now. When nobody wakes the reader before, it looks again at that moment.
    Idle {
        until: Option<BootTime>,
    },
}

impl Place {
    pub(super) fn new(next: Seq) -> Self {
        Self {
            next,
            delayed: BTreeSet::new(),
        }
    }

    pub(super) fn look(&mut self, log: &Log, now: BootTime) -> Look {
        if self.delayed.first().is_some_and(|(due, _)| *due <= now)
            && let Some((_, seq)) = self.delayed.pop_first()
        {
            let message = log.message(seq).cloned();
            return message.map_or(Look::Missed(1), Look::Message);
        }
        while self.next < log.end() {
            let found = log.first_from(self.next);
            let seq = found.map_or(log.end(), |(seq, _)| seq);
            let missed = seq - self.next;
            if missed > 0 {
                self.next = seq;
                return Look::Missed(missed);
            }
            self.next += 1;
            let Some((_, message)) = found else { continue };
            if message.headers.contains_key(dead_letter::ONLY_CHANNEL) {
                continue;
            }
            match log.due(seq).filter(|due| *due > now) {
                Some(due) => self.delayed.insert((due, seq)),
                None => return Look::Message(message.clone()),
            };
        }
        let until = self.delayed.first().map(|(due, _)| *due);
        Look::Idle { until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_core::NewMessage;
    use std::time::{Duration, SystemTime};

    fn at(seconds: u64) -> BootTime {
        BootTime::from_origin(Duration::from_secs(seconds))
    }

    fn publish(log: &mut Log, due: Option<BootTime>, readers: usize) {
        log.append(NewMessage::new("x"), SystemTime::UNIX_EPOCH, due, readers);
    }

    fn id(look: Look) -> u64 {
        match look {
            Look::Message(message) => message.id.as_str().parse().unwrap(),
            other => panic!("no message, but {other:?}"),
        }
    }

    #[test]
    fn slow_reader_is_told_how_many_it_missed() {
        let mut log = Log::new(2);
        let mut place = Place::new(log.end());
        for readers in [0, 0, 1, 0, 0, 0] {
            publish(&mut log, None, readers);
        }
        assert_eq!(place.look(&log, at(0)), Look::Missed(2));
        assert_eq!(id(place.look(&log, at(0))), 3);
        assert_eq!(place.look(&log, at(0)), Look::Missed(1));
        assert_eq!(id(place.look(&log, at(0))), 5);
        assert_eq!(id(place.look(&log, at(0))), 6);
        assert_eq!(place.look(&log, at(0)), Look::Idle { until: None });

        let mut nothing = Log::new(0);
        let mut place = Place::new(nothing.end());
        publish(&mut nothing, None, 0);
        assert_eq!(place.look(&nothing, at(0)), Look::Missed(1));
        assert_eq!(place.look(&nothing, at(0)), Look::Idle { until: None });
    }

    #[test]
    fn delayed_message_comes_when_due_unless_it_was_removed() {
        let mut log = Log::new(3);
        let mut place = Place::new(log.end());
        publish(&mut log, Some(at(10)), 0);
        publish(&mut log, Some(at(20)), 1);
        publish(&mut log, None, 0);
        assert_eq!(id(place.look(&log, at(9))), 3);
        let until = Some(at(10));
        assert_eq!(place.look(&log, at(9)), Look::Idle { until });
        assert_eq!(id(place.look(&log, at(10))), 1);
        for _ in 0..3 {
            publish(&mut log, None, 0);
            id(place.look(&log, at(10)));
        }
        log.release(2);
        assert_eq!(place.look(&log, at(20)), Look::Missed(1));
    }
}
