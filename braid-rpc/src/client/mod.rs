//! The gRPC client.

mod backoff;
mod builder;
mod call;
mod channel;
mod config;
mod http2;
mod pool;
mod route;
mod send;
mod target;
mod tick;
mod view;
mod wire;

pub use self::{
    backoff::Backoff, builder::ClientBuilder, channel::Channel, config::ClientConfig,
    target::Target,
};

use self::{
    channel::Stack,
    pool::Pool,
    route::Router,
    send::{Message, encode},
    tick::Ticks,
    view::View,
};
use crate::tasks::{CancelOnDrop, Tasks};
use arc_swap::ArcSwap;
use braid_balancer::{Picked, Policy, PolicyKind};
use braid_core::{
    BoxFuture, Call, CallOptions, Component, Discover, Error, ErrorKind, IntoCallOptions,
    LinkCache, Node, NodeId, Result, ServiceName, Shutdown, Token,
};
use bytes::{Bytes, BytesMut};
use foldhash::fast::RandomState;
use http::HeaderMap;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_util::task::TaskTracker;

/// With this many services, those are forgotten of which no node was ever seen: names may come from outside.
const MANY_SERVICES: usize = 1_000;

/// Calls services by name, and gives out channels for typed clients. Cheap to clone; all clones are one client.
///
/// # Behavior
/// The client follows each service that was called once, and keeps connections to the nodes that its calls are balanced over. A call goes
/// to the node that it names; else, with a token, to the node that the token is linked to, which is picked and claimed at the first call;
/// else to the one that the service's policy picks among those that are connected. What may have been handled is never sent again.
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
    // Of the services that don't begin with the configured one.
    policies: HashMap<ServiceName, PolicyKind>,
    // Looked into by every call by name.
    views: ArcSwap<HashMap<ServiceName, Arc<View>, RandomState>>,
    // Held while a view is added. Looking one up takes no lock.
    adding: Mutex<()>,
    // Discovery and connections.
    tasks: Tasks,
    ticks: Ticks,
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
    /// This client's open connections to it.
    pub connections: usize,
    /// [`Client::drain`] has taken it out of balancing.
    pub drained: bool,
    /// Why it can't be reached at present, if it can't.
    pub trouble: Option<Arc<str>>,
}

/// A node that a call would go to: [`Client::route`].
#[derive(Debug)]
pub struct Routed(Picked<Pool>);

impl Routed {
    /// The node, as discovery describes it.
    #[must_use]
    pub fn node(&self) -> &Arc<Node> {
        self.0.node()
    }
}

impl Client {
    /// Begins to put a client together that learns of nodes there.
    pub fn builder(discover: Arc<dyn Discover>) -> ClientBuilder {
        ClientBuilder::new(discover)
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
        let write = |buffer: &mut BytesMut| encode(request, buffer);
        let message = Message::new(request.encoded_len(), &write);
        let reply = self.send_message(service, method, options, message).await?;
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
        self.send_body(service.as_ref(), method.as_ref(), options, body.into())
            .await
    }

    async fn send_body(
        &self,
        service: &str,
        method: &str,
        options: CallOptions,
        body: Bytes,
    ) -> Result<Bytes> {
        let write = |buffer: &mut BytesMut| buffer.extend_from_slice(&body);
        let message = Message::new(body.len(), &write);
        self.send_message(service, method, options, message).await
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
            connections: entry.owned().connections(),
            drained: entry.is_drained(),
            trouble: entry.owned().trouble(),
        });
        nodes.collect()
    }

    /// The node that a call to a service would go to at this moment: found as for a call, up to the open connection, without waiting. `None`
    /// when a call would have to wait, or would fail. The policy takes it for a call, and so it counts as one until the result is dropped.
    #[must_use]
    pub fn route(&self, service: impl AsRef<str>, token: Option<&Token>) -> Option<Routed> {
        let views = self.inner.views.load();
        let view = views.get(service.as_ref())?;
        let router = Router::new(&self.inner, view);
        let picked = router.node_at_once(None, token)?;
        (picked.owned().connections() > 0).then_some(Routed(picked))
    }

    /// Balances the calls to a service by this policy from now on. Calls under way, links and connections stay.
    ///
    /// # Errors
    /// `Config`: the name isn't legal.
    pub fn set_policy(&self, service: impl AsRef<str>, policy: impl Policy) -> Result<()> {
        let view = self.view(service.as_ref())?;
        view.pin();
        view.balancer.set_policy(policy);
        Ok(())
    }

    /// Sends a node of a service no balanced calls any more, whatever discovery says of it, until [`undrain`](Self::undrain). Linked users
    /// stay on it, and calls that name it reach it. It holds for this client alone, also for a node that isn't there yet. True when it
    /// changes something.
    ///
    /// # Errors
    /// `Config`: the service's name isn't legal.
    pub fn drain(&self, service: impl AsRef<str>, node: &NodeId) -> Result<bool> {
        Ok(self.view(service.as_ref())?.drain(node))
    }

    /// Lets a node take part again. True when it was drained.
    ///
    /// # Errors
    /// `Config`: the service's name isn't legal.
    pub fn undrain(&self, service: impl AsRef<str>, node: &NodeId) -> Result<bool> {
        Ok(self.view(service.as_ref())?.undrain(node))
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
        let policy = inner.policies.get(service).unwrap_or(&inner.config.policy);
        let view = Arc::new(View::new(name.clone(), policy.build(), &inner.config));
        let present = inner.views.load();
        let is_full = present.len() >= MANY_SERVICES;
        let (forgotten, kept): (Vec<_>, Vec<_>) = present
            .iter()
            .partition(|(_, view)| is_full && view.is_forgettable());
        let kept = kept
            .into_iter()
            .map(|(name, view)| (name.clone(), Arc::clone(view)));
        let views = kept.chain([(name, Arc::clone(&view))]).collect();
        inner.views.store(Arc::new(views));
        for (_, view) in forgotten {
            view.forget();
        }
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
        Box::pin(self.send_body(service.as_str(), method, options, body))
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
