//! What the link cases share: short forms that fail loudly.

use crate::{LinkCacheHarness, Running, SETTLED, TestClock, eventually_eq, fresh, within};
use braid_core::{Claim, ErrorKind, LinkCache, Node, NodeRef, ServiceName, Token};
use std::{collections::BTreeSet, ops::Deref, sync::Arc, time::Duration};

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

    pub(super) async fn relinks(&self, token: &Token, from: &NodeRef, to: &Node) -> bool {
        let moved = within("the relink", SETTLED, self.process.relink(token, from, to)).await;
        moved.unwrap_or_else(|error| panic!("relink from {from} to {}: {error}", to.node))
    }

    /// What the node holds, `limit` at most; none twice.
    pub(super) async fn held(
        &self,
        node: &NodeRef,
        limit: usize,
    ) -> BTreeSet<(ServiceName, Token)> {
        let links = within("the links", SETTLED, self.process.links(node, limit)).await;
        let links = links.unwrap_or_else(|error| panic!("links of {node}: {error}"));
        let (length, set) = (links.len(), links.into_iter().collect::<BTreeSet<_>>());
        assert_eq!(set.len(), length, "a link of {node} is listed twice");
        set
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

/// Lets the others go on, so many times.
pub(super) async fn pause(times: usize) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}
