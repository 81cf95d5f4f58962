//! Topics through the facade.

use super::{SOON, gate, login};
use braid::{
    Braid, DefaultDirector, NewMessage, PubSub, Start, SubscribeOptions, Token,
    local::Hub,
    reserved::{Body, Role, ServiceEvent, ServiceUpdate, StateChange, Unlink},
};
use futures_util::StreamExt;
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn the_process_topics_tell_of_nodes_and_masters() {
    let hub = Hub::new();
    let gate = gate(&hub).await.unwrap();
    let own = SubscribeOptions::ephemeral;
    let mut updates = gate
        .topic(ServiceUpdate::TOPIC)
        .subscribe_with("test", own())
        .await
        .unwrap();
    let mut states = gate
        .topic(StateChange::TOPIC)
        .subscribe_with("test", own())
        .await
        .unwrap();
    let login = login(&hub, "login-1").await.unwrap();

    let delivery = tokio::time::timeout(SOON, updates.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let update = ServiceUpdate::decode(delivery.body()).unwrap();
    assert_eq!(
        (update.event, update.id.as_str()),
        (ServiceEvent::Add, "login-1")
    );
    delivery.ack().await.unwrap();

    let master = async {
        loop {
            let delivery = states.next().await.unwrap().unwrap();
            let change = StateChange::decode(delivery.body()).unwrap();
            delivery.ack().await.unwrap();
            if change.role == Role::Master && change.id.as_str() == "login-1" {
                break;
            }
        }
    };
    tokio::time::timeout(SOON, master)
        .await
        .expect("nobody said that login-1 is the master");
    login.close().await.unwrap();
    gate.close().await.unwrap();
}

#[tokio::test]
async fn dead_letters_are_seen_and_redriven() {
    let gate = gate(&Hub::new()).await.unwrap();
    let orders = gate.topic("orders");
    let mut inbox = orders.subscribe("billing").await.unwrap();
    let mut all = orders.read(Start::Beginning).await.unwrap();
    let order = NewMessage::new("one")
        .with_dedup_key("order-1")
        .with_delay(Duration::from_millis(10));
    orders.publish(order.clone()).await.unwrap();
    orders.publish(order).await.unwrap();
    let delivery = inbox.next().await.unwrap().unwrap();
    let _ = delivery.dead_letter("no such account").await.unwrap();
    assert_eq!(orders.inspect().await.unwrap().dead_letters, 1);
    assert_eq!(orders.redrive(None).await.unwrap(), 1);
    let again = tokio::time::timeout(SOON, inbox.next()).await;
    let again = again.expect("it is tried again").unwrap().unwrap();
    assert_eq!(
        (again.body().as_ref(), again.message().attempt),
        (&b"one"[..], 1)
    );
    again.ack().await.unwrap();
    assert_eq!(all.next().await.unwrap().unwrap().body, "one");
    gate.close().await.unwrap();
    assert!(
        all.next().await.is_none(),
        "it ends with its node, and saw it once"
    );
}

#[tokio::test]
async fn a_name_that_is_no_topic_is_told_at_the_first_use() {
    let gate = gate(&Hub::new()).await.unwrap();
    let error = gate.topic("").publish("hello").await.unwrap_err();
    assert_eq!(error.to_string(), "core: topic: empty");
    gate.close().await.unwrap();
}

/// Discovery is this process's, the pub-sub is somebody else's: each topic is served where it belongs.
#[tokio::test]
async fn process_topics_stay_in_the_process_when_the_pubsub_is_another() {
    let (hub, elsewhere) = (Hub::new(), Hub::new());
    let far: Arc<dyn PubSub> = Arc::new(elsewhere.pubsub());
    let director =
        DefaultDirector::local_in(&hub).pubsub(Arc::new(elsewhere.pubsub()) as Arc<dyn PubSub>);
    let node = Braid::start("gate", "gate-1", director).await.unwrap();
    let mut updates = node
        .topic(ServiceUpdate::TOPIC)
        .subscribe("test")
        .await
        .unwrap();
    let login = login(&hub, "login-1").await.unwrap();
    let delivery = tokio::time::timeout(SOON, updates.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(
        ServiceUpdate::decode(delivery.body()).unwrap().id.as_str(),
        "login-1"
    );
    delivery.ack().await.unwrap();

    // A cluster topic goes over the pub-sub that was named, and so do the unlinks that the node's own links follow.
    let mut unlinks = far
        .subscribe(
            &Unlink::topic(),
            &"test".try_into().unwrap(),
            SubscribeOptions::shared(),
        )
        .await
        .unwrap();
    let token = Token::new("user-7").unwrap();
    node.send_bytes("login", "who", &token, "").await.unwrap();
    let links = node.links().unwrap();
    assert!(links.cached_target(&token, login.service()).is_some());
    node.leave(token.clone()).await.unwrap();
    let delivery = tokio::time::timeout(SOON, unlinks.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(
        Unlink::decode(delivery.body()).unwrap(),
        Unlink(token.clone())
    );
    delivery.ack().await.unwrap();
    let gone = async {
        while links.cached_target(&token, login.service()).is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, gone)
        .await
        .expect("the link is still there");
    node.close().await.unwrap();
    login.close().await.unwrap();
}
