//! Calls through the facade.

use super::{gate, login};
use braid::{ErrorKind, Token, local::Hub};

#[tokio::test]
async fn a_user_stays_on_a_node_until_it_leaves() {
    let hub = Hub::new();
    let gate = gate(&hub).await.unwrap();
    let first = login(&hub, "login-1").await.unwrap();
    let second = login(&hub, "login-2").await.unwrap();
    let token = Token::new("user-7").unwrap();

    let home = gate.send_bytes("login", "who", &token, "").await.unwrap();
    for _ in 0..20 {
        assert_eq!(
            gate.send_bytes("login", "who", &token, "").await.unwrap(),
            home
        );
    }
    let (leaves, stays) = if home == "login-1" {
        (first, second)
    } else {
        (second, first)
    };
    leaves.close().await.unwrap();
    for _ in 0..20 {
        let answered = gate.send_bytes("login", "who", &token, "").await.unwrap();
        assert_eq!(answered, stays.node().id.as_str());
    }
    stays.close().await.unwrap();
    gate.close().await.unwrap();
}

#[tokio::test]
async fn a_user_who_left_is_linked_anew() {
    let hub = Hub::new();
    let gate = gate(&hub).await.unwrap();
    let login = login(&hub, "login-1").await.unwrap();
    let token = Token::new("user-7").unwrap();
    gate.send_bytes("login", "who", &token, "").await.unwrap();
    let links = gate.links().unwrap();
    assert!(links.cached_target(&token, login.service()).is_some());
    gate.leave(token.clone()).await.unwrap();
    let gone = async {
        while links.cached_target(&token, login.service()).is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::SOON, gone)
        .await
        .expect("the link is still there");
    login.close().await.unwrap();
    gate.close().await.unwrap();
}

#[tokio::test]
async fn an_unknown_service_and_an_empty_token_are_named() {
    let hub = Hub::new();
    let gate = gate(&hub).await.unwrap();
    let error = gate.send_bytes("male", "who", (), "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("`male`"), "{error}");
    let error = gate.send_bytes("login", "who", "", "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("token"), "{error}");
    gate.close().await.unwrap();
}

#[tokio::test]
async fn calls_go_on_without_an_error_while_nodes_come_and_go() {
    let hub = Hub::new();
    let gate = gate(&hub).await.unwrap();
    let mut nodes = vec![login(&hub, "login-a").await.unwrap()];
    let caller = gate.handle();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let calls = tokio::spawn(async move {
        let mut calls = 0;
        while !*stopped.borrow() {
            let user = format!("user-{}", calls % 10);
            caller.send_bytes("login", "who", &user, "").await?;
            caller.send_bytes("login", "who", (), "").await?;
            calls += 2;
        }
        Ok::<usize, braid::Error>(calls)
    });
    for id in [
        "login-b", "login-c", "login-d", "login-e", "login-f", "login-g",
    ] {
        nodes.push(login(&hub, id).await.unwrap());
        nodes.remove(0).close().await.unwrap();
    }
    stop.send_replace(true);
    let calls = calls
        .await
        .unwrap()
        .expect("no call fails while a node is ready");
    assert!(calls > 100, "only {calls} calls");
    for node in nodes {
        node.close().await.unwrap();
    }
    gate.close().await.unwrap();
}
