//! The connections to a node: how many, when again, and when no more.

use crate::support::{Fleet, dead_address, names, node_at, soon, until, who};
use braid_core::{CallOptions, ErrorKind};
use braid_rpc::{Backoff, Client, ClientConfig, balancer::PolicyKind};
use bytes::Bytes;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, runtime::Handle, sync::watch};

fn client(fleet: &Fleet, change: impl FnOnce(&mut ClientConfig)) -> Client {
    let mut config = ClientConfig::default();
    change(&mut config);
    fleet.client_with(|builder| builder.config(config))
}

fn connections(client: &Client) -> usize {
    client.nodes("login")[0].connections
}

#[tokio::test]
async fn connections_to_a_node_grow_with_the_calls_in_flight_up_to_their_limit() {
    let fleet = Fleet::default();
    let (open, opened) = watch::channel(false);
    let (entered, _) = watch::channel(0);
    let (count, gate) = (entered.clone(), opened.clone());
    let _node = fleet
        .start_with("login", "login-1", |builder| {
            builder.handle("hold", move |_| {
                count.send_modify(|count| *count += 1);
                let mut gate = gate.clone();
                async move {
                    let _ = gate.wait_for(|open| *open).await;
                    Ok(Bytes::new())
                }
            })
        })
        .await;
    let client = client(&fleet, |config| {
        (config.calls_per_connection, config.max_connections) = (4, 3);
    });
    let hold = async |count: usize| {
        for _ in 0..count {
            let client = client.clone();
            tokio::spawn(async move { client.send_bytes("login", "hold", (), "").await.unwrap() });
        }
        let all = client.nodes("login").first().map_or(0, |n| n.in_flight) + count;
        let mut entered = entered.subscribe();
        soon(entered.wait_for(|entered| *entered == all))
            .await
            .unwrap();
    };
    hold(4).await;
    assert_eq!(connections(&client), 1);
    for calls in 0..20 {
        hold(1).await;
        let most = (4 + calls) / 4 + 1;
        assert!(connections(&client) <= most.min(3));
    }
    until(|| connections(&client) == 3).await;
    open.send_replace(true);
    until(|| client.nodes("login")[0].in_flight == 0).await;
    // They stay: what came once comes again.
    assert_eq!(connections(&client), 3);
    assert_eq!(soon(who(&client, "login")).await.unwrap(), "login-1");
}

/// A peer that hangs up, and notes when it was called.
async fn hangs_up() -> (SocketAddr, Arc<Mutex<Vec<Instant>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&log);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            noted.lock().unwrap().push(Instant::now());
            drop(stream);
        }
    });
    (address, log)
}

#[tokio::test]
async fn a_node_that_hangs_up_is_called_less_and_less_often_by_itself() {
    let fleet = Fleet::default();
    let (address, log) = hangs_up().await;
    fleet.put(&node_at("login", "login-1", address));
    let client = client(&fleet, |config| {
        config.backoff = Backoff {
            base: Duration::from_millis(20),
            max: Duration::from_millis(60),
        };
    });
    let error = soon(who(&client, "login")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    // Nobody calls any more; it is tried again all the same.
    until(|| log.lock().unwrap().len() >= 7).await;
    let log = log.lock().unwrap().clone();
    let least = [16, 25, 40, 48, 48, 48];
    for (pair, least) in log.windows(2).zip(least) {
        let wait = pair[1] - pair[0];
        // The clocks of timers have ticks of a millisecond.
        assert!(wait + Duration::from_millis(2) >= Duration::from_millis(least));
    }
}

#[tokio::test]
async fn a_node_that_is_known_to_be_dead_is_never_picked() {
    let fleet = Fleet::default();
    let (address, log) = hangs_up().await;
    fleet.put(&node_at("login", "login-1", address).with_weight(1000));
    let node = fleet.start("login", "login-2").await;
    let client = client(&fleet, |config| {
        config.backoff.base = Duration::from_secs(3);
    });
    for _ in 0..50 {
        assert_eq!(soon(who(&client, "login")).await.unwrap(), "login-2");
    }
    assert_eq!((node.calls(), log.lock().unwrap().len()), (50, 1));
    let trouble = client.nodes("login")[0].trouble.clone().unwrap();
    assert!(trouble.contains("greeting"), "{trouble}");
}

#[tokio::test]
async fn nodes_are_connected_before_the_first_call_is_balanced() {
    let fleet = Fleet::default();
    let mut nodes = Vec::new();
    for index in 1..=3 {
        nodes.push(fleet.start("login", &format!("login-{index}")).await);
    }
    let client = fleet.client();
    let calls = (0..9).map(|_| who(&client, "login"));
    for reply in futures_util::future::join_all(calls).await {
        reply.unwrap();
    }
    for node in &nodes {
        assert_eq!(node.calls(), 3);
    }
    for node in client.nodes("login") {
        assert_eq!(node.connections, 1);
    }
}

#[tokio::test]
async fn the_first_call_waits_a_moment_for_nodes_that_are_slow_and_no_longer() {
    let fleet = Fleet::default();
    let _node = fleet.start("login", "login-1").await;
    // Accepts, and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    fleet.put(&node_at("login", "login-2", mute.local_addr().unwrap()));
    let client = fleet.client();
    let begun = Instant::now();
    assert_eq!(soon(who(&client, "login")).await.unwrap(), "login-1");
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(50), "{waited:?}");
    assert!(
        waited < ClientConfig::default().connect_timeout,
        "{waited:?}"
    );
}

#[tokio::test]
async fn a_node_that_joins_is_called_only_when_it_is_connected() {
    let fleet = Fleet::default();
    let _node = fleet.start("login", "login-1").await;
    let client = fleet.client();
    who(&client, "login").await.unwrap();
    // Accepts, and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let heavy = node_at("login", "login-2", mute.local_addr().unwrap()).with_weight(1000);
    fleet.put(&heavy);
    until(|| client.nodes("login").len() == 2).await;
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(soon(who(&client, "login")).await.unwrap(), "login-1");
    }
    assert!(begun.elapsed() < ClientConfig::default().connect_timeout);
}

#[tokio::test]
async fn a_frozen_node_is_found_by_a_ping_and_the_error_names_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (frozen, mut freezes) = watch::channel(false);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let _taken = connection.accept().await.unwrap().unwrap();
        frozen.send_replace(true);
        std::future::pending::<()>().await;
    });
    let fleet = Fleet::default();
    fleet.put(&node_at("login", "login-1", address));
    let client = client(&fleet, |config| {
        config.keep_alive = Some(Duration::from_secs(60));
    });
    let options = CallOptions::new().with_timeout(Duration::from_secs(3600));
    let call = tokio::spawn(async move { client.send_bytes("login", "who", options, "").await });
    soon(freezes.wait_for(|frozen| *frozen)).await.unwrap();
    // From here on nothing but time happens.
    tokio::time::pause();
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Indeterminate);
    names(&error, &["`login-1`", &address.to_string()]);
}

#[tokio::test]
async fn what_belonged_to_nodes_that_left_goes_with_them() {
    let fleet = Fleet::default();
    let _node = fleet.start("login", "login-0").await;
    let client = fleet.client();
    who(&client, "login").await.unwrap();
    let alive = || Handle::current().metrics().num_alive_tasks();
    let before = alive();
    for round in 0..1_000 {
        let other = node_at("login", &format!("login-{}", round % 7 + 1), dead_address());
        fleet.put(&other);
        tokio::task::yield_now().await;
        fleet.remove(&other);
    }
    until(|| client.nodes("login").len() == 1 && alive() <= before).await;
    assert_eq!(soon(who(&client, "login")).await.unwrap(), "login-0");
}

#[tokio::test]
async fn names_of_services_that_nobody_ever_saw_are_forgotten() {
    let fleet = Fleet::default();
    let _node = fleet.start("login", "login-1").await;
    let client = fleet.client();
    who(&client, "login").await.unwrap();
    let policy = PolicyKind::Rendezvous.build();
    client.set_policy("expected", policy).unwrap();
    let before = Handle::current().metrics().num_alive_tasks();
    for name in 0..2_500 {
        let error = who(&client, &format!("nobody-{name}")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    let most = before + 1_000;
    until(|| Handle::current().metrics().num_alive_tasks() <= most).await;
    let shown = format!("{client:?}");
    let services = shown.matches("nobody-").count();
    assert!((1..1_000).contains(&services), "{services}");
    assert!(shown.contains("expected"), "something was said of it");
    assert_eq!(soon(who(&client, "login")).await.unwrap(), "login-1");
    // One that was forgotten is followed again.
    let _late = fleet.start("nobody-7", "late-1").await;
    assert_eq!(soon(who(&client, "nobody-7")).await.unwrap(), "late-1");
}
