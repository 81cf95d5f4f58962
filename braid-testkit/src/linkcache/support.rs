//! What the link cases share: short forms that fail loudly.

use crate::{LinkCacheHarness, Running, SETTLED, TestClock, eventually_eq, fresh, within};
use braid_core::{Claim, ErrorKind, LinkCache, Node, NodeRef, ServiceName, Token};
use std::{ops::Deref, sync::Arc, time::Duration};

/// What the promises allow on top of the grace period.
pub(super) const FIVE_SECONDS: Duration = Duration::from_secs(5);

pub(super) struct Cache {
    pub(super) process: Running<dyn LinkCache>,
    pub(super) clock: Arc<TestClock>,
}

impl Cache {
    pub(super) async fn start<H: LinkCacheHarness>(h: &H) -> Self {
        let owner = fresh::life("process");
        let process = Running::start(h.start(owner.clone()).await).await;
        Self {
            process,
            clock: h.clock(&owner),
        }
    }

    pub(super) async fn wins(&self, token: &Token, node: &Node) {
        assert_eq!(
            self.claims(token, node).await,
            Claim::Won,
            "{} claims",
            node.node
        );
    }

    pub(super) async fn claims(&self, token: &Token, node: &Node) -> Claim {
        let claim = within("the claim", SETTLED, self.process.claim(token, node)).await;
        claim.unwrap_or_else(|error| panic!("claim for {}: {error}", node.node))
    }

    /// The kind of the claim's error; none when there is no error.
    pub(super) async fn refusal(&self, token: &Token, node: &Node) -> Option<ErrorKind> {
        let claim = within("the claim", SETTLED, self.process.claim(token, node)).await;
        claim.err().map(|error| error.kind())
    }

    pub(super) async fn linked(&self, token: &Token, service: &ServiceName) -> Option<NodeRef> {
        let target = within("the target", SETTLED, self.process.target(token, service)).await;
        target.unwrap_or_else(|error| panic!("target in `{service}`: {error}"))
    }

    pub(super) async fn links(&self, node: &NodeRef) -> usize {
        let count = within("the count", SETTLED, self.process.count(node)).await;
        count.unwrap_or_else(|error| panic!("count of {node}: {error}"))
    }

    pub(super) async fn unlinks(
        &self,
        token: &Token,
        service: &ServiceName,
        owner: &NodeRef,
    ) -> bool {
        let unlinked = within(
            "the unlink",
            SETTLED,
            self.process.unlink(token, service, owner),
        )
        .await;
        unlinked.unwrap_or_else(|error| panic!("unlink in `{service}` by {owner}: {error}"))
    }

    /// Shows that the process gets to know that there is no link, from itself and when it asks.
    pub(super) async fn forgets(&self, token: &Token, service: &ServiceName, deadline: Duration) {
        eventually_eq("the link is gone", deadline, (None, None), async || {
            (
                self.process.cached_target(token, service),
                self.linked(token, service).await,
            )
        })
        .await;
    }
}

impl Deref for Cache {
    type Target = Running<dyn LinkCache>;

    fn deref(&self) -> &Self::Target {
        &self.process
    }
}

/// A node of the service that is there, and that every cache may link to.
pub(super) async fn present<H: LinkCacheHarness>(h: &H, service: &ServiceName) -> Node {
    let node = fresh::node(service);
    h.set(&node).await;
    node
}

pub(super) fn tokens(count: usize) -> Vec<Token> {
    (0..count).map(|_| fresh::token("user")).collect()
}
