//! Policies of services, and nodes that are drained by hand.

use crate::support::{Fleet, Running, id, soon, until, who};
use braid_balancer::{PolicyKind, Subset};
use braid_core::{CallOptions, ErrorKind, Token};
use braid_rpc::{Client, ClientConfig, ServerBuilder};
use std::time::Duration;

async fn nodes(fleet: &Fleet, service: &str, count: usize) -> Vec<Running> {
    let mut nodes = Vec::new();
    for index in 1..=count {
        nodes.push(fleet.start(service, &format!("{service}-{index}")).await);
    }
    nodes
}

/// The nodes that the calls of some users went to, in the users' order.
async fn homes(client: &Client, service: &str) -> Vec<String> {
    let mut homes = Vec::new();
    for user in 0..20 {
        let token = Token::new(format!("user-{user}")).unwrap();
        let reply = soon(client.send_bytes(service, "who", token, "")).await;
        homes.push(String::from_utf8(reply.unwrap().into()).unwrap());
    }
    homes
}

#[tokio::test]
async fn a_service_may_have_a_policy_of_its_own_and_another_one_later() {
    let fleet = Fleet::default();
    let (_login, _mail) = (
        nodes(&fleet, "login", 3).await,
        nodes(&fleet, "mail", 3).await,
    );
    let client = fleet.client_with(|builder| builder.policy("login", PolicyKind::Rendezvous));
    let first = homes(&client, "login").await;
    assert_eq!(homes(&client, "login").await, first, "by the user");
    let spread = homes(&client, "mail").await;
    assert_eq!(spread[..3], ["mail-1", "mail-2", "mail-3"], "in turn");

    client
        .set_policy("mail", PolicyKind::Rendezvous.build())
        .unwrap();
    client
        .set_policy("login", PolicyKind::SmoothWeighted.build())
        .unwrap();
    let by_user = homes(&client, "mail").await;
    assert_eq!(homes(&client, "mail").await, by_user);
    assert_eq!(
        homes(&client, "login").await[..3],
        ["login-1", "login-2", "login-3"]
    );
    // Another client, another process: the same homes.
    let other = fleet.client_with(|builder| builder.policy("login", PolicyKind::Rendezvous));
    assert_eq!(homes(&other, "login").await, first);
}

#[tokio::test]
async fn a_node_that_is_drained_by_hand_is_reached_by_name_only() {
    let fleet = Fleet::default();
    let nodes = nodes(&fleet, "login", 2).await;
    let client = fleet.client();
    let first = id("login-1");
    assert!(client.drain("login", &first).unwrap());
    assert!(!client.drain("login", &first).unwrap());
    for _ in 0..10 {
        assert_eq!(soon(who(&client, "login")).await.unwrap(), "login-2");
    }
    assert!(client.nodes("login")[0].drained);
    let named = CallOptions::new().with_node(first.clone());
    let reply = soon(client.send_bytes("login", "who", named, "")).await;
    assert_eq!(reply.unwrap(), "login-1");

    assert!(client.undrain("login", &first).unwrap());
    assert!(!client.undrain("login", &first).unwrap());
    let before = nodes[0].calls();
    soon(async {
        while nodes[0].calls() == before {
            who(&client, "login").await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_subset_of_the_nodes_is_connected_and_called() {
    let fleet = Fleet::default();
    let nodes = nodes(&fleet, "login", 6).await;
    let mut config = ClientConfig::default();
    config.balancing.subset = Some(Subset {
        client: "gate-1".to_owned(),
        size: 2,
    });
    let client = fleet.client_with(|builder| builder.config(config));
    for _ in 0..12 {
        soon(who(&client, "login")).await.unwrap();
    }
    let used = nodes.iter().filter(|node| node.calls() > 0);
    assert_eq!(used.clone().count(), 2);
    assert!(used.clone().all(|node| node.calls() == 6));
    let connected = |client: &Client| {
        let nodes = client.nodes("login").into_iter();
        nodes.filter(|node| node.connections > 0).count()
    };
    assert_eq!(connected(&client), 2);
    // Another one stands in for one that leaves.
    let gone = used.map(|node| node.node.clone()).next().unwrap();
    fleet.remove(&gone);
    until(|| client.nodes("login").len() == 5 && connected(&client) == 2).await;
}

#[tokio::test]
async fn a_node_that_lets_calls_wait_in_vain_gets_few_by_latency() {
    let fleet = Fleet::default();
    let hangs =
        |builder: ServerBuilder| builder.handle("work", |_| async { std::future::pending().await });
    let works = |builder: ServerBuilder| builder.handle("work", |_| async { Ok("done".into()) });
    let _bad = fleet.start_with("mail", "mail-1", hangs).await;
    let _good = fleet.start_with("mail", "mail-2", works).await;
    let client = fleet.client_with(|builder| builder.policy("mail", PolicyKind::PeakEwma));
    let mut given_up = 0;
    for _ in 0..40 {
        let options = CallOptions::new().with_timeout(Duration::from_millis(50));
        match soon(client.send_bytes("mail", "work", options, "")).await {
            Ok(reply) => assert_eq!(reply, "done"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
                given_up += 1;
            }
        }
    }
    // Until it is known, and once in a while when that is long ago.
    assert!(given_up <= 5, "{given_up}");
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_and_named() {
    let fleet = Fleet::default();
    let refused = |change: fn(&mut ClientConfig), name: &str| {
        let mut config = ClientConfig::default();
        change(&mut config);
        let discover = std::sync::Arc::new(fleet.clone());
        let error = Client::builder(discover).config(config).build();
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(name), "{error}");
    };
    refused(|c| c.max_connections = 0, "max_connections");
    refused(|c| c.calls_per_connection = 0, "calls_per_connection");
    refused(|c| c.backoff.base = c.backoff.max * 2, "backoff.base");
    refused(
        |c| {
            c.balancing.subset = Some(Subset {
                client: "x".to_owned(),
                size: 0,
            });
        },
        "subset",
    );
    let discover = std::sync::Arc::new(fleet.clone());
    let unnamed = Client::builder(discover).policy("", PolicyKind::Rendezvous);
    assert_eq!(unnamed.build().unwrap_err().kind(), ErrorKind::Config);
    let client = fleet.client();
    let policy = PolicyKind::Rendezvous.build();
    assert_eq!(
        client.set_policy("", policy).unwrap_err().kind(),
        ErrorKind::Config
    );
}
