//! Topics through the facade.

use super::{SOON, gate, login};
use braid::{
    SubscribeOptions,
    local::Hub,
    reserved::{Body, Role, ServiceEvent, ServiceUpdate, StateChange},
};

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
async fn a_name_that_is_no_topic_is_told_at_the_first_use() {
    let gate = gate(&Hub::new()).await.unwrap();
    let error = gate.topic("").publish("hello").await.unwrap_err();
    assert_eq!(error.to_string(), "core: topic: empty");
    gate.close().await.unwrap();
}
