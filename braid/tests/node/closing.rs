//! The order in which a node ends.

use super::{SOON, gate, login};
use braid::{Braid, DefaultDirector, NodeState, ShutdownSection, Update, local::Hub, rpc::Server};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

#[tokio::test]
async fn a_node_that_closes_says_first_that_it_is_leaving() {
    let hub = Hub::new();
    let (login, gate) = (
        login(&hub, "login-1").await.unwrap(),
        gate(&hub).await.unwrap(),
    );
    let mut updates = gate.discover().watch(login.service());
    let mut next = async || {
        let update = std::future::poll_fn(|cx| updates.as_mut().poll_next(cx));
        tokio::time::timeout(SOON, update)
            .await
            .expect("discovery is silent")
            .unwrap()
            .unwrap()
    };
    assert!(matches!(next().await, Update::Reset(nodes) if nodes.len() == 1));
    let closing = tokio::spawn(login.close());
    let Update::Upsert(node) = next().await else {
        panic!("the node went without a word")
    };
    assert_eq!(node.state, NodeState::Draining);
    assert_eq!(next().await, Update::Remove(node.node.clone()));
    closing.await.unwrap().unwrap();
    gate.close().await.unwrap();
}

/// What a handler needs in order to finish is there until it has finished.
#[tokio::test]
async fn a_call_under_way_can_publish_call_others_and_rely_on_being_the_master() {
    let hub = Hub::new();
    let (started, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begun, goes_on) = (Arc::clone(&started), Arc::clone(&finish));
    let director = DefaultDirector::local_in(&hub)
        .server_with(move |node| {
            Server::listen("127.0.0.1:0").handle("work", move |_| {
                let (node, begun, goes_on) =
                    (node.clone(), Arc::clone(&begun), Arc::clone(&goes_on));
                async move {
                    begun.notify_one();
                    goes_on.notified().await;
                    node.topic("results").publish("done").await?;
                    let other = node.send_bytes("login", "who", (), "").await?;
                    let leads = node.leadership()?.is_leader();
                    Ok(format!("{leads} {}", String::from_utf8_lossy(&other)).into())
                }
            })
        })
        .shutdown(ShutdownSection {
            notice: Duration::from_millis(10),
            ..Default::default()
        });
    let worker = Braid::start("worker", "worker-1", director).await.unwrap();
    worker.leadership().unwrap().leading().await.unwrap();
    let address = worker.address().unwrap();
    let (login, gate) = (
        login(&hub, "login-1").await.unwrap(),
        gate(&hub).await.unwrap(),
    );
    let mut results = gate.topic("results").subscribe("gate").await.unwrap();

    let caller = gate.handle();
    let call = tokio::spawn(async move { caller.send_bytes("worker", "work", (), "").await });
    started.notified().await;
    let closing = tokio::spawn(worker.close());
    // It lets nobody in any more: what comes after the server in the node's end would come now.
    let closed = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let closed = tokio::time::timeout(SOON, closed).await;
    finish.notify_one();
    closed.expect("the node still lets callers in");
    assert_eq!(call.await.unwrap().unwrap(), "true login-1");
    closing.await.unwrap().unwrap();
    let delivery = tokio::time::timeout(SOON, results.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(delivery.body(), "done");
    delivery.ack().await.unwrap();
    login.close().await.unwrap();
    gate.close().await.unwrap();
}
