//! What it costs to find out where a call goes, without the wire.

use std::hint::black_box;
use std::sync::Arc;

use braid_balancer::{Balancer, SmoothWeighted};
use braid_core::{Claim, LinkCache, ServiceName, Token, Update};
use braid_local::{Hub, LinkCacheConfig};

use crate::Result;
use crate::bench::Bench;
use crate::nodes;
use crate::row::{Figures, Row};
use crate::timed;

/// How many users there are.
const TOKENS: usize = 1_000;

/// The parts of a route, by what each has in public: a node is picked, a token's link is looked up, a service's channel is looked up.
#[derive(Debug)]
pub struct Route {
    balancer: Balancer<()>,
    links: Arc<dyn LinkCache>,
    client: braid_rpc::Client,
    service: ServiceName,
    tokens: Vec<Token>,
    next: usize,
}

impl Route {
    /// One service of ten nodes, with a link for each token.
    ///
    /// # Errors
    /// A link isn't made.
    pub async fn new() -> Result<Self> {
        let service = ServiceName::new(nodes::SERVICE)?;
        let nodes = nodes::of(10)?;
        let balancer = Balancer::new(SmoothWeighted::new());
        balancer.apply([Update::Reset(nodes.clone())], |_| ());

        let hub = Hub::new();
        let links: Arc<dyn LinkCache> = Arc::new(hub.link_cache(LinkCacheConfig::default())?);
        let mut tokens = Vec::with_capacity(TOKENS);
        for (index, node) in (0..TOKENS).zip(nodes.iter().cycle()) {
            let token = Token::new(format!("user-{index}"))?;
            let claim = links.claim(&token, node).await?;
            debug_assert_eq!(claim, Claim::Won, "each token is new");
            tokens.push(token);
        }
        let client = braid_rpc::Client::builder(Arc::new(hub.discover())).build()?;
        Ok(Self {
            balancer,
            links,
            client,
            service,
            tokens,
            next: 0,
        })
    }

    /// Takes one route, for the next of the tokens.
    ///
    /// # Panics
    /// When there is no node, no link or no channel: then nothing was measured.
    pub fn take(&mut self) {
        let token = &self.tokens[self.next];
        self.next = (self.next + 1) % TOKENS;
        let picked = self.balancer.pick().expect("ten nodes are ready");
        let linked = self.links.cached_target(token, &self.service);
        let channel = self.client.channel(&self.service);
        assert!(linked.is_some() && channel.is_ok());
        drop(black_box((picked, linked, channel)));
    }
}

pub(super) fn cost(bench: &mut Bench, row: &Row) -> Result<Figures> {
    let mut route = bench.runtime().block_on(Route::new())?;
    bench.repeat(row, || Ok(timed::nanoseconds(|| route.take())))
}
