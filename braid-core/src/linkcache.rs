//! Links: which node of a service a user's token is bound to.

mod ext;

pub use self::ext::LinkCacheExt;

use crate::{Component, Node, NodeRef, Result, ServiceName, Token};
use futures_core::future::BoxFuture;

/// Keeps users on their node: one link per token and service, claimed atomically, with a time to live that use renews.
///
/// # Behavior
/// A link carries the node's id and uid, so a link to a former life of a node is never taken for its present one. Links of a node
/// whose uid has been absent from discovery for the grace period are removed; a node that is only not ready keeps them. No link
/// exists without a time to live. Each node's number of links is published to `braid.topic.linkcache.service_link_number`; a raw
/// token published to `braid.topic.linkcache.unlink` ends that user's links on every node.
pub trait LinkCache: Component {
    /// Shows the link that this process knows of, without waiting: the path of every call with a token, where not even a copy of the link
    /// is made. Renews its time to live.
    ///
    /// When `see` isn't called, [`target`](Self::target) has to be asked. It is called once at most, and must not use the cache itself: an
    /// implementation may hold a lock meanwhile.
    fn with_cached_target(
        &self,
        token: &Token,
        service: &ServiceName,
        see: &mut dyn FnMut(&NodeRef),
    );

    /// The link that this process knows of, without waiting; see [`with_cached_target`](Self::with_cached_target).
    fn cached_target(&self, token: &Token, service: &ServiceName) -> Option<NodeRef> {
        let mut target = None;
        self.with_cached_target(token, service, &mut |node| target = Some(node.clone()));
        target
    }

    /// The node that a token is linked to. Renews the link's time to live.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn target<'a>(
        &'a self,
        token: &'a Token,
        service: &'a ServiceName,
    ) -> BoxFuture<'a, Result<Option<NodeRef>>>;

    /// Links a token to a node of the node's service, unless it is linked already. Of concurrent claims one wins, and all agree
    /// on which.
    ///
    /// # Behavior
    /// A link that is held by this very node is renewed and counts as won. One that is held by a former life of a present node is
    /// replaced.
    ///
    /// # Errors
    /// `Rejected`: the node is draining, or gone; pick another. `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether the link was made.
    fn claim<'a>(&'a self, token: &'a Token, node: &'a Node) -> BoxFuture<'a, Result<Claim>>;

    /// Ends a link if `owner` holds it; true when it did. A late unlink by a former owner changes nothing.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether the link was ended.
    fn unlink<'a>(
        &'a self,
        token: &'a Token,
        service: &'a ServiceName,
        owner: &'a NodeRef,
    ) -> BoxFuture<'a, Result<bool>>;

    /// The user has left: ends the token's links to every service, whoever holds them. Returns how many there were.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open which links were ended.
    fn leave<'a>(&'a self, token: &'a Token) -> BoxFuture<'a, Result<usize>>;

    /// The node has gone: ends all its links now, without waiting for the grace period. Returns how many there were.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open which links were ended.
    fn down<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<usize>>;

    /// The node is leaving: it gets no new link from now on, the old ones are honoured, and the future ends when none is left.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting; the node stays closed for new links in this life of it.
    fn drain<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<()>>;

    /// Moves a token's link, in the service of `to`, from one node to another in one step, if `from` holds it; true when `to` holds it
    /// then. There is no moment without the link, and every cache gets to know.
    ///
    /// # Behavior
    /// The link's time to live begins anew. A link that `to` holds already, wherever it came from, is renewed and counts as moved, though
    /// `to` be draining: so a move whose answer was lost can be repeated. What ended, or belongs to a third node, is false and stays as it is,
    /// whatever `to` is.
    ///
    /// # Errors
    /// `Rejected`: `to` is draining, or gone, as for a [`claim`](Self::claim); the link stays where it is. `Unavailable`, `Timeout`,
    /// `Closed`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether the link was moved.
    fn relink<'a>(
        &'a self,
        token: &'a Token,
        from: &'a NodeRef,
        to: &'a Node,
    ) -> BoxFuture<'a, Result<bool>>;

    /// Some of a node's live links, `limit` at most, in no particular order. It is no use of them: nothing is renewed.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn links<'a>(
        &'a self,
        node: &'a NodeRef,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(ServiceName, Token)>>>;

    /// How many links a node holds.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn count<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<usize>>;
}

/// How a claim ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Claim {
    /// The token is linked to the node that was named.
    Won,
    /// The token is linked to this other node.
    Held(NodeRef),
}
