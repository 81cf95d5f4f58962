//! The gRPC client.

mod call;
mod channel;
mod config;
mod connection;
mod greeting;
mod route;
mod send;
mod target;
mod view;

pub use self::{channel::Channel, config::ClientConfig, target::Target};

use self::{
    channel::{Stack, Wire},
    view::View,
};
use crate::{
    layer::{Apply, BoxService, Count, apply, apply_all, erase},
    metadata::Caller,
    tasks::{CancelOnDrop, Tasks},
};
use arc_swap::ArcSwap;
use braid_core::{
    BoxFuture, Call, CallOptions, Component, Discover, Error, ErrorKind, IntoCallOptions,
    LinkCache, Node, Result, ServiceName, Shutdown,
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
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
    layers: Vec<Apply>,
}

impl ClientBuilder {
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

    /// Appends a tower layer around all calls, by name and of typed clients. The first is the outermost. The request's extensions tell
    /// where it goes: an `Arc<`[`Target`]`>`, which has to stay there.
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
    /// `Config`: a timeout or a limit is zero.
    pub fn build(self) -> Result<Client> {
        self.config.validate()?;
        let inner = Arc::new(Inner {
            config: Arc::new(self.config),
            discover: self.discover,
            links: self.links,
            caller: self.caller.map(|c| c.headers()).unwrap_or_default(),
            views: ArcSwap::default(),
            adding: Mutex::new(()),
            tasks: Tasks::new(),
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

/// Calls services by name, and gives out channels for typed clients. Cheap to clone; all clones are one client.
///
/// # Behavior
/// The client follows each service that was called once, and keeps one connection to each node that it called. A call goes to the
/// node that it names; else, with a token, to the node that the token is linked to, which is picked and claimed at the first call; else to
/// the one that the balancer picks. A node that can't be reached is passed over for another, unless the call is bound to it. What may have
/// been handled is never sent again.
///
/// [`run`](Component::run) ends by draining: calls that begin then fail with `Closed`, those under way are waited for. A client that is
/// never run works too; its tasks end with its last clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    stack: Stack,
}

pub(crate) struct Inner {
    config: Arc<ClientConfig>,
    discover: Arc<dyn Discover>,
    links: Option<Arc<dyn LinkCache>>,
    // The headers that tell who calls.
    caller: HeaderMap,
    views: ArcSwap<HashMap<ServiceName, Arc<View>>>,
    // Held while a view is added. Looking one up takes no lock.
    adding: Mutex<()>,
    // Discovery and connections.
    tasks: Tasks,
    // One token for each call under way; closed when no more may begin.
    calls: TaskTracker,
}

/// A node as a client sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeView {
    /// The node, as discovery describes it.
    pub node: Arc<Node>,
    /// This client's calls to it that are under way.
    pub in_flight: usize,
}

impl Client {
    /// Begins to put a client together that learns of nodes there.
    pub fn builder(discover: Arc<dyn Discover>) -> ClientBuilder {
        ClientBuilder {
            config: ClientConfig::default(),
            discover,
            links: None,
            caller: None,
            layers: Vec::new(),
        }
    }

    /// Calls a method with a message and waits for the reply.
    ///
    /// `method` is a full gRPC path (`/mail.Mail/Send`), or the short name of a raw handler (`user.password`). `options` is nothing (`()`),
    /// a token, or [`CallOptions`].
    ///
    /// # Errors
    /// As [`Call::call`], and `Internal` when the reply can't be decoded.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call; the other side may have done the work.
    pub async fn send<Req, Res>(
        &self,
        service: impl AsRef<str>,
        method: impl AsRef<str>,
        options: impl IntoCallOptions,
        request: &Req,
    ) -> Result<Res>
    where
        Req: prost::Message,
        Res: prost::Message + Default,
    {
        let (service, method) = (service.as_ref(), method.as_ref());
        let options = options.into_call_options()?;
        let body = Bytes::from(request.encode_to_vec());
        let reply = self.send_encoded(service, method, options, body).await?;
        Res::decode(reply).map_err(|error| {
            let text =
                format!("service `{service}`, method `{method}`: the reply can't be decoded");
            Error::new(ErrorKind::Internal, "rpc", "send", text).with_source(error)
        })
    }

    /// Calls a method with bytes and waits for the bytes of the reply.
    ///
    /// # Errors
    /// As [`Call::call`].
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call; the other side may have done the work.
    pub async fn send_bytes(
        &self,
        service: impl AsRef<str>,
        method: impl AsRef<str>,
        options: impl IntoCallOptions,
        body: impl Into<Bytes>,
    ) -> Result<Bytes> {
        let options = options.into_call_options()?;
        self.send_encoded(service.as_ref(), method.as_ref(), options, body.into())
            .await
    }

    /// The channel to a service, for typed clients.
    ///
    /// # Errors
    /// `Config`: the name isn't legal.
    pub fn channel(&self, service: impl AsRef<str>) -> Result<Channel> {
        Ok(self.channel_to(Target::new(self.view(service.as_ref())?)))
    }

    /// The nodes of a service, as this client sees them now: none before the first call to it.
    #[must_use]
    pub fn nodes(&self, service: impl AsRef<str>) -> Vec<NodeView> {
        let views = self.inner.views.load();
        let Some(view) = views.get(service.as_ref()) else {
            return Vec::new();
        };
        let table = view.balancer.table();
        let nodes = table.entries().iter().map(|entry| NodeView {
            node: Arc::clone(entry.node()),
            in_flight: entry.in_flight(),
        });
        nodes.collect()
    }

    fn channel_to(&self, target: Target) -> Channel {
        Channel::new(target, self.stack.clone())
    }

    fn view(&self, service: &str) -> Result<Arc<View>> {
        let inner = &self.inner;
        if let Some(view) = inner.views.load().get(service) {
            return Ok(Arc::clone(view));
        }
        let name = ServiceName::new(service)?;
        let _adding = inner.adding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = inner.views.load().get(service) {
            return Ok(Arc::clone(view));
        }
        let view = Arc::new(View::new(name.clone()));
        let mut views = HashMap::clone(&inner.views.load());
        views.insert(name, Arc::clone(&view));
        inner.views.store(Arc::new(views));
        Ok(view)
    }
}

impl Call for Client {
    fn call<'a>(
        &'a self,
        service: &'a ServiceName,
        method: &'a str,
        options: CallOptions,
        body: Bytes,
    ) -> BoxFuture<'a, Result<Bytes>> {
        Box::pin(self.send_encoded(service.as_str(), method, options, body))
    }
}

impl Component for Client {
    fn name(&self) -> &'static str {
        "rpc-client"
    }

    fn run(&self, shutdown: Shutdown) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let Inner { tasks, calls, .. } = &*self.inner;
            let _cancel = CancelOnDrop(tasks.clone());
            let ended = tokio::select! {
                () = shutdown.draining() => Ok(()),
                error = tasks.failed("follow") => Err(error),
            };
            calls.close();
            if ended.is_ok() {
                tokio::select! {
                    () = calls.wait() => {}
                    () = shutdown.forced() => {}
                }
            }
            tasks.cancel();
            tasks.wait().await;
            ended
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let views = self.inner.views.load();
        f.debug_struct("Client")
            .field("config", &self.inner.config)
            .field("services", &views.keys().collect::<Vec<_>>())
            .field("calls", &self.inner.calls.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("config", &self.config)
            .field("caller", &self.caller)
            .field("layers", &Count(&self.layers))
            .finish_non_exhaustive()
    }
}
