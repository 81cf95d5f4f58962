//! The body of a request, as it goes out.

use super::exchange::SendError;
use crate::tasks::Tasks;
use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::Body as _;
use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
};
use tokio::task::AbortHandle;
use tonic::{Status, body::Body};

/// The body of a request.
#[derive(Debug)]
pub(in crate::client) enum Outgoing {
    /// All of it.
    Whole(Bytes),
    /// As it comes.
    Streamed(Body),
}

/// Sends a body piece by piece, as fast as the peer takes it.
///
/// A piece waits until it is known whether another one follows, if that can be known at once, so that a unary request of a generated client
/// ends with its one DATA frame and not with an empty one behind it.
#[derive(Debug)]
pub(super) struct Upload {
    body: Body,
    stream: SendStream<Bytes>,
    piece: Option<Bytes>,
    next: Next,
}

#[derive(Debug)]
enum Next {
    Unknown,
    Piece(Bytes),
    Trailers(HeaderMap),
    End,
}

/// Ends the task of an upload when it is dropped.
#[derive(Debug)]
pub(super) struct Uploading {
    task: AbortHandle,
    fault: Arc<OnceLock<Status>>,
}

impl Uploading {
    /// Why the body could not be sent, if it is the body's own fault.
    pub(super) fn fault(&self) -> Option<Status> {
        self.fault.get().cloned()
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upload {
    pub(super) fn new(body: Body, stream: SendStream<Bytes>) -> Self {
        Self {
            body,
            stream,
            piece: None,
            next: Next::Unknown,
        }
    }

    /// Sends what is there at once. A task sends the rest, if there is any.
    pub(super) fn begin(mut self, tasks: &Tasks) -> Result<Option<Uploading>, SendError> {
        // The task, if one is needed, registers its own waker.
        match self.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Ok(None),
            Poll::Ready(Err(status)) => Err(SendError::Body(status)),
            Poll::Pending => {
                let fault = Arc::new(OnceLock::new());
                let told = Arc::clone(&fault);
                let task = tasks.spawn(async move {
                    if let Err(status) = std::future::poll_fn(|cx| self.poll(cx)).await {
                        // Before the stream is reset: whoever sees that finds the reason.
                        let _ = told.set(status);
                        self.stream.send_reset(Reason::CANCEL);
                    }
                });
                Ok(Some(Uploading { task, fault }))
            }
        }
    }

    /// # Errors
    /// The body's own error. What the peer does, its response tells.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        loop {
            if self.stream.poll_reset(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if matches!(self.next, Next::Unknown) {
                self.next = match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(piece) => Next::Piece(piece),
                        Err(frame) => frame.into_trailers().map_or(Next::Unknown, Next::Trailers),
                    },
                    Poll::Ready(Some(Err(status))) => return Poll::Ready(Err(status)),
                    Poll::Ready(None) => Next::End,
                    Poll::Pending if self.piece.is_none() => return Poll::Pending,
                    Poll::Pending => Next::Unknown,
                };
            }
            if let Next::End = self.next {
                // Nothing follows that could pile up behind it.
                let last = self.piece.take().unwrap_or_default();
                let _ = self.stream.send_data(last, true);
                return Poll::Ready(Ok(()));
            }
            if let Some(piece) = self.piece.take() {
                if !piece.is_empty() && self.stream.capacity() == 0 {
                    self.stream.reserve_capacity(1);
                    match self.stream.poll_capacity(cx) {
                        Poll::Ready(Some(Ok(_))) => {}
                        Poll::Ready(_) => return Poll::Ready(Ok(())),
                        Poll::Pending => {
                            self.piece = Some(piece);
                            return Poll::Pending;
                        }
                    }
                }
                if self.stream.send_data(piece, false).is_err() {
                    return Poll::Ready(Ok(()));
                }
            }
            match std::mem::replace(&mut self.next, Next::Unknown) {
                Next::Piece(piece) => self.piece = Some(piece),
                Next::Trailers(trailers) => {
                    let _ = self.stream.send_trailers(trailers);
                    return Poll::Ready(Ok(()));
                }
                Next::Unknown | Next::End => {}
            }
        }
    }
}
