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
    // By when the call is over, when that was fixed before it reached the channel.
    pub(super) deadline: Option<Instant>,
}

impl Target {
    pub(super) fn new(view: Arc<View>) -> Self {
        Self {
            view,
            token: None,
            node: None,
            timeout: None,
            deadline: None,
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
