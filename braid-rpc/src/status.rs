//! Braid's errors as gRPC statuses, and back.

use braid_core::{Error, ErrorKind};
use http::HeaderMap;
use std::{error::Error as StdError, sync::Arc};
use tonic::{Code, Status, metadata::MetadataMap};

/// The status that tells a gRPC peer of an error. The error becomes the status's source.
///
/// Handlers return it: `client.send(..).await.map_err(status_of)?`.
#[must_use]
pub fn status_of(error: Error) -> Status {
    let mut status = Status::new(code_of(error.kind()), error.to_string());
    status.set_source(Arc::new(error));
    status
}

/// The error that a status stands for. A status that [`status_of`] made in this process gives back the kind that it was made of; one
/// that came over the wire is judged by its code. The status becomes the error's source.
#[must_use]
pub fn error_of(status: Status) -> Error {
    let (kind, message) = match source_of(&status) {
        Some(error) => (error.kind(), error.message().to_owned()),
        None => (kind_of(status.code()), status.message().to_owned()),
    };
    Error::new(kind, "rpc", "call", message).with_source(status)
}

/// The error that a status was made of in this process.
pub(crate) fn source_of(status: &Status) -> Option<&Error> {
    status.source()?.downcast_ref()
}

pub(crate) fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Config => Code::InvalidArgument,
        ErrorKind::Unavailable | ErrorKind::Closed => Code::Unavailable,
        ErrorKind::Timeout => Code::DeadlineExceeded,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Conflict => Code::Aborted,
        ErrorKind::Rejected => Code::FailedPrecondition,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::Internal => Code::Internal,
        // Of a kind that is newer than this crate, too, nobody knows what it did.
        _ => Code::Unknown,
    }
}

pub(crate) fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::Unavailable => ErrorKind::Unavailable,
        Code::DeadlineExceeded => ErrorKind::Timeout,
        Code::NotFound | Code::Unimplemented => ErrorKind::NotFound,
        Code::AlreadyExists | Code::Aborted => ErrorKind::Conflict,
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::Unauthenticated => ErrorKind::Rejected,
        Code::Internal | Code::DataLoss => ErrorKind::Internal,
        Code::Ok | Code::Cancelled | Code::Unknown => ErrorKind::Indeterminate,
    }
}

/// Takes details out of a peer's headers that aren't the base64 that they should be: tonic 0.14 panics where it reads them.
pub(crate) fn drop_malformed_details(headers: &mut HeaderMap) {
    let Some(details) = headers.get(Status::GRPC_STATUS_DETAILS) else {
        return;
    };
    let mut only = HeaderMap::new();
    only.insert(Status::GRPC_STATUS_DETAILS, details.clone());
    let only = MetadataMap::from_headers(only);
    let details = only.get_bin(Status::GRPC_STATUS_DETAILS.as_str());
    if details.is_none_or(|details| details.to_bytes().is_err()) {
        headers.remove(Status::GRPC_STATUS_DETAILS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_kind_and_text_through_a_status_of_this_process() {
        for kind in [
            ErrorKind::Config,
            ErrorKind::Closed,
            ErrorKind::Rejected,
            ErrorKind::Indeterminate,
        ] {
            let error = error_of(status_of(Error::new(kind, "a", "b", "c")));
            assert_eq!((error.kind(), error.message()), (kind, "c"));
        }
    }

    #[test]
    fn nothing_that_may_have_happened_arrives_as_retryable() {
        for kind in [
            ErrorKind::Timeout,
            ErrorKind::Indeterminate,
            ErrorKind::Internal,
        ] {
            let over_the_wire = Status::new(code_of(kind), "");
            assert_eq!(error_of(over_the_wire).kind(), kind);
        }
    }
}
