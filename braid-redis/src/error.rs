//! From what the server or fred says to kinds that a caller can act on.

use crate::denial::{denial, denied_in_script};
use braid_core::{Error, ErrorKind};
use fred::error::{Error as FredError, ErrorKind as FredKind};
use std::fmt;

/// The error of a command that fred couldn't bring to an end, or that the server refused.
///
/// `subject` names the thing at fault: the topic, the key. No secret is in the result, nor an argument of the command.
///
/// | kind | when |
/// |---|---|
/// | `Unavailable` | surely nothing was done: never sent, redirected, or refused for now (READONLY, LOADING, MASTERDOWN, NOREPLICAS, ...) |
/// | `Indeterminate` | the connection was lost while the command was on its way; or CLUSTERDOWN, with which fred answers all commands on a connection |
/// | `Timeout` | no reply in time |
/// | `Config` | credentials or ACL rules refuse (NOPERM, naming the rule that would allow it) |
/// | `Rejected` | no memory (OOM), or anything else that the server won't do |
/// | `Conflict` | the key is of another type, or the group exists |
/// | `NotFound` | no such group or script |
/// | `Unsupported` | the server doesn't know the command |
/// | `Closed` | the client was closed |
#[must_use]
pub fn error(
    component: &'static str,
    operation: &'static str,
    subject: impl fmt::Display,
    error: &FredError,
) -> Error {
    let details = error.details();
    let (kind, text) = match error.kind() {
        FredKind::Cluster if details.starts_with("CLUSTERDOWN") => (
            ErrorKind::Indeterminate,
            "the cluster is down; the command may have been done",
        ),
        FredKind::Timeout => (ErrorKind::Timeout, "no reply in time"),
        FredKind::Backpressure => (ErrorKind::Rejected, "too many commands are waiting"),
        FredKind::Config | FredKind::Url | FredKind::Tls => (ErrorKind::Config, details),
        FredKind::InvalidArgument | FredKind::InvalidCommand | FredKind::Parse
            if !is_refusal(details) =>
        {
            (ErrorKind::Internal, details)
        }
        _ if is_refusal(details) => return refusal(component, operation, subject, details),
        _ if never_sent(error) => (ErrorKind::Unavailable, "not connected; nothing was sent"),
        _ if redirected(error) => (
            ErrorKind::Unavailable,
            "the cluster moved the slot elsewhere; nothing was done",
        ),
        FredKind::Canceled => (ErrorKind::Closed, "the client was closed"),
        _ if details == "Client is not initialized."
            || details == "Failed to send command to router." =>
        {
            (ErrorKind::Closed, "the client was closed")
        }
        _ => (
            ErrorKind::Indeterminate,
            "the connection was lost; the command may have been done",
        ),
    };
    Error::new(kind, component, operation, format!("{subject}: {text}")).with_source(Cause {
        code: None,
        text: details.to_owned(),
    })
}

/// The same error as seen by a wider operation: its kind is kept, and it becomes the source.
#[must_use]
pub fn during(
    component: &'static str,
    operation: &'static str,
    subject: impl fmt::Display,
    error: Error,
) -> Error {
    let text = format!("{subject}: {}", error.message());
    Error::new(error.kind(), component, operation, text).with_source(error)
}

/// The code that the server refused with (`NOGROUP`, `BUSYGROUP`, `OOM`, `ERR`), if it was the server that refused.
#[must_use]
pub fn code(error: &Error) -> Option<&str> {
    cause(error)?.code.as_deref()
}

pub(crate) fn cause(error: &Error) -> Option<&Cause> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref() {
            return Some(cause);
        }
        source = cause.source();
    }
    None
}

/// The error of a command that the server refused with `text`.
pub(crate) fn refusal(
    component: &'static str,
    operation: &'static str,
    subject: impl fmt::Display,
    text: &str,
) -> Error {
    let code = text.split_whitespace().next().unwrap_or_default();
    let kind = match code {
        "NOPERM" | "NOAUTH" | "WRONGPASS" => ErrorKind::Config,
        "READONLY" | "LOADING" | "MASTERDOWN" | "NOREPLICAS" | "CLUSTERDOWN" | "TRYAGAIN"
        | "MISCONF" | "BUSY" | "MOVED" | "ASK" | "UNBLOCKED" => ErrorKind::Unavailable,
        "WRONGTYPE" | "BUSYGROUP" | "BUSYKEY" => ErrorKind::Conflict,
        "NOGROUP" | "NOSCRIPT" => ErrorKind::NotFound,
        "ERR" if text.contains("unknown command") || text.contains("nknown subcommand") => {
            ErrorKind::Unsupported
        }
        "ERR" if text.contains("max number of clients") => ErrorKind::Unavailable,
        _ if denied_in_script(text) => ErrorKind::Config,
        _ => ErrorKind::Rejected,
    };
    let said = if kind == ErrorKind::Config {
        denial(text)
    } else {
        said(text).to_owned()
    };
    Error::new(kind, component, operation, format!("{subject}: {said}")).with_source(Cause {
        code: Some(code.to_owned()),
        text: said,
    })
}

/// Whether the command was sent to a node that doesn't hold its slot, and so wasn't executed.
pub(crate) fn redirected(error: &FredError) -> bool {
    *error.kind() == FredKind::Routing && error.details() == "Too many redirections."
}

/// Where a refused command is to be sent instead: whether after ASKING, and the node's host and port.
pub(crate) fn redirection(error: &Error) -> Option<(bool, &str, u16)> {
    let mut words = cause(error)?.text.split_whitespace();
    let ask = match words.next()? {
        "ASK" => true,
        "MOVED" => false,
        _ => return None,
    };
    let (host, port) = words.nth(1)?.rsplit_once(':')?;
    Some((ask, host, port.parse().ok()?))
}

/// Whether nothing of the command can have reached a server.
fn never_sent(error: &FredError) -> bool {
    let details = error.details();
    details == "Failed to route command."
        || details == "Connection closed unexpectedly."
        || matches!(error.kind(), FredKind::Cluster | FredKind::Sentinel)
}

/// Whether the text is one of the server's, which begin with a code in capitals.
pub(crate) fn is_refusal(text: &str) -> bool {
    text.split_whitespace().next().is_some_and(|code| {
        code.len() > 2
            && code
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    })
}

/// What the server said, without the arguments that it repeats.
fn said(text: &str) -> &str {
    text.split(", with args beginning with")
        .next()
        .unwrap_or(text)
}

/// What lies behind an error of this crate: the server's or fred's words.
#[derive(Debug)]
pub(crate) struct Cause {
    code: Option<String>,
    pub(crate) text: String,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Cause {}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Error {
        refusal("c", "o", "topic `t`", text)
    }

    #[test]
    fn what_the_server_says_has_a_kind() {
        for (text, kind) in [
            (
                "READONLY You can't write against a read only replica.",
                ErrorKind::Unavailable,
            ),
            (
                "LOADING Redis is loading the dataset in memory",
                ErrorKind::Unavailable,
            ),
            (
                "NOREPLICAS Not enough good replicas to write.",
                ErrorKind::Unavailable,
            ),
            ("MOVED 3999 127.0.0.1:6381", ErrorKind::Unavailable),
            ("ERR max number of clients reached", ErrorKind::Unavailable),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                ErrorKind::Rejected,
            ),
            (
                "WRONGTYPE Operation against a key holding the wrong kind of value",
                ErrorKind::Conflict,
            ),
            (
                "BUSYGROUP Consumer Group name already exists",
                ErrorKind::Conflict,
            ),
            ("NOGROUP No such key 's'", ErrorKind::NotFound),
            ("ERR unknown command 'FOO'", ErrorKind::Unsupported),
            ("ERR syntax error", ErrorKind::Rejected),
            (
                "WRONGPASS invalid username-password pair",
                ErrorKind::Config,
            ),
        ] {
            let error = refused(text);
            assert_eq!(error.kind(), kind, "{text}");
            assert_eq!(code(&error), text.split(' ').next());
        }
    }

    #[test]
    fn arguments_are_not_repeated() {
        let error = refused("ERR unknown command 'FOO', with args beginning with: 's3cr3t' ");
        assert!(!format!("{error}{error:?}").contains("s3cr3t"));
    }

    #[test]
    fn a_lost_command_may_have_been_done_and_an_unsent_one_not() {
        for (kind, text, expected) in [
            (FredKind::IO, "Connection closed.", ErrorKind::Indeterminate),
            (
                FredKind::IO,
                "Unresponsive connection.",
                ErrorKind::Indeterminate,
            ),
            (
                FredKind::Unknown,
                "Too many failed write attempts.",
                ErrorKind::Indeterminate,
            ),
            (
                FredKind::Unknown,
                "channel closed",
                ErrorKind::Indeterminate,
            ),
            (
                FredKind::Cluster,
                "CLUSTERDOWN Hash slot not served",
                ErrorKind::Indeterminate,
            ),
            (
                FredKind::Unknown,
                "Failed to route command.",
                ErrorKind::Unavailable,
            ),
            (
                FredKind::Canceled,
                "Connection closed unexpectedly.",
                ErrorKind::Unavailable,
            ),
            (
                FredKind::Routing,
                "Too many redirections.",
                ErrorKind::Unavailable,
            ),
            (FredKind::Timeout, "Request timed out.", ErrorKind::Timeout),
            (FredKind::Canceled, "Canceled.", ErrorKind::Closed),
        ] {
            let error = error("c", "o", "s", &FredError::new(kind, text));
            assert_eq!(error.kind(), expected, "{text}");
        }
    }

    #[test]
    fn a_wider_operation_keeps_kind_and_code() {
        let error = during("pubsub", "publish", "topic `a`", refused("OOM no"));
        assert_eq!(
            (error.kind(), error.operation()),
            (ErrorKind::Rejected, "publish")
        );
        assert_eq!(code(&error), Some("OOM"));
        assert!(error.message().starts_with("topic `a`: "), "{error}");
    }

    #[test]
    fn a_redirection_is_read() {
        assert_eq!(
            redirection(&refused("ASK 3999 10.0.0.1:6381")),
            Some((true, "10.0.0.1", 6381))
        );
        assert_eq!(
            redirection(&refused("MOVED 3999 :6381")),
            Some((false, "", 6381))
        );
        assert_eq!(redirection(&refused("ERR no")), None);
    }
}
