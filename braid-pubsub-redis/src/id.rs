//! Ids of stream entries.

use braid_core::MessageId;
use bytes::{Bytes, BytesMut};
use foldhash::HashSet;
use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// Where an entry stands in its stream: milliseconds by the server's clock, and a number within the millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId {
    pub(crate) millis: u64,
    pub(crate) sequence: u64,
}

impl EntryId {
    /// Reads the form `1732500000000-7`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (millis, sequence) = text.split_once('-')?;
        Some(Self {
            millis: number(millis)?,
            sequence: number(sequence)?,
        })
    }

    /// Reads an id of an entry of `partition`, and makes the message's of it.
    pub(crate) fn parse_named(text: &str, partition: u16) -> Option<(Self, MessageId)> {
        let id = Self::parse(text)?;
        let name = match partition {
            // As it came: writing it again costs more than the rest.
            0 => MessageId::new(text).ok()?,
            _ => id.message_id(partition),
        };
        Some((id, name))
    }

    pub(crate) fn published(self) -> SystemTime {
        SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_millis(self.millis))
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// As users see it: with the number of its partition, unless that is the first.
    pub(crate) fn message_id(self, partition: u16) -> MessageId {
        let text = match partition {
            0 => self.to_string(),
            _ => format!("{self}/{partition}"),
        };
        MessageId::new(text).expect("three numbers are a short text")
    }

    /// Reads what [`message_id`](Self::message_id) has written: where it stands, as seen from `partition`. From another one that is
    /// before everything of its millisecond, since entries of two partitions have no order within it.
    pub(crate) fn behind(id: &MessageId, partition: u16) -> Option<Self> {
        let (text, of) = match id.as_str().split_once('/') {
            Some((text, of)) => (text, of.parse().ok().filter(|of| *of > 0)?),
            None => (id.as_str(), 0),
        };
        let entry = Self::parse(text)?;
        if of == partition {
            return Some(entry);
        }
        let (millis, sequence) = match entry.millis.checked_sub(1) {
            Some(millis) => (millis, u64::MAX),
            None => (0, 0),
        };
        Some(Self { millis, sequence })
    }
}

/// A number as the server writes it: digits alone.
fn number(text: &str) -> Option<u64> {
    let add = |number: u64, byte: u8| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    };
    (!text.is_empty()).then(|| text.bytes().try_fold(0, add))?
}

/// Ids as arguments of a command. They share one piece of memory.
pub(crate) fn texts(ids: impl ExactSizeIterator<Item = EntryId>) -> impl Iterator<Item = Bytes> {
    /// Milliseconds of this age of the world, and a number within one.
    const USUAL: usize = 18;
    let mut memory = BytesMut::with_capacity(ids.len() * USUAL);
    let mut digits = itoa::Buffer::new();
    ids.map(move |id| {
        memory.extend_from_slice(digits.format(id.millis).as_bytes());
        memory.extend_from_slice(b"-");
        memory.extend_from_slice(digits.format(id.sequence).as_bytes());
        memory.split().freeze()
    })
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.sequence)
    }
}

/// Which attempts are no longer this consumer's. Of a message that was retried meanwhile it may have taken the next one already.
pub(crate) fn lost(asked: &[(EntryId, u32)], mine: &HashSet<EntryId>) -> HashSet<(EntryId, u32)> {
    let lost = asked.iter().filter(|(id, _)| !mine.contains(id));
    lost.copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_name_their_partition_and_are_read_by_all() {
        let id = EntryId {
            millis: 7,
            sequence: 3,
        };
        assert_eq!(id.message_id(0).as_str(), "7-3");
        assert_eq!(id.message_id(2).as_str(), "7-3/2");
        let behind =
            |text: &str, partition| EntryId::behind(&MessageId::new(text).unwrap(), partition);
        assert_eq!(behind("7-3/2", 2), Some(id));
        assert_eq!(behind("7-3", 0), Some(id));
        let before = EntryId {
            millis: 6,
            sequence: u64::MAX,
        };
        assert_eq!([behind("7-3/2", 0), behind("7-3", 1)], [Some(before); 2]);
        assert_eq!(behind("0-1", 1), Some(EntryId::default()));
        for text in ["7", "7-3/", "7-3/0", "7-3/x", "7-3/2/2"] {
            assert_eq!(behind(text, 0), None, "{text}");
        }
    }

    #[test]
    fn ids_are_read_as_they_are_written_and_order_by_number() {
        let id = |text| EntryId::parse(text).unwrap();
        for text in [
            "0-0",
            "1732500000000-7",
            "18446744073709551615-18446744073709551615",
        ] {
            assert_eq!(id(text).to_string(), text);
            let written: Vec<_> = texts([id("1-1"), id(text)].into_iter()).collect();
            assert_eq!(
                [&written[0][..], &written[1][..]],
                [b"1-1", text.as_bytes()]
            );
        }
        assert!(id("9-10") > id("9-9") && id("10-0") > id("9-99"));
        for text in [
            "",
            "1",
            "1-",
            "-1",
            "1-2-3",
            "a-1",
            "+1-2",
            "1-18446744073709551616",
        ] {
            assert_eq!(EntryId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn heartbeat_that_crosses_a_retry_loses_no_later_attempt() {
        let id = |text| EntryId::parse(text).unwrap();
        let (kept, retried) = (id("1-0"), id("2-0"));
        let lost = lost(&[(kept, 1), (retried, 2)], &HashSet::from_iter([kept]));
        assert!(lost.contains(&(retried, 2)) && !lost.contains(&(retried, 3)));
        assert!(!lost.contains(&(kept, 1)));
    }
}
