//! From a call to the node that gets it: by name, by link, by policy.

use super::{
    connection::{Connection, Sender},
    target::Target,
    view::View,
};
use braid_balancer::{Entry, Picked};
use braid_core::{Claim, Error, ErrorKind, LinkCache, Node, NodeId, NodeRef, Result, Token};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// How often a link may turn out to be another before the call gives up.
const MAX_ROUNDS: usize = 8;

/// A node for a call, and its open connection.
pub(super) struct Route {
    pub(super) picked: Picked<Connection>,
    pub(super) sender: Sender,
}

/// Finds the way of one call.
pub(super) struct Router<'a> {
    pub(super) view: &'a View,
    pub(super) links: Option<&'a Arc<dyn LinkCache>>,
    pub(super) node_wait: Duration,
}

impl Router<'_> {
    pub(super) async fn route(&self, target: &Target) -> Result<Route> {
        self.view.known().await?;
        match (&target.node, &target.token, self.links) {
            (Some(node), _, _) => self.named(node).await,
            (None, Some(token), Some(links)) => self.linked(token, links).await,
            _ => self.balanced(&[]).await,
        }
    }

    async fn named(&self, id: &NodeId) -> Result<Route> {
        let find = || self.view.balancer.by_id(id);
        match self.appears(find).await {
            Some(picked) => self.connected(picked).await,
            None => Err(self.unavailable(format!("node `{id}` isn't there"))),
        }
    }

    /// The node that the token is linked to; a token without a link gets one.
    async fn linked(&self, token: &Token, links: &Arc<dyn LinkCache>) -> Result<Route> {
        let (name, balancer) = (&self.view.name, &self.view.balancer);
        let mut claims = Claims {
            router: self,
            token,
            links,
            rejected: Vec::new(),
        };
        let mut link = links.cached_target(token, name);
        // The link is known from its source, not from a near cache that may be late.
        let mut confirmed = false;
        let mut over_former_life = false;
        for _ in 0..MAX_ROUNDS {
            if link.is_none() {
                (link, confirmed) = (links.target(token, name).await?, true);
            }
            let Some(node) = link.take() else {
                match claims.claim().await? {
                    Ok(route) => return Ok(route),
                    Err(held) => link = held,
                }
                continue;
            };
            if let Some(picked) = balancer.by_node(&node) {
                return self.connected(picked).await;
            }
            if !confirmed {
                continue;
            }
            // The link's node isn't in view. Where another life of it is, the link may be to a former one, which a claim replaces; or the
            // view lags behind.
            if !over_former_life && balancer.by_id(&node.id).is_some() {
                over_former_life = true;
                match claims.claim().await? {
                    Ok(route) => return Ok(route),
                    Err(held) => link = held,
                }
            } else if let Some(picked) = self.appears(|| balancer.by_node(&node)).await {
                return self.connected(picked).await;
            } else if balancer.by_id(&node.id).is_some() {
                links.unlink(token, name, &node).await?;
            } else {
                return Err(self.unavailable(format!("the linked node `{node}` isn't there")));
            }
        }
        Err(self.unavailable("the token's link keeps changing".to_owned()))
    }

    /// The node that the policy picks, or, where that can't be reached, any other that can.
    async fn balanced(&self, except: &[NodeRef]) -> Result<Route> {
        let mut tried: Vec<NodeRef> = except.to_vec();
        let mut first = None;
        let mut next = self.view.balancer.pick();
        while let Some(picked) = next {
            let node = Arc::clone(picked.node());
            if !tried.contains(&node.node) {
                match self.connected(picked).await {
                    Ok(route) => return Ok(route),
                    Err(error) => first.get_or_insert(error),
                };
                tried.push(node.node.clone());
            }
            let table = self.view.balancer.table();
            let mut others = table.ready().iter();
            let other = others.find(|entry| !tried.contains(&entry.node().node));
            next = other.map(Entry::take);
        }
        Err(first.unwrap_or_else(|| self.nobody()))
    }

    async fn connected(&self, picked: Picked<Connection>) -> Result<Route> {
        match picked.owned().ready().await {
            Ok(sender) => Ok(Route { picked, sender }),
            Err(why) => {
                let Node { node, address, .. } = &**picked.node();
                let text = format!("can't reach node `{}` at {address}: {why}", node.id);
                Err(self.unavailable(text))
            }
        }
    }

    /// Waits a little for a node that isn't there: discovery may lag behind whoever told of it.
    async fn appears(
        &self,
        find: impl Fn() -> Option<Picked<Connection>>,
    ) -> Option<Picked<Connection>> {
        if let Some(picked) = find() {
            return Some(picked);
        }
        let mut changes = self.view.changes();
        let until = Instant::now() + self.node_wait;
        loop {
            if let Some(picked) = find() {
                return Some(picked);
            }
            timeout_at(until, changes.changed()).await.ok()?.ok()?;
        }
    }

    /// Nobody takes the call.
    fn nobody(&self) -> Error {
        if self.view.seen().ever {
            return self.unavailable(match self.view.balancer.table().entries().len() {
                0 => "it has no node at present".to_owned(),
                1 => "its one node takes no calls".to_owned(),
                nodes => format!("none of its {nodes} nodes takes calls"),
            });
        }
        let mut text = format!(
            "service `{}` is unknown: no node of it was ever seen",
            self.view.name
        );
        if let Some(trouble) = self.view.trouble() {
            text = format!("{text}; {trouble}");
        }
        Error::new(ErrorKind::NotFound, "rpc", "call", text)
    }

    fn unavailable(&self, fault: String) -> Error {
        let text = format!("service `{}`: {fault}", self.view.name);
        Error::new(ErrorKind::Unavailable, "rpc", "call", text)
    }
}

/// The claims of one call.
struct Claims<'a> {
    router: &'a Router<'a>,
    token: &'a Token,
    links: &'a Arc<dyn LinkCache>,
    // Nodes that take no new links.
    rejected: Vec<NodeRef>,
}

impl Claims<'_> {
    /// Links the token to a node that takes calls and can be reached. Otherwise says whose it is, if that is known.
    async fn claim(&mut self) -> Result<Result<Route, Option<NodeRef>>> {
        // Connected first: nobody is linked to a node that isn't reachable.
        let route = self.router.balanced(&self.rejected).await?;
        let node = route.picked.node();
        match self.links.claim(self.token, node).await {
            Ok(Claim::Won) => Ok(Ok(route)),
            Ok(Claim::Held(other)) => Ok(Err(Some(other))),
            Err(error) if error.kind() == ErrorKind::Rejected => {
                self.rejected.push(node.node.clone());
                Ok(Err(None))
            }
            Err(error) => Err(error),
        }
    }
}
