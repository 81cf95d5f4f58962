//! What it costs to find out where a call goes, without the call.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use braid_core::{Announcement, Claim, Discover as _, LinkCache, Node, ServiceName, Token};
use braid_local::{Hub, LinkCacheConfig};

use crate::Result;
use crate::bench::Bench;
use crate::nodes;
use crate::row::{Figures, Row};
use crate::timed;

use super::server::{self, Server};

/// How many users there are.
const TOKENS: usize = 1_000;

/// A client that is connected to ten nodes of a service, and a link for each token.
#[derive(Debug)]
pub struct Route {
    client: braid_rpc::Client,
    links: Arc<dyn LinkCache>,
    service: ServiceName,
    tokens: Vec<Token>,
    next: usize,
    // Keep the nodes visible.
    _announced: Vec<Announcement>,
    // Ends last. All nodes are at its address. None if it is on this runtime.
    _server: Option<Server>,
}

impl Route {
    /// Starts the server and connects to it.
    ///
    /// # Errors
    /// The server doesn't start, or a link isn't made.
    pub async fn new() -> Result<Self> {
        let server = Server::start()?;
        let route = Self::to(server.address()).await?;
        Ok(Self {
            _server: Some(server),
            ..route
        })
    }

    /// The same with a server on the caller's runtime: for whoever can't start this program once more.
    ///
    /// # Errors
    /// There is no port, or a link isn't made.
    pub async fn in_process() -> Result<Self> {
        Self::to(server::serve_beside().await?).await
    }

    async fn to(address: SocketAddr) -> Result<Self> {
        let service = ServiceName::new(nodes::SERVICE)?;
        let hub = Hub::new();
        let (mut announced, mut all) = (Vec::new(), Vec::new());
        for node in nodes::of(10)? {
            let at = Node::new(service.clone(), node.node.clone(), address);
            let node = at.with_weight(node.weight);
            announced.push(hub.discover().announce(&node).await?);
            all.push(node);
        }
        let links: Arc<dyn LinkCache> = Arc::new(hub.link_cache(LinkCacheConfig::default())?);
        let mut tokens = Vec::with_capacity(TOKENS);
        for (index, node) in (0..TOKENS).zip(all.iter().cycle()) {
            let token = Token::new(format!("user-{index}"))?;
            let claim = links.claim(&token, node).await?;
            debug_assert_eq!(claim, Claim::Won, "each token is new");
            tokens.push(token);
        }
        let client = braid_rpc::Client::builder(Arc::new(hub.discover()))
            .links(Arc::clone(&links))
            .build()?;
        // The first call connects.
        client
            .send_bytes(&service, "/bench.Echo/Echo", (), "")
            .await?;
        Ok(Self {
            client,
            links,
            service,
            tokens,
            next: 0,
            _announced: announced,
            _server: None,
        })
    }

    /// Finds the way of a call without a token, and looks up the link of the next token: all that calls look for, together.
    ///
    /// # Panics
    /// When there is no way or no link: then nothing was measured.
    pub fn take(&mut self) {
        let way = self.client.route(&self.service, None);
        let mut linked = false;
        let (links, token) = (&self.links, &self.tokens[self.next]);
        links.with_cached_target(token, &self.service, &mut |node| {
            linked = true;
            black_box(node);
        });
        self.next = (self.next + 1) % TOKENS;
        assert!(way.is_some() && linked);
        drop(black_box(way));
    }

    /// Finds the way of a call with the next token, to the node that it is linked to.
    ///
    /// # Panics
    /// When there is no way: then nothing was measured.
    pub fn take_linked(&mut self) {
        let way = self
            .client
            .route(&self.service, Some(&self.tokens[self.next]));
        self.next = (self.next + 1) % TOKENS;
        assert!(way.is_some());
        drop(black_box(way));
    }
}

pub(super) fn cost(bench: &mut Bench, row: &Row) -> Result<Figures> {
    measure(bench, row, Route::take)
}

pub(super) fn linked(bench: &mut Bench, row: &Row) -> Result<Figures> {
    measure(bench, row, Route::take_linked)
}

fn measure(bench: &mut Bench, row: &Row, take: fn(&mut Route)) -> Result<Figures> {
    let mut route = bench.runtime().block_on(Route::new())?;
    bench.repeat(row, || Ok(timed::nanoseconds(|| take(&mut route))))
}
