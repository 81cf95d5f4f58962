//! The body of a response, as it comes in.

use super::{connection::Connection, upload::Uploading};
use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// A response's frames. Dropping it before its end resets the stream.
#[derive(Debug)]
pub(in crate::client) struct Incoming {
    stream: RecvStream,
    data_is_over: bool,
    // The request's body goes on until the response has ended, as gRPC has it.
    uploading: Option<Uploading>,
    _connection: Option<Arc<Connection>>,
}

impl Incoming {
    pub(super) fn new(
        stream: RecvStream,
        uploading: Option<Uploading>,
        connection: Option<Arc<Connection>>,
    ) -> Self {
        Self {
            stream,
            data_is_over: false,
            uploading,
            _connection: connection,
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = &mut *self;
        if !this.data_is_over {
            match ready!(this.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Whoever reads a body takes what it reads: the peer may send as much again.
                    let released = this.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(released.map(|()| Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => this.data_is_over = true,
            }
        }
        let trailers = ready!(this.stream.poll_trailers(cx));
        this.uploading = None;
        Poll::Ready(trailers.map(|t| t.map(Frame::trailers)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}
