//! Reading what the scripts reply.

use super::Held;
use crate::{
    error::{Refusal, unreadable},
    keys::owner,
};
use braid_core::{NodeRef, Result};
use braid_redis::{Frame, reply};
use std::time::Duration;

pub(super) fn refusal(operation: &'static str, text: &str) -> Result<Refusal> {
    match text {
        "d" => Ok(Refusal::Draining),
        "g" | "a" => Ok(Refusal::Gone),
        _ => Err(unreadable(operation, "an unknown status")),
    }
}

pub(super) fn status(reply: &Frame) -> Option<&str> {
    reply::as_text(reply::as_array(reply)?.first()?)
}

/// The link of which the time left and the holder stand at `place`; `None` when the reply ends before.
pub(super) fn held(reply: &Frame, place: usize, operation: &'static str) -> Result<Option<Held>> {
    let items = reply::as_array(reply).ok_or_else(|| unreadable(operation, "no array"))?;
    match items.get(place..).unwrap_or_default() {
        [] => Ok(None),
        [left, node] => {
            let node = reply::as_text(node).and_then(owner);
            let node = node.ok_or_else(|| unreadable(operation, "a node"))?;
            let left = Duration::from_millis(count(operation, left)?);
            Ok(Some(Held { node, left }))
        }
        _ => Err(unreadable(operation, "no link")),
    }
}

/// Nodes, each with a number.
pub(super) fn counts_in(operation: &'static str, reply: &Frame) -> Result<Vec<(NodeRef, u64)>> {
    let pairs = reply::as_pairs(reply).ok_or_else(|| unreadable(operation, "no pairs"))?;
    let counts = pairs.into_iter().map(|(node, number)| {
        let node = reply::as_text(node).and_then(owner);
        let node = node.ok_or_else(|| unreadable(operation, "a node"))?;
        Ok((node, count(operation, number)?))
    });
    counts.collect()
}

pub(super) fn int(operation: &'static str, frame: &Frame) -> Result<i64> {
    reply::as_int(frame).ok_or_else(|| unreadable(operation, "no number"))
}

pub(super) fn count(operation: &'static str, frame: &Frame) -> Result<u64> {
    Ok(u64::try_from(int(operation, frame)?).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{keys::owner_text, store::Mark};
    use bytes::Bytes;
    use proptest::{collection::vec, prelude::*};

    /// Any reply; often one that is nearly right.
    fn frame() -> impl Strategy<Value = Frame> {
        let text = |data: Bytes| Frame::BlobString {
            data,
            attributes: None,
        };
        let leaf = prop_oneof![
            Just(Frame::Null),
            any::<i64>().prop_map(|data| Frame::Number {
                data,
                attributes: None
            }),
            vec(any::<u8>(), 0..12).prop_map(move |data| text(data.into())),
            Just("1:a:1:b").prop_map(move |node| text(node.into())),
            Just("held").prop_map(move |status| text(status.into())),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            vec(inner, 0..4).prop_map(|data| Frame::Array {
                data,
                attributes: None,
            })
        })
    }

    proptest! {
        #[test]
        fn any_reply_is_read_without_a_panic(reply in frame(), text in ".{0,20}") {
            if let Ok(Some(link)) = held(&reply, 0, "target") {
                prop_assert_eq!(owner(&owner_text(&link.node)), Some(link.node));
            }
            let _ = held(&reply, 1, "claim");
            let _ = counts_in("tend", &reply);
            let _ = count("count", &reply);
            let _ = status(&reply).map(|status| refusal("claim", status));
            let _ = Mark::read(&text);
        }
    }
}
