//! Calls by name.

use crate::support::{Fleet, dead_address, id, names, node_at, service, soon, until, who};
use braid_core::{Call, CallOptions, Error, ErrorKind, NodeState, Token};
use braid_rpc::{
    ClientConfig, RawRequest,
    proto::{Header, RouteReq, RouteRes},
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpSocket, TcpStream},
    sync::Notify,
};
use tonic::service::InterceptorLayer;

#[tokio::test]
async fn a_raw_handler_is_told_all_there_is_to_know() {
    let fleet = Fleet::default();
    let got = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&got);
    let _node = fleet
        .start_with("login", "login-1", |builder| {
            builder.handle("/user.password", move |request: RawRequest| {
                *kept.lock().unwrap() = Some(request);
                async { Ok(Bytes::from("done")) }
            })
        })
        .await;
    let client = fleet.client();
    let token = Token::new("user-1").unwrap();
    for method in ["user.password", "/user.password"] {
        let options = CallOptions::new()
            .with_token(token.clone())
            .with_timeout(Duration::from_secs(60))
            .with_metadata("trace", "t-1");
        let reply = client.send_bytes("login", method, options, "secret").await;
        assert_eq!(reply.unwrap(), "done");
        let request = got.lock().unwrap().take().unwrap();
        assert_eq!(request.method, "user.password");
        assert_eq!(request.service, "login");
        assert_eq!(request.body, "secret");
        assert_eq!(request.token, Some(token.clone()));
        assert_eq!(request.caller.as_ref().unwrap().id, id("test-1"));
        assert_eq!(request.caller.as_ref().unwrap().service, service("test"));
        assert!(request.deadline.unwrap().remaining() > Duration::from_secs(50));
        assert_eq!(request.meta, [("trace".to_owned(), "t-1".to_owned())]);
        let shown = format!("{request:?}");
        assert!(
            !shown.contains("secret") && !shown.contains("user-1"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_full_path_goes_direct_with_messages_and_with_bytes() {
    let fleet = Fleet::default();
    let _node = fleet.start("login", "login-1").await;
    let client = fleet.client();
    let request = RouteReq {
        service: "echo".to_owned(),
        req_body: "hello".into(),
        meta: vec![Header::default()],
        ..RouteReq::default()
    };
    let path = "/proto.listen/routing";
    let reply: RouteRes = client.send("login", path, (), &request).await.unwrap();
    assert_eq!(reply.res_body, "hello");

    let encoded = prost::Message::encode_to_vec(&request);
    let reply = client.send_bytes("login", path, (), encoded).await.unwrap();
    let reply: RouteRes = prost::Message::decode(reply).unwrap();
    assert_eq!(reply.res_body, "hello");

    let generic: Arc<dyn Call> = Arc::new(client);
    let login = service("login");
    let reply = generic.call(&login, "echo", CallOptions::new(), "hello".into());
    assert_eq!(reply.await.unwrap(), "hello");
}

#[tokio::test]
async fn calls_are_spread_by_weight() {
    let fleet = Fleet::default();
    let mut nodes = Vec::new();
    for (node_id, weight) in [("login-1", 5), ("login-2", 3), ("login-3", 1)] {
        let node = fleet.start("login", node_id).await;
        fleet.put(&node.node.clone().with_weight(weight));
        nodes.push(node);
    }
    let client = fleet.client();
    let mut counts = BTreeMap::new();
    for _ in 0..90 {
        *counts
            .entry(who(&client, "login").await.unwrap())
            .or_insert(0) += 1;
    }
    let shares: Vec<_> = counts.into_values().collect();
    assert_eq!(shares, [50, 30, 10]);
}

#[tokio::test]
async fn an_unknown_service_is_not_found_and_named() {
    let client = Fleet::default().client();
    let error = soon(who(&client, "nowhere")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    names(&error, &["`nowhere`"]);
}

#[tokio::test]
async fn a_service_whose_nodes_take_no_calls_is_unavailable_and_named() {
    let fleet = Fleet::default();
    let node = fleet.start("login", "login-1").await;
    let client = fleet.client();
    who(&client, "login").await.unwrap();

    for state in [NodeState::Draining, NodeState::NotReady] {
        fleet.put(&node.node.clone().with_state(state));
        until(|| client.nodes("login")[0].node.state == state).await;
        let error = soon(who(&client, "login")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        names(&error, &["`login`"]);
    }
    fleet.remove(&node.node);
    until(|| client.nodes("login").is_empty()).await;
    let error = soon(who(&client, "login")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    names(&error, &["`login`", "no node at present"]);
}

#[tokio::test]
async fn an_unknown_method_is_not_found_and_named() {
    let fleet = Fleet::default();
    let _node = fleet.start("login", "login-1").await;
    let client = fleet.client();
    for method in [
        "user.nothing",
        "/user.Nothing/Do",
        "/grpc.health.v1.Health/Do",
    ] {
        let error = client
            .send_bytes("login", method, (), "")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        names(&error, &["`login`", method]);
    }
}

#[tokio::test]
async fn malformed_input_is_refused_before_anything_is_sent() {
    let fleet = Fleet::default();
    let node = fleet.start("login", "login-1").await;
    let client = fleet.client();
    let refused = async |method: &str, options: Result<CallOptions, Error>| {
        let call = async { client.send_bytes("login", method, options?, "").await };
        let error = call.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        error
    };
    let none = || Ok(CallOptions::new());
    for method in ["", "/", "//x", "/a/b/c", "a b", "/a b/c", "a\n"] {
        names(&refused(method, none()).await, &["method"]);
    }
    for key in ["grpc-timeout", "braid-token-bin", "TE", "a b", ""] {
        let options = CallOptions::new().with_metadata(key, "1");
        names(&refused("who", Ok(options)).await, &[&format!("{key:?}")]);
    }
    let options = CallOptions::new().with_metadata("key", "line\nbreak");
    names(&refused("who", Ok(options)).await, &["\"key\""]);

    let error = client.send_bytes("login", "who", "", "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    names(&error, &["token", "empty"]);
    let long = "x".repeat(64 << 10);
    let error = client.send_bytes("login", "who", &long, "").await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    names(&error, &["token", "65536 bytes", "4096"]);
    let error = who(&client, "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    names(&error, &["service name", "empty"]);
    assert_eq!(node.calls(), 0);
}

#[tokio::test]
async fn a_dead_node_is_passed_over_for_one_that_lives() {
    let fleet = Fleet::default();
    let node = fleet.start("login", "login-2").await;
    // The heaviest by far, and nobody is there.
    fleet.put(&node_at("login", "login-1", dead_address()).with_weight(100));
    let client = fleet.client();
    for _ in 0..50 {
        assert_eq!(who(&client, "login").await.unwrap(), "login-2");
    }
    assert_eq!(node.calls(), 50);
}

#[tokio::test]
async fn when_all_are_dead_the_call_fails_fast_and_says_who() {
    let fleet = Fleet::default();
    let dead = dead_address();
    fleet.put(&node_at("login", "login-1", dead));
    fleet.put(&node_at("login", "login-2", dead));
    let client = fleet.client();
    let begun = Instant::now();
    let error = soon(who(&client, "login")).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_retryable());
    names(&error, &["`login`", "login-", &dead.to_string()]);
}

#[tokio::test]
async fn a_node_that_comes_back_is_called_again() {
    let fleet = Fleet::default();
    let behind = Fleet::default().start("login", "login-1").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    fleet.put(&node_at("login", "login-1", socket.local_addr().unwrap()));
    let client = fleet.client();
    let error = soon(who(&client, "login")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);

    let listener = socket.listen(16).unwrap();
    let (accepted, cut) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    tokio::spawn({
        let (accepted, cut) = (Arc::clone(&accepted), Arc::clone(&cut));
        async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, SeqCst);
                let mut far = TcpStream::connect(behind.node.address).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    () = cut.notified() => {}
                }
            }
        }
    });
    soon(async {
        // It is tried again when a short wait is over.
        while let Err(error) = who(&client, "login").await {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(soon(who(&client, "login")).await.unwrap(), "login-1");
    assert_eq!(accepted.load(SeqCst), 1, "one connection serves many calls");
    cut.notify_one();
    soon(async {
        while accepted.load(SeqCst) == 1 {
            if let Err(error) = who(&client, "login").await {
                // It was under way at that moment, or the connection is as short-lived as one that could not be made.
                let kinds = [ErrorKind::Indeterminate, ErrorKind::Unavailable];
                assert!(kinds.contains(&error.kind()), "{error}");
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(soon(who(&client, "login")).await.unwrap(), "login-1");
}

#[tokio::test]
async fn a_call_that_names_a_node_goes_there_and_nowhere_else() {
    let fleet = Fleet::default();
    let heavy = fleet.start("login", "login-1").await;
    fleet.put(&heavy.node.clone().with_weight(100));
    let draining = fleet.start("login", "login-2").await;
    fleet.put(&draining.node.clone().with_state(NodeState::Draining));
    let client = fleet.client_with(|builder| {
        builder.config(ClientConfig {
            node_wait: Duration::from_millis(20),
            ..ClientConfig::default()
        })
    });
    let at = |node_id| CallOptions::new().with_node(id(node_id));
    for _ in 0..5 {
        let reply = client.send_bytes("login", "who", at("login-2"), "").await;
        assert_eq!(reply.unwrap(), "login-2");
    }
    let error = client.send_bytes("login", "who", at("login-3"), "").await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    names(&error, &["`login`", "`login-3`"]);
    assert_eq!(heavy.calls(), 0);
}

#[tokio::test]
async fn a_named_node_is_waited_for_a_little() {
    let fleet = Fleet::default();
    let node = crate::support::Running::start("login", "login-1", "127.0.0.1:0", |b| b).await;
    let client = fleet.client_with(|builder| {
        builder.config(ClientConfig {
            node_wait: Duration::from_secs(60),
            ..ClientConfig::default()
        })
    });
    let options = CallOptions::new().with_node(id("login-1"));
    let call = client.send_bytes("login", "who", options, "");
    let (reply, ()) = tokio::join!(call, async {
        // Whether it comes before or after the call began makes no difference.
        tokio::task::yield_now().await;
        fleet.put(&node.node);
    });
    assert_eq!(reply.unwrap(), "login-1");
}

#[tokio::test]
async fn a_removed_node_is_never_called_once_its_removal_was_seen() {
    let fleet = Fleet::default();
    let leaves = fleet.start("login", "login-1").await;
    let stays = fleet.start("login", "login-2").await;
    let client = fleet.client();
    for _ in 0..10 {
        who(&client, "login").await.unwrap();
    }
    assert_eq!((leaves.calls(), stays.calls()), (5, 5));
    fleet.remove(&leaves.node);
    until(|| client.nodes("login").len() == 1).await;
    for _ in 0..20 {
        who(&client, "login").await.unwrap();
    }
    assert_eq!((leaves.calls(), stays.calls()), (5, 25));
}

#[tokio::test]
async fn an_idle_client_keeps_the_last_of_many_updates() {
    let fleet = Fleet::default();
    let node = fleet.start("login", "login-0").await;
    let client = fleet.client();
    who(&client, "login").await.unwrap();
    for round in 1..=1_000_u32 {
        fleet.put(&node.node.clone().with_weight(round));
        let other = node_at(
            "login",
            &format!("login-{}", round % 10 + 1),
            dead_address(),
        );
        fleet.put(&other);
        fleet.remove(&other);
    }
    until(|| {
        let nodes = client.nodes("login");
        nodes.len() == 1 && nodes[0].node.weight == 1_000
    })
    .await;
    assert_eq!(client.nodes("login")[0].in_flight, 0);
}

#[tokio::test]
async fn the_error_of_a_handler_arrives_with_its_kind_and_text() {
    let fleet = Fleet::default();
    let kinds = [
        ErrorKind::Rejected,
        ErrorKind::NotFound,
        ErrorKind::Conflict,
        ErrorKind::Unavailable,
        ErrorKind::Indeterminate,
        ErrorKind::Internal,
    ];
    let _node = fleet
        .start_with("login", "login-1", |builder| {
            builder.handle("fail", move |request: RawRequest| async move {
                let kind = kinds[usize::from(request.body[0])];
                Err(Error::new(kind, "app", "fail", "over \u{1f525} 100 %"))
            })
        })
        .await;
    let client = fleet.client();
    for (index, kind) in (0..).zip(kinds) {
        let error = client.send_bytes("login", "fail", (), vec![index]).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), kind);
        names(&error, &["`login`", "`fail`", "over \u{1f525} 100 %"]);
    }
}

#[tokio::test]
async fn requests_are_compressed_by_configuration_only() {
    let (fleet, encodings) = (Fleet::default(), Arc::new(Mutex::new(Vec::new())));
    let log = Arc::clone(&encodings);
    let layer = InterceptorLayer::new(move |request: tonic::Request<()>| {
        let encoding = request.metadata().get("grpc-encoding").cloned();
        log.lock().unwrap().push(encoding);
        Ok(request)
    });
    let _node = fleet
        .start_with("login", "login-1", |b| b.layer(layer))
        .await;
    let body = Bytes::from(vec![b'x'; 1 << 20]);
    for gzip in [false, true] {
        let config = ClientConfig {
            gzip,
            ..ClientConfig::default()
        };
        let client = fleet.client_with(|builder| builder.config(config));
        let reply = client.send_bytes("login", "echo", (), body.clone()).await;
        assert_eq!(reply.unwrap(), body);
    }
    assert_eq!(
        *encodings.lock().unwrap(),
        [None, Some("gzip".parse().unwrap())]
    );
}
