//! Two echo nodes and a client that calls them by the name of their service: `cargo run -p braid-rpc --example echo`.

use braid_core::{
    Announcement, BoxFuture, BoxStream, Component, Discover, Node, NodeId, NodeRef, Result,
    ServiceName, Shutdown, ShutdownTrigger, Update,
    discover::{View, announce_unsupported, updates},
};
use braid_rpc::{Client, RawRequest, Server, ServerConfig};
use std::sync::Arc;
use tokio::{sync::watch, task::JoinSet};

/// Discovery by a list of `echo`'s nodes that is known beforehand.
#[derive(Debug)]
struct List(watch::Sender<Arc<View>>);

impl Component for List {
    fn name(&self) -> &'static str {
        "discover-list"
    }

    fn run(&self, shutdown: Shutdown) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            shutdown.draining().await;
            Ok(())
        })
    }
}

impl Discover for List {
    fn announce<'a>(&'a self, _: &'a Node) -> BoxFuture<'a, Result<Announcement>> {
        Box::pin(async { Err(announce_unsupported("discover-list", "the list is fixed")) })
    }

    fn watch(&self, service: &ServiceName) -> BoxStream<'static, Result<Update>> {
        updates(match service.as_str() {
            "echo" => self.0.subscribe(),
            _ => watch::Sender::default().subscribe(),
        })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let end = ShutdownTrigger::new();
    let mut running = JoinSet::new();
    let mut view = View::new();
    for (id, weight) in [("echo-1", 2), ("echo-2", 1)] {
        let server = Server::builder(ServerConfig::listen("127.0.0.1:0"))
            .handle("say", move |request: RawRequest| async move {
                let text = String::from_utf8_lossy(&request.body);
                Ok(format!("{id} echoes {text}").into())
            })
            .bind()
            .await?;
        let who = NodeRef::random(NodeId::new(id)?);
        let node = Node::new(ServiceName::new("echo")?, who, server.local_addr());
        view.insert(node.node.clone(), Arc::new(node.with_weight(weight)));
        let shutdown = end.shutdown();
        running.spawn(async move { server.run(shutdown).await });
    }

    let discover = Arc::new(List(watch::Sender::new(Arc::new(view))));
    let client = Client::builder(discover).build()?;
    for number in 1..=6 {
        let body = format!("call {number}");
        let reply = client.send_bytes("echo", "say", (), body).await?;
        println!("{}", String::from_utf8_lossy(&reply));
    }
    if let Err(error) = client.send_bytes("nobody", "say", (), "").await {
        println!("{error}");
    }

    end.drain();
    running.join_all().await.into_iter().collect()
}
