//! A message, as it goes over the wire.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;

use crate::echo::Payload;

/// What stands in front of a gRPC message: whether it is compressed, and its length.
pub const PREFIX: usize = 5;

/// A message of 128 bytes.
#[must_use]
pub fn message() -> Payload {
    Payload {
        body: vec![b'x'; 128].into(),
    }
}

/// Prefix and message in one buffer.
///
/// # Panics
/// When the message is larger than gRPC allows.
#[must_use]
pub fn encode(message: &Payload) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("the message is small"));
    message.encode_raw(&mut frame);
    frame.freeze()
}
