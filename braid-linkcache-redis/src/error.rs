//! Errors of this crate.

use braid_core::{Error, ErrorKind, NodeRef, ServiceName};

/// The component's name in errors and logs.
pub(crate) const NAME: &str = "linkcache-redis";

pub(crate) fn closed(operation: &'static str) -> Error {
    let text = "the component's run has ended";
    Error::new(ErrorKind::Closed, NAME, operation, text)
}

pub(crate) fn config(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, NAME, "config", text)
}

/// A reply that no script of this crate gives: the server isn't what it seems.
pub(crate) fn unreadable(operation: &'static str, what: &str) -> Error {
    let text = format!("the reply can't be read: {what}");
    Error::new(ErrorKind::Internal, NAME, operation, text)
}

/// Why a node gets no new link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Draining,
    Gone,
}

impl Refusal {
    pub(crate) fn error(
        self,
        operation: &'static str,
        service: &ServiceName,
        node: &NodeRef,
    ) -> Error {
        let why = match self {
            Self::Draining => "is draining",
            Self::Gone => "is gone",
        };
        let text = format!("node {node} of `{service}` {why}");
        Error::new(ErrorKind::Rejected, NAME, operation, text)
    }
}
