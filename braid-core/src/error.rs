//! The one error type of every braid crate: a kind to act on, and a text that names the thing at fault.

use std::{any::Any, convert::Infallible, error::Error as StdError, fmt};

/// The result of every fallible braid operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// What went wrong, where, and whether trying again is safe.
///
/// The type is opaque: callers act on [`kind`](Error::kind) and [`is_retryable`](Error::is_retryable), people read the
/// text. The text names the thing at fault (a service, a node's address, a topic, a key) and never holds a secret: no
/// password, no token, no message body.
///
/// ```
/// use braid_core::{Error, ErrorKind, ServiceName};
///
/// let error: Error = ServiceName::new("").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Config);
/// assert_eq!(error.to_string(), "core: service name: empty");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    component: &'static str,
    operation: &'static str,
    message: String,
    source: Option<Source>,
}

/// What a caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input or the configuration is wrong; the same call will fail again.
    Config,
    /// Nothing was done because the other side can't be reached or isn't ready; the same call may succeed later.
    Unavailable,
    /// The deadline passed. The other side may have done the work.
    Timeout,
    /// The named thing doesn't exist.
    NotFound,
    /// Somebody else holds the thing: a node id, a lease, a newer term.
    Conflict,
    /// The other side, or a limit, refused.
    Rejected,
    /// This backend can't do it.
    Unsupported,
    /// The component was closed.
    Closed,
    /// The work may have happened. braid never repeats such a call by itself.
    Indeterminate,
    /// A defect: a panic, a broken invariant, an answer that can't be decoded.
    Internal,
}

impl Error {
    /// An error of `component` (`"rpc"`, `"pubsub-redis"`) in `operation` (`"send"`, `"publish"`).
    ///
    /// `message` names the thing at fault and holds no secret.
    #[must_use]
    pub fn new(
        kind: ErrorKind,
        component: &'static str,
        operation: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self(Box::new(Inner {
            kind,
            component,
            operation,
            message: message.into(),
            source: None,
        }))
    }

    /// The error of a task that panicked, with the panic's text where it has one.
    #[must_use]
    pub fn panicked(
        component: &'static str,
        operation: &'static str,
        panic: &(dyn Any + Send),
    ) -> Self {
        let text = format!("panicked: {}", panic_text(panic));
        Self::new(ErrorKind::Internal, component, operation, text)
    }

    /// Adds the cause; it is reachable through [`std::error::Error::source`].
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The component that failed.
    #[must_use]
    pub fn component(&self) -> &'static str {
        self.0.component
    }

    /// What the component was doing.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The text without component and operation.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// True when the call surely had no effect and may succeed if it is made again.
    ///
    /// A [`Timeout`](ErrorKind::Timeout) and an [`Indeterminate`](ErrorKind::Indeterminate) are not retryable in this
    /// sense, since the work may have happened: only the caller knows whether repeating it is safe.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.kind == ErrorKind::Unavailable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            component,
            operation,
            message,
            ..
        } = &*self.0;
        write!(f, "{component}: {operation}: {message}")
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            component,
            operation,
            message,
            source,
        } = &*self.0;
        let mut debug = f.debug_struct("Error");
        debug
            .field("kind", kind)
            .field("component", component)
            .field("operation", operation)
            .field("message", message);
        if let Some(source) = source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// The text that a panic carries, as far as it is a text.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

/// Lets a function take `impl TryInto<ServiceName>` and accept both a checked name and a text.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_component_operation_and_fault() {
        let error = Error::new(
            ErrorKind::NotFound,
            "rpc",
            "send",
            "service `mail` is unknown",
        )
        .with_source("cause");
        assert_eq!(error.to_string(), "rpc: send: service `mail` is unknown");
        assert_eq!(
            error.source().map(ToString::to_string).as_deref(),
            Some("cause")
        );
        assert_eq!((error.component(), error.operation()), ("rpc", "send"));
    }

    #[test]
    fn only_what_surely_did_not_happen_is_retryable() {
        for (kind, expected) in [
            (ErrorKind::Unavailable, true),
            (ErrorKind::Timeout, false),
            (ErrorKind::Indeterminate, false),
            (ErrorKind::Rejected, false),
            (ErrorKind::Config, false),
        ] {
            assert_eq!(
                Error::new(kind, "c", "o", "m").is_retryable(),
                expected,
                "{kind:?}"
            );
        }
    }
}
