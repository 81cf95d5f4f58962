//! Reading what the server answers.

use braid_redis::Frame;

pub(crate) use braid_redis::reply::{
    as_array, as_bytes, as_int, as_pairs, as_text, into_array, is_null,
};

/// The elements of an array; of anything else none.
pub(crate) fn array(frame: Frame) -> Vec<Frame> {
    into_array(frame).unwrap_or_default()
}

pub(crate) fn count(frame: &Frame) -> usize {
    as_int(frame)
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(0)
}

/// The entries of one stream in the answer to a read: none, an array of pairs, or a map.
pub(crate) fn entries(frame: Frame) -> Vec<Frame> {
    match frame {
        Frame::Map { data, .. } => data.into_values().next().map(array).unwrap_or_default(),
        frame => array(frame)
            .pop()
            .and_then(|stream| array(stream).pop())
            .map(array)
            .unwrap_or_default(),
    }
}

/// An answer that no server gives that braid talks to.
pub(crate) fn unreadable(
    operation: &'static str,
    topic: impl std::fmt::Display,
) -> braid_core::Error {
    let text = format!("topic `{topic}`: the server's answer can't be read");
    crate::error::internal(operation, text)
}
