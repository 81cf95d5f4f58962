//! Errors of this crate.

use braid_core::{Error, ErrorKind, Topic};

/// The component's name in errors and logs.
pub(crate) const NAME: &str = "pubsub-redis";

pub(crate) fn closed(operation: &'static str, topic: &Topic) -> Error {
    let text = format!("topic `{topic}`: this node was closed");
    Error::new(ErrorKind::Closed, NAME, operation, text)
}

pub(crate) fn internal(operation: &'static str, text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, NAME, operation, text)
}

pub(crate) fn config(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, NAME, "config", text)
}

/// Whether an error says that the group, or its whole stream, is gone.
pub(crate) fn is_loss(error: &Error) -> bool {
    match braid_redis::code(error) {
        Some("NOGROUP" | "UNBLOCKED") => true,
        _ => error.message().contains("no such key"),
    }
}

/// Whether an error says that the user may not touch the key: it belongs to somebody else.
pub(crate) fn is_foreign(error: &Error) -> bool {
    braid_redis::code(error) == Some("NOPERM") && error.message().contains("touch this key")
}
