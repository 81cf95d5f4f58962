//! Where a call goes.

use super::view::View;
use braid_core::{Error, ErrorKind, NodeId, ServiceName, Token};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Where a call goes: in the extensions of the requests that pass the client's layers, as an `Arc<Target>`.
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) view: Arc<View>,
    pub(super) token: Option<Token>,
    pub(super) node: Option<NodeId>,
    pub(super) timeout: Option<Duration>,
    // What a call by name has said, for the errors: the method, and by when the timeout is over.
    pub(super) named: Option<Named>,
}

/// A call by name. It may be made more than once, but not for longer.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) method: Arc<str>,
    pub(super) timeout: Duration,
    pub(super) deadline: Option<Instant>,
}

impl Target {
    pub(super) fn new(view: Arc<View>) -> Self {
        Self {
            view,
            token: None,
            node: None,
            timeout: None,
            named: None,
        }
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &ServiceName {
        &self.view.name
    }

    /// Whom the call is about.
    #[must_use]
    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// The one node that it must go to.
    #[must_use]
    pub fn node(&self) -> Option<&NodeId> {
        self.node.as_ref()
    }

    /// An error of a call to the service: `service `mail`, method `/mail.Mail/Send`: ...`.
    pub(super) fn error(&self, kind: ErrorKind, method: &str, fault: &str) -> Error {
        let text = format!("service `{}`, method `{method}`: {fault}", self.view.name);
        Error::new(kind, "rpc", "call", text)
    }
}
