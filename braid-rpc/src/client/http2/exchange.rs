//! One request on a connection, until its response begins.

use super::{
    body::Incoming,
    connection::Connection,
    upload::{Outgoing, Upload, Uploading},
};
use crate::tasks::Tasks;
use h2::client::ResponseFuture;
use http::{Request, Response};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tonic::Status;

/// A request that is on its way. Dropping it, or the response's body, resets the stream; the connection stays.
#[derive(Debug)]
#[must_use]
pub(in crate::client) struct Exchange {
    response: ResponseFuture,
    uploading: Option<Uploading>,
    connection: Option<Arc<Connection>>,
}

/// Why a request got no response.
pub(in crate::client) enum SendError {
    /// It never left; here it is again.
    Unsent(Box<Request<Outgoing>>),
    /// The node surely hasn't looked at it.
    Refused(h2::Error),
    /// It may have been handled.
    Lost(h2::Error),
    /// Its own body failed.
    Body(Status),
}

impl Exchange {
    /// Sends a request: as a whole, or what there is of it, with a task that sends the rest.
    pub(in crate::client) fn start(
        connection: &Arc<Connection>,
        request: Request<Outgoing>,
        tasks: &Tasks,
    ) -> Result<Self, SendError> {
        let Some(mut sender) = connection.sender() else {
            return Err(SendError::Unsent(Box::new(request)));
        };
        let (mut head, body) = request.into_parts();
        // They are for the layers of this process.
        head.extensions.clear();
        let head = Request::from_parts(head, ());
        // What fails here was not sent: the connection went in this very moment.
        let (response, mut stream) = sender
            .send_request(head, false)
            .map_err(SendError::Refused)?;
        let uploading = match body {
            Outgoing::Whole(bytes) => {
                // Buffered as a whole, whatever the peer's window is: it is in memory anyway. That it can't be sent is told by the response.
                let _ = stream.send_data(bytes, true);
                None
            }
            Outgoing::Streamed(body) => Upload::new(body, stream).begin(tasks)?,
        };
        Ok(Self {
            response,
            uploading,
            connection: Some(Arc::clone(connection)),
        })
    }

    fn failed(&self, error: h2::Error) -> SendError {
        if let Some(status) = self.uploading.as_ref().and_then(Uploading::fault) {
            SendError::Body(status)
        } else if is_refusal(&error) {
            SendError::Refused(error)
        } else {
            SendError::Lost(error)
        }
    }
}

impl Future for Exchange {
    type Output = Result<Response<Incoming>, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.response).poll(cx));
        Poll::Ready(match result {
            Ok(response) => {
                let (uploading, connection) = (self.uploading.take(), self.connection.take());
                Ok(response.map(|stream| Incoming::new(stream, uploading, connection)))
            }
            Err(error) => Err(self.failed(error)),
        })
    }
}

/// True when the peer said that it hasn't looked at the request: by REFUSED_STREAM, or by a GOAWAY without an error, which fails the streams
/// beyond the last one that it will look at and no others.
fn is_refusal(error: &h2::Error) -> bool {
    match error.reason() {
        Some(h2::Reason::REFUSED_STREAM) => error.is_remote(),
        Some(h2::Reason::NO_ERROR) => error.is_go_away() && error.is_remote(),
        _ => false,
    }
}
