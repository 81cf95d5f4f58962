//! Calls by name, for those who must be generic over the transport.

use crate::{Error, ErrorKind, NodeId, Result, ServiceName, Token};
use bytes::Bytes;
use futures_core::future::BoxFuture;
use std::{
    fmt::{self, Debug},
    time::Duration,
};

/// Calls a method of a service with bytes. `braid-rpc` implements it over gRPC.
pub trait Call: Debug + Send + Sync + 'static {
    /// Sends a request to one node of a service and waits for its reply.
    ///
    /// # Behavior
    /// `method` is a full gRPC path (`/mail.Mail/Send`), which is called as it is, or a short name (`/user.password`), which goes to
    /// the raw handler that the other side registered under it.
    ///
    /// # Errors
    /// `Config`: the method is malformed, the token is empty. `NotFound`: no node of the service was ever seen, or the method
    /// doesn't exist. `Unavailable`: no node takes calls; names the service. `Timeout`: the deadline passed. `Rejected`: the other
    /// side refused, or a size limit did. `Indeterminate`: the connection broke while the call was under way.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call; the other side may have done the work.
    fn call<'a>(
        &'a self,
        service: &'a ServiceName,
        method: &'a str,
        options: CallOptions,
        body: Bytes,
    ) -> BoxFuture<'a, Result<Bytes>>;
}

/// What a call may say beside service, method and body.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallOptions {
    /// Who the call is for: it goes to the node that the token is linked to, and the handler is told.
    pub token: Option<Token>,
    /// The one node that it must go to.
    pub node: Option<NodeId>,
    /// How long it may take. `None`: the client's default.
    pub timeout: Option<Duration>,
    /// Further metadata: gRPC headers, lower case.
    pub metadata: Vec<(String, String)>,
}

impl CallOptions {
    /// No token, no node, the client's default timeout.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same call for a user.
    #[must_use]
    pub fn with_token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// The same call to one node.
    #[must_use]
    pub fn with_node(mut self, node: NodeId) -> Self {
        self.node = Some(node);
        self
    }

    /// The same call within a time.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The same call with one more metadata entry.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }
}

/// Shows the names of the metadata, never its values: they may hold credentials.
impl fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.metadata.iter().map(|(key, _)| key).collect();
        f.debug_struct("CallOptions")
            .field("token", &self.token)
            .field("node", &self.node)
            .field("timeout", &self.timeout)
            .field("metadata", &keys)
            .finish()
    }
}

/// What can stand where a call takes its token: nothing (`()` or `None`), a token, a text that is one, or whole [`CallOptions`].
///
/// An empty text is an error, not "no token": a caller who has lost a user's token should learn of it.
pub trait IntoCallOptions {
    /// The options.
    ///
    /// # Errors
    /// `Config`: the text is no [`Token`].
    fn into_call_options(self) -> Result<CallOptions>;
}

impl IntoCallOptions for CallOptions {
    fn into_call_options(self) -> Result<CallOptions> {
        Ok(self)
    }
}

impl IntoCallOptions for () {
    fn into_call_options(self) -> Result<CallOptions> {
        Ok(CallOptions::new())
    }
}

impl IntoCallOptions for Token {
    fn into_call_options(self) -> Result<CallOptions> {
        Ok(CallOptions::new().with_token(self))
    }
}

impl IntoCallOptions for &Token {
    fn into_call_options(self) -> Result<CallOptions> {
        self.clone().into_call_options()
    }
}

impl IntoCallOptions for Option<&Token> {
    fn into_call_options(self) -> Result<CallOptions> {
        Ok(CallOptions {
            token: self.cloned(),
            ..CallOptions::new()
        })
    }
}

impl IntoCallOptions for &str {
    fn into_call_options(self) -> Result<CallOptions> {
        if self.is_empty() {
            let text = "the token is empty: for a call without one pass `()` or `None`";
            return Err(Error::new(ErrorKind::Config, "core", "call", text));
        }
        Token::new(self)?.into_call_options()
    }
}

impl IntoCallOptions for &String {
    fn into_call_options(self) -> Result<CallOptions> {
        self.as_str().into_call_options()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_may_be_absent_but_not_empty() {
        assert_eq!(().into_call_options().unwrap(), CallOptions::new());
        assert_eq!(None.into_call_options().unwrap(), CallOptions::new());
        let token = Token::new("user-1").unwrap();
        assert_eq!("user-1".into_call_options().unwrap().token, Some(token));
        let error = "".into_call_options().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("token is empty"), "{error}");
    }

    #[test]
    fn debug_hides_the_token_and_the_values_of_metadata() {
        let options = CallOptions::new()
            .with_token(Token::new("sentinel").unwrap())
            .with_metadata("authorization", "sentinel");
        let shown = format!("{options:?}");
        assert!(
            shown.contains("authorization") && !shown.contains("sentinel"),
            "{shown}"
        );
    }
}
