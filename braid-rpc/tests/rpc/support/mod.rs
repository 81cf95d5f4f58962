//! A fleet of one process: discovery that tests set by hand, nodes on loopback ports.

pub(crate) mod links;
pub(crate) mod raw;

use braid_core::{
    Announcement, BoxFuture, BoxStream, Component, Discover, Error, Node, NodeId, NodeRef, Result,
    ServiceName, Shutdown, ShutdownTrigger, Update,
    discover::{View, announce_unsupported, updates},
};
use braid_rpc::{Caller, Client, ClientBuilder, Server, ServerBuilder, ServerConfig};
use bytes::Bytes;
use std::{
    collections::HashMap,
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{net::TcpSocket, sync::watch, task::JoinHandle, time::timeout};

/// More than enough for anything that isn't stuck.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(SOON, what).await.expect("it is stuck")
}

/// Waits until something is so.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    soon(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub(crate) fn service(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

pub(crate) fn id(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

/// Which nodes there are. Clones are one registry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet(Arc<Mutex<HashMap<ServiceName, watch::Sender<Arc<View>>>>>);

impl Fleet {
    fn change(&self, service: &ServiceName, change: impl FnOnce(&mut View)) {
        let mut services = self.0.lock().unwrap();
        let sender = services.entry(service.clone()).or_default();
        sender.send_modify(|view| change(Arc::make_mut(view)));
    }

    pub(crate) fn put(&self, node: &Node) {
        self.change(&node.service, |view| {
            view.insert(node.node.clone(), Arc::new(node.clone()));
        });
    }

    pub(crate) fn remove(&self, node: &Node) {
        self.change(&node.service, |view| {
            view.remove(&node.node);
        });
    }

    pub(crate) fn client(&self) -> Client {
        self.client_with(|builder| builder)
    }

    pub(crate) fn client_with(&self, build: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
        let caller = Caller {
            service: service("test"),
            id: id("test-1"),
        };
        let builder = Client::builder(Arc::new(self.clone())).caller(caller);
        build(builder).build().unwrap()
    }

    /// A node that serves `who` (its id) and `echo`.
    pub(crate) async fn start(&self, service: &str, id: &str) -> Running {
        self.start_with(service, id, |builder| builder).await
    }

    pub(crate) async fn start_with(
        &self,
        service: &str,
        id: &str,
        build: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Running {
        let running = Running::start(service, id, "127.0.0.1:0", build).await;
        self.put(&running.node);
        running
    }
}

impl Component for Fleet {
    fn name(&self) -> &'static str {
        "discover-test"
    }

    fn run(&self, shutdown: Shutdown) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            shutdown.draining().await;
            Ok(())
        })
    }
}

impl Discover for Fleet {
    fn announce<'a>(&'a self, _: &'a Node) -> BoxFuture<'a, Result<Announcement>> {
        Box::pin(async { Err(announce_unsupported("discover-test", "tests set the nodes")) })
    }

    fn watch(&self, service: &ServiceName) -> BoxStream<'static, Result<Update>> {
        let mut services = self.0.lock().unwrap();
        updates(services.entry(service.clone()).or_default().subscribe())
    }
}

/// A node of a service at an address, of which nothing listens until somebody does.
pub(crate) fn node_at(service_name: &str, node_id: &str, address: SocketAddr) -> Node {
    Node::new(service(service_name), NodeRef::random(id(node_id)), address)
}

/// An address where nothing listens, nor ever will: other tests would be served there.
pub(crate) fn dead_address() -> SocketAddr {
    hold((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

/// Keeps an address from being taken until the tests are over, but by somebody who listens at just that one.
pub(crate) fn hold(address: SocketAddr) -> io::Result<SocketAddr> {
    static HELD: Mutex<Vec<TcpSocket>> = Mutex::new(Vec::new());
    let socket = TcpSocket::new_v4()?;
    // What is left of closed connections doesn't matter.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let address = socket.local_addr()?;
    HELD.lock().unwrap().push(socket);
    Ok(address)
}

/// A server that runs.
pub(crate) struct Running {
    pub(crate) node: Node,
    pub(crate) server: Arc<Server>,
    pub(crate) trigger: ShutdownTrigger,
    pub(crate) run: JoinHandle<Result<()>>,
    /// How often `who` and `echo` were called.
    pub(crate) calls: Arc<AtomicUsize>,
}

impl Running {
    pub(crate) async fn start(
        service: &str,
        id: &str,
        listen: &str,
        build: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let mut config = ServerConfig::listen(listen);
        config.linger = Duration::from_millis(20);
        Self::start_config(service, id, config, build).await
    }

    pub(crate) async fn start_config(
        service: &str,
        id: &str,
        config: ServerConfig,
        build: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let (counted, counted_too) = (Arc::clone(&calls), Arc::clone(&calls));
        let name = Bytes::copy_from_slice(id.as_bytes());
        let builder = Server::builder(config)
            .handle("who", move |_| {
                counted.fetch_add(1, SeqCst);
                let name = name.clone();
                async move { Ok(name) }
            })
            .handle("echo", move |request| {
                counted_too.fetch_add(1, SeqCst);
                async move { Ok(request.body) }
            });
        let server = Arc::new(build(builder).bind().await.unwrap());
        let trigger = ShutdownTrigger::new();
        let (running, shutdown) = (Arc::clone(&server), trigger.shutdown());
        let run = tokio::spawn(async move { running.run(shutdown).await });
        let readiness = server.readiness();
        until(|| readiness.is_serving()).await;
        Self {
            node: node_at(service, id, server.local_addr()),
            server,
            trigger,
            run,
            calls,
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    /// Drains, and waits until the server has ended.
    pub(crate) async fn stop(self) -> Result<()> {
        self.trigger.drain();
        self.ended().await
    }

    /// Waits until the server has ended. Nothing will listen where it did.
    pub(crate) async fn ended(self) -> Result<()> {
        let ended = soon(self.run).await.unwrap();
        // Without it the tests are a little less sure.
        let _ = hold(self.node.address);
        ended
    }
}

/// Calls `who`.
pub(crate) async fn who(client: &Client, service: &str) -> Result<String> {
    let reply = client.send_bytes(service, "who", (), Bytes::new()).await?;
    Ok(String::from_utf8(reply.into()).unwrap())
}

/// Tells when it is dropped.
pub(crate) struct Dropped(pub(crate) watch::Sender<bool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// An error's text has to name all of these.
#[track_caller]
pub(crate) fn names(error: &Error, things: &[&str]) {
    for thing in things {
        assert!(error.to_string().contains(thing), "{thing} in: {error}");
    }
}
