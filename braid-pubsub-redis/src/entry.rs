//! A message as fields of a stream's entry.
//!
//! The body is the field `msg`, as in the original, whose readers ignore the others: `key`, `delay` (milliseconds since the entry's
//! own time), `dedup`, and one `h:<name>` for each header.

use crate::{id::EntryId, reply};
use braid_core::{Message, NewMessage};
use braid_redis::{Frame, Key, Value};
use bytes::Bytes;
use std::time::Duration;

const BODY: &str = "msg";
const KEY: &str = "key";
const DELAY: &str = "delay";
const DEDUP: &str = "dedup";
const HEADER: &str = "h:";

/// What a publish has to know beside the fields.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    pub(crate) fields: Vec<(Key, Value)>,
    pub(crate) has_key: bool,
    pub(crate) dedup: Option<String>,
}

/// The fields of a message.
pub(crate) fn encode(message: NewMessage) -> Encoded {
    let parts = message.into_parts();
    let mut fields = Vec::with_capacity(4 + parts.headers.len());
    fields.push((Key::from_static_str(BODY), Value::Bytes(parts.body)));
    let has_key = parts.key.is_some();
    if let Some(key) = parts.key {
        fields.push((Key::from_static_str(KEY), key.into()));
    }
    if let Some(delay) = parts.delay.filter(|delay| !delay.is_zero()) {
        fields.push((
            Key::from_static_str(DELAY),
            millis(delay).to_string().into(),
        ));
    }
    if let Some(dedup) = &parts.dedup_key {
        fields.push((Key::from_static_str(DEDUP), dedup.clone().into()));
    }
    for (name, value) in parts.headers {
        fields.push((format!("{HEADER}{name}").into(), value.into()));
    }
    Encoded {
        fields,
        has_key,
        dedup: parts.dedup_key,
    }
}

/// The fields as arguments.
pub(crate) fn flat(fields: Vec<(Key, Value)>) -> impl Iterator<Item = Value> {
    let pair = |(name, value): (Key, Value)| [name.into(), value];
    fields.into_iter().flat_map(pair)
}

/// Whole milliseconds, rounded up: what is asked to wait never comes early.
pub(crate) fn millis(duration: Duration) -> i64 {
    let whole = duration.as_nanos().div_ceil(1_000_000);
    // 285 years; beyond, the server's numbers would not be exact.
    i64::try_from(whole).unwrap_or(i64::MAX).min(1 << 53)
}

/// An entry as it was read.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    pub(crate) message: Message,
    /// When it may be handed out, in milliseconds of the server's clock.
    pub(crate) not_before: Option<u64>,
}

impl Entry {
    /// Reads an entry: its id and its fields.
    pub(crate) fn decode(id: &Frame, fields: Frame, partition: u16) -> Option<Self> {
        let (id, name) = EntryId::parse_named(reply::as_text(id)?, partition)?;
        let (mut body, mut key, mut delay) = (Bytes::new(), None, None);
        let mut headers = braid_core::pubsub::Headers::new();
        let mut fields = reply::array(fields).into_iter();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            let (Some(name), Some(value)) = (reply::as_bytes(&name), reply::as_bytes(&value))
            else {
                continue;
            };
            if name == BODY.as_bytes() {
                body = value.clone();
            } else if name == KEY.as_bytes() {
                key = Some(String::from_utf8_lossy(value).into_owned());
            } else if name == DELAY.as_bytes() {
                delay = std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse::<u64>().ok());
            } else if let Some(name) = name.strip_prefix(HEADER.as_bytes()) {
                let name = String::from_utf8_lossy(name).into_owned();
                headers.insert(name, String::from_utf8_lossy(value).into_owned());
            }
        }
        let mut message = Message::new(name, id.published(), NewMessage::new(body));
        message.headers = headers;
        message.key = key;
        Some(Self {
            id,
            message,
            not_before: delay.map(|delay| id.millis.saturating_add(delay)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blob(data: impl Into<Bytes>) -> Frame {
        Frame::BlobString {
            data: data.into(),
            attributes: None,
        }
    }

    fn array(data: Vec<Frame>) -> Frame {
        Frame::Array {
            data,
            attributes: None,
        }
    }

    fn decode(id: &str, fields: Vec<(Bytes, Bytes)>) -> Option<Entry> {
        let fields = fields
            .into_iter()
            .flat_map(|(name, value)| [blob(name), blob(value)]);
        Entry::decode(&blob(id.to_owned()), array(fields.collect()), 0)
    }

    fn bytes(value: &Value) -> Bytes {
        Bytes::copy_from_slice(value.as_bytes().unwrap())
    }

    #[test]
    fn entry_of_the_original_is_a_whole_message() {
        let entry = decode("1732500000000-7", vec![("msg".into(), "hello".into())]).unwrap();
        assert_eq!(
            (entry.message.id.as_str(), &entry.message.body[..]),
            ("1732500000000-7", &b"hello"[..])
        );
        assert!(
            entry.message.headers.is_empty()
                && entry.message.key.is_none()
                && entry.not_before.is_none()
        );
    }

    #[test]
    fn waiting_times_are_rounded_up() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_millis(7)), 7);
        assert_eq!(millis(Duration::MAX), 1 << 53);
    }

    proptest! {
        #[test]
        fn message_comes_back_as_it_was(
            body in proptest::collection::vec(any::<u8>(), 0..64),
            key in proptest::option::of(".{0,8}"),
            headers in proptest::collection::btree_map(".{0,8}", ".{0,8}", 0..4),
            delay in proptest::option::of(1_u64..100_000),
        ) {
            let mut message = NewMessage::new(body.clone());
            if let Some(key) = &key {
                message = message.with_key(key.clone());
            }
            for (name, value) in &headers {
                message = message.with_header(name.clone(), value.clone());
            }
            if let Some(delay) = delay {
                message = message.with_delay(Duration::from_millis(delay));
            }
            let encoded = encode(message);
            prop_assert_eq!(encoded.has_key, key.is_some());
            let fields: Vec<_> = flat(encoded.fields).map(|value| bytes(&value)).collect();
            let pairs = fields.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone()));
            let entry = decode("5-1", pairs.collect()).unwrap();
            prop_assert_eq!(&entry.message.body[..], &body[..]);
            prop_assert_eq!(entry.message.key, key);
            prop_assert_eq!(entry.message.headers, headers);
            prop_assert_eq!(entry.not_before, delay.map(|delay| 5 + delay));
        }

        #[test]
        fn nothing_that_others_write_panics(
            id in ".{0,24}",
            fields in proptest::collection::vec((".{0,8}", proptest::collection::vec(any::<u8>(), 0..8)), 0..6),
            odd in any::<bool>(),
        ) {
            let mut frames: Vec<_> = fields.into_iter().flat_map(|(name, value)| [blob(name), blob(value)]).collect();
            if odd {
                frames.push(Frame::Null);
            }
            let _ = Entry::decode(&blob(id), array(frames.clone()), 0);
            let _ = Entry::decode(&blob("1-1"), array(frames), 0);
            let _ = Entry::decode(&Frame::Null, Frame::Null, 0);
        }
    }
}
