//! Ends: drained, forced, dropped, failed; and no task is left.

use crate::support::{Dropped, Fleet, Running, names, soon, until, who};
use braid_core::{
    Announcement, BoxFuture, BoxStream, Component, Discover, ErrorKind, Node, Result, ServiceName,
    Shutdown, ShutdownTrigger, Update, discover::announce_unsupported,
};
use braid_rpc::{Client, RawRequest, Server, ServerBuilder, ServerConfig};
use bytes::Bytes;
use std::{
    io::ErrorKind as Io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, runtime::Handle, sync::watch, task::JoinHandle};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// A handler `gated` that answers once the gate is open, and tells how many are in it.
struct Gate {
    open: watch::Sender<bool>,
    inside: watch::Sender<usize>,
}

impl Gate {
    fn new() -> Self {
        Self {
            open: watch::Sender::new(false),
            inside: watch::Sender::new(0),
        }
    }

    fn build(&self) -> impl FnOnce(ServerBuilder) -> ServerBuilder + use<> {
        let (open, inside) = (self.open.subscribe(), self.inside.clone());
        move |builder: ServerBuilder| {
            builder.handle("gated", move |_: RawRequest| {
                let (mut open, inside) = (open.clone(), inside.clone());
                async move {
                    inside.send_modify(|count| *count += 1);
                    let _ = open.wait_for(|open| *open).await;
                    Ok(Bytes::from("through"))
                }
            })
        }
    }

    async fn entered(&self, count: usize) {
        let mut inside = self.inside.subscribe();
        soon(inside.wait_for(|inside| *inside == count))
            .await
            .unwrap();
    }
}

fn alive_tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_lets_nobody_in() {
    let (fleet, gate) = (Fleet::default(), Gate::new());
    let node = fleet.start_with("login", "login-1", gate.build()).await;
    let (client, address) = (fleet.client(), node.node.address);
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.send_bytes("login", "gated", (), "").await }
    });
    gate.entered(1).await;
    let readiness = node.server.readiness();
    node.trigger.drain();
    until(|| !readiness.is_serving()).await;
    soon(async {
        loop {
            match TcpStream::connect(address).await {
                Err(error) if error.kind() == Io::ConnectionRefused => break,
                _ => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    })
    .await;
    assert!(!node.run.is_finished(), "a call is in flight");
    assert!(!call.is_finished());
    gate.open.send_replace(true);
    assert_eq!(soon(call).await.unwrap().unwrap(), "through");
    node.ended().await.unwrap();
    // And the node isn't called again over the old connection.
    let error = soon(who(&client, "login")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn while_it_lingers_a_draining_server_serves_who_has_not_heard() {
    let gate = Gate::new();
    let config = ServerConfig {
        linger: Duration::from_secs(60),
        ..ServerConfig::listen("127.0.0.1:0")
    };
    let node = Running::start_config("login", "login-1", config, gate.build()).await;
    let fleet = Fleet::default();
    fleet.put(&node.node);
    let client = fleet.client();
    who(&client, "login").await.unwrap();
    let readiness = node.server.readiness();
    node.trigger.drain();
    until(|| !readiness.is_serving()).await;
    // Over a new connection: the old one was told to go away.
    for _ in 0..5 {
        assert_eq!(soon(who(&client, "login")).await.unwrap(), "login-1");
    }
    node.trigger.force();
    node.ended().await.unwrap();
}

#[tokio::test]
async fn force_ends_a_handler_that_hangs_and_leaves_no_task() {
    let fleet = Fleet::default();
    let before = alive_tasks();
    let (sender, mut dropped) = watch::channel(false);
    let entered = watch::Sender::new(false);
    let node = fleet
        .start_with("login", "login-1", {
            let entered = entered.clone();
            move |builder| {
                builder.handle("hang", move |_| {
                    let guard = Dropped(sender.clone());
                    entered.send_replace(true);
                    async move {
                        let _guard = guard;
                        std::future::pending().await
                    }
                })
            }
        })
        .await;
    let client = fleet.client();
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.send_bytes("login", "hang", (), "").await }
    });
    soon(entered.subscribe().wait_for(|entered| *entered))
        .await
        .unwrap();
    node.trigger.drain();
    tokio::task::yield_now().await;
    assert!(!node.run.is_finished());
    let begun = Instant::now();
    node.trigger.force();
    node.ended().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert!(
        *dropped.borrow_and_update(),
        "the handler is gone when `run` returns"
    );
    let error = soon(call).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
    names(&error, &["`login`", "`hang`", "login-1"]);
    assert!(!error.is_retryable());

    drop(client);
    until(|| alive_tasks() == before).await;
}

#[tokio::test]
async fn open_streams_of_the_servers_own_do_not_hold_up_a_drain() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest,
    };
    let fleet = Fleet::default();
    let node = fleet.start("login", "login-1").await;
    let channel = fleet.client().channel("login").unwrap();
    let mut health = HealthClient::new(channel.clone());
    let watched = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watched = watched.into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status, 1);

    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = futures_util::stream::iter([request]);
    let requests = futures_util::StreamExt::chain(requests, futures_util::stream::pending());
    let mut reflection = ServerReflectionClient::new(channel);
    let reflected = reflection.server_reflection_info(requests).await.unwrap();
    let mut reflected = reflected.into_inner();
    assert!(soon(reflected.message()).await.unwrap().is_some());

    node.stop().await.unwrap();
    assert_eq!(soon(watched.message()).await.unwrap().unwrap().status, 2);
    assert!(soon(watched.message()).await.unwrap().is_none());
    assert!(soon(reflected.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_stream_that_listens_to_the_shutdown_ends_with_the_drain() {
    let fleet = Fleet::default();
    let entered = watch::Sender::new(false);
    let layer = tonic::service::InterceptorLayer::new({
        let entered = entered.clone();
        move |request: tonic::Request<()>| {
            let has = request.extensions().get::<Shutdown>().is_some();
            entered.send_replace(has);
            Ok(request)
        }
    });
    let node = fleet
        .start_with("login", "login-1", |b| b.layer(layer))
        .await;
    who(&fleet.client(), "login").await.unwrap();
    assert!(*entered.borrow());
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_peer_that_says_nothing_does_not_hold_up_a_drain() {
    let fleet = Fleet::default();
    let node = fleet.start("login", "login-1").await;
    let mute = TcpStream::connect(node.node.address).await.unwrap();
    // Accepted by the time that somebody who came later is served.
    who(&fleet.client(), "login").await.unwrap();
    let begun = Instant::now();
    node.stop().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(mute);
}

#[tokio::test]
async fn a_dropped_run_leaves_no_task() {
    let fleet = Fleet::default();
    let before = alive_tasks();
    let gate = Gate::new();
    let node = fleet.start_with("login", "login-1", gate.build()).await;
    let client = fleet.client();
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.send_bytes("login", "gated", (), "").await }
    });
    gate.entered(1).await;
    node.run.abort();
    until(|| !node.server.readiness().is_serving()).await;
    let error = soon(call).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
    drop(client);
    until(|| alive_tasks() == before).await;
}

/// Nodes leave one after the other and come back in another life, under load: readiness first, then the drain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_fails_no_call() {
    let fleet = Fleet::default();
    let mut nodes = Vec::new();
    for index in 0..3 {
        nodes.push(fleet.start("login", &format!("login-{index}")).await);
    }
    let client = fleet.client();
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (client, stop, done) = (client.clone(), Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                while !stop.load(SeqCst) {
                    who(&client, "login").await?;
                    done.fetch_add(1, SeqCst);
                }
                Ok::<_, braid_core::Error>(())
            })
        })
        .collect();
    for round in 0..6 {
        let before = done.load(SeqCst);
        until(|| done.load(SeqCst) > before + 50).await;
        let node = nodes.remove(0);
        let index = node.node.node.id.to_string();
        // Half the time discovery is late, and the clients meet a node that is draining already.
        if round % 2 == 0 {
            fleet.remove(&node.node);
            node.stop().await.unwrap();
        } else {
            let left = node.node.clone();
            node.stop().await.unwrap();
            fleet.remove(&left);
        }
        nodes.push(fleet.start("login", &index).await);
    }
    stop.store(true, SeqCst);
    for caller in callers {
        soon(caller).await.unwrap().unwrap();
    }
}

/// Runs the client, and begins a call that the gate holds up.
async fn running_with_a_call(
    client: &Client,
    gate: &Gate,
) -> (
    ShutdownTrigger,
    JoinHandle<Result<()>>,
    JoinHandle<Result<Bytes>>,
) {
    let trigger = ShutdownTrigger::new();
    let run = tokio::spawn({
        let (client, shutdown) = (client.clone(), trigger.shutdown());
        async move { client.run(shutdown).await }
    });
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.send_bytes("login", "gated", (), "").await }
    });
    gate.entered(1).await;
    (trigger, run, call)
}

#[tokio::test]
async fn a_draining_client_finishes_its_calls_and_begins_none() {
    let (fleet, gate) = (Fleet::default(), Gate::new());
    let _node = fleet.start_with("login", "login-1", gate.build()).await;
    let client = fleet.client();
    let (trigger, run, call) = running_with_a_call(&client, &gate).await;
    trigger.drain();
    let error = soon(async {
        loop {
            if let Err(error) = who(&client, "login").await {
                break error;
            }
        }
    })
    .await;
    assert_eq!(error.kind(), ErrorKind::Closed);
    names(&error, &["`login`", "closed"]);
    assert!(!run.is_finished());
    gate.open.send_replace(true);
    assert_eq!(soon(call).await.unwrap().unwrap(), "through");
    soon(run).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_forced_client_ends_its_calls_and_leaves_no_task() {
    let before = alive_tasks();
    let (fleet, gate) = (Fleet::default(), Gate::new());
    let node = fleet.start_with("login", "login-1", gate.build()).await;
    let client = fleet.client();
    let (trigger, run, call) = running_with_a_call(&client, &gate).await;
    trigger.force();
    soon(run).await.unwrap().unwrap();
    let error = soon(call).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
    node.stop().await.unwrap();
    until(|| alive_tasks() == before).await;
}

#[tokio::test]
async fn a_client_that_is_dropped_leaves_no_task() {
    let fleet = Fleet::default();
    let node = fleet.start("login", "login-1").await;
    let client = fleet.client();
    let before = alive_tasks();
    who(&client, "login").await.unwrap();
    assert!(alive_tasks() > before);
    drop(client);
    node.stop().await.unwrap();
    until(|| alive_tasks() < before).await;
}

/// Discovery that panics.
#[derive(Debug)]
struct Broken;

impl Component for Broken {
    fn name(&self) -> &'static str {
        "discover-broken"
    }

    fn run(&self, _: Shutdown) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

impl Discover for Broken {
    fn announce<'a>(&'a self, _: &'a Node) -> BoxFuture<'a, Result<Announcement>> {
        Box::pin(async { Err(announce_unsupported("discover-broken", "it is broken")) })
    }

    fn watch(&self, _: &ServiceName) -> BoxStream<'static, Result<Update>> {
        panic!("broken on purpose")
    }
}

#[tokio::test]
async fn a_panic_of_a_background_task_ends_the_clients_run() {
    let client = Client::builder(Arc::new(Broken)).build().unwrap();
    let trigger = ShutdownTrigger::new();
    let (error, _) = tokio::join!(soon(client.run(trigger.shutdown())), async {
        let options = braid_core::CallOptions::new().with_timeout(Duration::from_millis(200));
        client.send_bytes("login", "who", options, "").await
    });
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    names(&error, &["panicked", "broken on purpose"]);
}

#[tokio::test]
async fn a_server_that_nobody_calls_drains_at_once() {
    let config = ServerConfig {
        linger: Duration::ZERO,
        ..ServerConfig::listen("127.0.0.1:0")
    };
    let server = Server::builder(config).bind().await.unwrap();
    let trigger = ShutdownTrigger::new();
    trigger.drain();
    let begun = Instant::now();
    soon(server.run(trigger.shutdown())).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
}
