//! Putting a client together.

use super::{
    Client, Inner,
    channel::{Stack, Wire},
    config::ClientConfig,
    tick::Ticks,
};
use crate::{
    layer::{Apply, BoxService, Count, apply, apply_all, erase},
    metadata::Caller,
    tasks::Tasks,
};
use arc_swap::ArcSwap;
use braid_balancer::PolicyKind;
use braid_core::{Discover, LinkCache, Result, ServiceName};
use bytes::Bytes;
use http::{Request, Response};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
};
use tokio_util::task::TaskTracker;
use tonic::{body::Body, codegen::StdError};
use tower::{Layer, Service};

/// Puts a [`Client`] together.
#[must_use]
pub struct ClientBuilder {
    config: ClientConfig,
    discover: Arc<dyn Discover>,
    links: Option<Arc<dyn LinkCache>>,
    caller: Option<Caller>,
    policies: HashMap<String, PolicyKind>,
    layers: Vec<Apply>,
}

impl ClientBuilder {
    pub(super) fn new(discover: Arc<dyn Discover>) -> Self {
        Self {
            config: ClientConfig::default(),
            discover,
            links: None,
            caller: None,
            policies: HashMap::new(),
            layers: Vec::new(),
        }
    }

    /// Calls that way.
    pub fn config(mut self, config: ClientConfig) -> Self {
        self.config = config;
        self
    }

    /// Keeps users on their node. Without it a token travels to the handlers, and says nothing about where to.
    pub fn links(mut self, links: Arc<dyn LinkCache>) -> Self {
        self.links = Some(links);
        self
    }

    /// Tells handlers who calls.
    pub fn caller(mut self, caller: Caller) -> Self {
        self.caller = Some(caller);
        self
    }

    /// Balances the calls to one service by another policy than the configured one. It can be changed at run time, by
    /// [`Client::set_policy`].
    pub fn policy(mut self, service: impl Into<String>, policy: PolicyKind) -> Self {
        self.policies.insert(service.into(), policy);
        self
    }

    /// Appends a tower layer around all calls, by name and of typed clients. The first is the outermost. The request's extensions tell
    /// where it goes: an `Arc<`[`Target`](super::Target)`>`, which has to stay there.
    pub fn layer<L, B>(mut self, layer: L) -> Self
    where
        L: Layer<BoxService> + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Error: Into<StdError>,
        <L::Service as Service<Request<Body>>>::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        self.layers.push(apply(layer));
        self
    }

    /// The client. Nothing is contacted yet: a service is followed from the first call to it.
    ///
    /// # Errors
    /// `Config`: a setting can't be, or a service that was given a policy has no legal name.
    pub fn build(self) -> Result<Client> {
        self.config.validate()?;
        let policies = self.policies.into_iter();
        let policies = policies
            .map(|(service, policy)| Ok((ServiceName::new(service)?, policy)))
            .collect::<Result<_>>()?;
        let inner = Arc::new(Inner {
            config: Arc::new(self.config),
            discover: self.discover,
            links: self.links,
            caller: self.caller.map(|c| c.headers()).unwrap_or_default(),
            policies,
            views: ArcSwap::default(),
            adding: Mutex::new(()),
            tasks: Tasks::new(),
            ticks: Ticks::default(),
            calls: TaskTracker::new(),
        });
        let wire = Wire(Arc::clone(&inner));
        let stack = if self.layers.is_empty() {
            Stack::Plain(wire)
        } else {
            Stack::Layered(apply_all(self.layers, erase(wire)))
        };
        Ok(Client { inner, stack })
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("config", &self.config)
            .field("caller", &self.caller)
            .field("policies", &self.policies)
            .field("layers", &Count(&self.layers))
            .finish_non_exhaustive()
    }
}
