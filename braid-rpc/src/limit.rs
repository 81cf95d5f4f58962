//! The cap on the size of messages, for any body that carries gRPC frames.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tonic::Status;

/// Follows the messages that go by in a body and refuses one that is too large, at its first bytes.
#[derive(Debug)]
pub(crate) struct MessageCap {
    limit: usize,
    // A flag and a length, of which `have` bytes are known.
    prefix: [u8; 5],
    have: usize,
    // What is still to come of the present message.
    rest: usize,
}

impl MessageCap {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            prefix: [0; 5],
            have: 0,
            rest: 0,
        }
    }

    /// Looks at the next bytes of the body.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED, naming the size and the limit.
    pub(crate) fn check(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            if self.rest > 0 {
                let passed = self.rest.min(data.len());
                self.rest -= passed;
                data = &data[passed..];
                continue;
            }
            let wanted = (self.prefix.len() - self.have).min(data.len());
            self.prefix[self.have..self.have + wanted].copy_from_slice(&data[..wanted]);
            self.have += wanted;
            data = &data[wanted..];
            if self.have == self.prefix.len() {
                let [_, length @ ..] = self.prefix;
                let size = u32::from_be_bytes(length) as usize;
                if size > self.limit {
                    return Err(too_large(size, self.limit));
                }
                (self.have, self.rest) = (0, size);
            }
        }
        Ok(())
    }
}

pub(crate) fn too_large(size: usize, limit: usize) -> Status {
    Status::resource_exhausted(too_large_text(size, limit))
}

pub(crate) fn too_large_text(size: usize, limit: usize) -> String {
    format!("a message of {size} bytes is above the limit of {limit}")
}

/// A request body whose messages are capped. What is refused reaches the handler as the body's error.
#[derive(Debug)]
pub(crate) struct CappedBody<B> {
    inner: B,
    cap: MessageCap,
}

impl<B> CappedBody<B> {
    pub(crate) fn new(inner: B, limit: usize) -> Self {
        Self {
            inner,
            cap: MessageCap::new(limit),
        }
    }
}

impl<B> Body for CappedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<tonic::codegen::StdError>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        Pin::new(&mut this.inner).poll_frame(cx).map(|frame| {
            frame.map(|frame| {
                let frame = frame.map_err(|error| Status::from_error(error.into()))?;
                if let Some(data) = frame.data_ref() {
                    this.cap.check(data)?;
                }
                Ok(frame)
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(sizes: &[u32]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for size in sizes {
            bytes.push(0);
            bytes.extend(size.to_be_bytes());
            bytes.extend(vec![7; *size as usize]);
        }
        bytes
    }

    #[test]
    fn messages_within_the_limit_pass_however_they_are_cut() {
        let bytes = frames(&[0, 10, 3, 0, 10]);
        for cut in 1..bytes.len() {
            let mut cap = MessageCap::new(10);
            for chunk in bytes.chunks(cut) {
                cap.check(chunk).unwrap();
            }
        }
    }

    #[test]
    fn a_message_above_the_limit_is_refused_at_its_prefix() {
        let bytes = frames(&[10, 11]);
        for cut in 1..bytes.len() {
            let mut cap = MessageCap::new(10);
            let status = bytes.chunks(cut).find_map(|chunk| cap.check(chunk).err());
            let status = status.unwrap();
            assert!(status.message().contains("11 bytes"), "{status}");
            assert!(status.message().contains("limit of 10"), "{status}");
        }
    }
}
