//! From a call to the node that gets it: by name, by link, by policy.

use super::{Inner, http2::Connection, pool::Pool, target::Target, view::View};
use braid_balancer::{Endpoint, Entry, Health, Picked};
use braid_core::{Claim, Error, ErrorKind, LinkCache, Node, NodeId, NodeRef, Result, Token};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// How often a link may turn out to be another before the call gives up.
const MAX_ROUNDS: usize = 8;

/// A node for a call, and an open connection to it.
pub(super) struct Route {
    pub(super) picked: Picked<Pool>,
    pub(super) connection: Arc<Connection>,
}

impl Route {
    /// The way to a node that is connected at this moment.
    fn to(picked: Picked<Pool>) -> Option<Self> {
        let connection = picked.owned().open(picked.in_flight())?;
        Some(Self { picked, connection })
    }
}

/// Finds the way of one call.
pub(super) struct Router<'a> {
    view: &'a View,
    links: Option<&'a Arc<dyn LinkCache>>,
    node_wait: Duration,
}

impl<'a> Router<'a> {
    pub(super) fn new(inner: &'a Inner, view: &'a View) -> Self {
        Self {
            view,
            links: inner.links.as_ref(),
            node_wait: inner.config.node_wait,
        }
    }

    /// The way of nearly every call, which needs no waiting: the node is known, and is connected.
    pub(super) fn at_once(&self, node: Option<&NodeId>, token: Option<&Token>) -> Option<Route> {
        Route::to(self.node_at_once(node, token)?)
    }

    /// The node of a call, as far as it is known already.
    pub(super) fn node_at_once(
        &self,
        node: Option<&NodeId>,
        token: Option<&Token>,
    ) -> Option<Picked<Pool>> {
        let balancer = &self.view.balancer;
        match (node, token, self.links) {
            (Some(node), _, _) => balancer.by_id(node),
            (None, Some(token), Some(links)) => {
                let mut linked = None;
                links.with_cached_target(token, &self.view.name, &mut |node| {
                    linked = balancer.by_node(node);
                });
                linked
            }
            (None, token, _) => self.pick(token),
        }
    }

    pub(super) async fn route(&self, target: &Target) -> Result<Route> {
        self.view.known().await?;
        match (&target.node, &target.token, self.links) {
            (Some(node), _, _) => self.named(node).await,
            (None, Some(token), Some(links)) => self.linked(token, links).await,
            (None, token, _) => self.balanced(token.as_ref(), &[]).await,
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
                let connected = self.connected(picked).await;
                // A node that leaves hands its links back before it closes, which a near cache may hear of later.
                if connected.is_ok() || confirmed {
                    return connected;
                }
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

    fn pick(&self, token: Option<&Token>) -> Option<Picked<Pool>> {
        match token {
            Some(token) => self.view.balancer.pick_for(token.as_str()),
            None => self.view.balancer.pick(),
        }
    }

    /// The node that the policy picks. While none is connected, waits for the first one that is, as long as that may come.
    async fn balanced(&self, token: Option<&Token>, except: &[NodeRef]) -> Result<Route> {
        let mut changes = self.view.changes();
        loop {
            // Marked before the look, so that no change after it is missed.
            changes.mark_unchanged();
            let is_free = |node: &Node| !except.contains(&node.node);
            let picked = self.pick(token).filter(|picked| is_free(picked.node()));
            if let Some(route) = picked.and_then(Route::to) {
                return Ok(route);
            }
            // The picked one is ruled out, or its connection went in this moment.
            let table = self.view.balancer.table();
            let mut others = table.ready().iter().filter(|entry| is_free(entry.node()));
            if let Some(route) = others.find_map(|entry| Route::to(entry.take())) {
                return Ok(route);
            }
            let wanted = table.wanted().iter().filter(|entry| is_free(entry.node()));
            self.hope(wanted)?;
            let closed = changes.changed().await;
            closed.map_err(|_| self.unavailable("the client is closed".to_owned()))?;
        }
    }

    /// # Errors
    /// No node takes the call, and none is about to.
    fn hope<'e>(&self, wanted: impl Iterator<Item = &'e Arc<Entry<Pool>>>) -> Result<()> {
        let mut why = None;
        for entry in wanted {
            if entry.owned().health() != Health::Failed {
                return Ok(());
            }
            why.get_or_insert(entry);
        }
        Err(match why {
            Some(entry) => self.unreachable(entry.node(), entry.owned().trouble()),
            None => self.nobody(),
        })
    }

    async fn connected(&self, picked: Picked<Pool>) -> Result<Route> {
        match picked.owned().ready(picked.in_flight()).await {
            Ok(connection) => Ok(Route { picked, connection }),
            Err(why) => Err(self.unreachable(picked.node(), Some(why))),
        }
    }

    fn unreachable(&self, node: &Node, why: Option<Arc<str>>) -> Error {
        let Node { node, address, .. } = node;
        let why = why.as_deref().unwrap_or("it is being tried again");
        self.unavailable(format!(
            "can't reach node `{}` at {address}: {why}",
            node.id
        ))
    }

    /// Waits a little for a node that isn't there: discovery may lag behind whoever told of it.
    async fn appears(&self, find: impl Fn() -> Option<Picked<Pool>>) -> Option<Picked<Pool>> {
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
        let route = self
            .router
            .balanced(Some(self.token), &self.rejected)
            .await?;
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
