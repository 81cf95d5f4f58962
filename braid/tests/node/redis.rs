//! A node whose topics are on Redis.

use super::{SOON, alive_tasks, no_more_tasks_than};
use braid::{
    Braid, DefaultDirector, ErrorKind, Result, Start, Topic,
    redis::{PubSubConfig, RedisConfig},
    reserved::{Body, ServiceUpdate, StateChange},
    rpc::Server,
};
use braid_testkit::{eventually, redis::shared, within};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpSocket, sync::Notify};

/// A node with nothing but Redis between it and the next one.
async fn node(id: &str) -> Result<Braid> {
    let topics = PubSubConfig::new(shared().await.url());
    let director = DefaultDirector::local().pubsub(topics).without_server();
    Braid::start("gate", id, director).await
}

#[tokio::test]
async fn nodes_that_share_a_server_talk_by_a_topic() {
    let (here, there) = (node("gate-1").await.unwrap(), node("gate-2").await.unwrap());
    assert_eq!(here.pubsub().name(), "pubsub-redis");
    let mut inbox = there.topic("facade.talk").subscribe("there").await.unwrap();
    here.topic("facade.talk").publish("hello").await.unwrap();
    let delivery = within("the message", SOON, inbox.next()).await;
    let delivery = delivery.unwrap().unwrap();
    assert_eq!(delivery.body(), "hello");
    delivery.ack().await.unwrap();
    here.close().await.unwrap();
    there.close().await.unwrap();
}

#[tokio::test]
async fn process_topics_stay_off_the_server() {
    let node = node("gate-1").await.unwrap();
    let mut states = node
        .topic(StateChange::TOPIC)
        .subscribe("test")
        .await
        .unwrap();
    let updates = node
        .topic(ServiceUpdate::TOPIC)
        .subscribe("test")
        .await
        .unwrap();
    // It may have become the master before anybody listened; that it steps down is told in any case.
    node.leadership().unwrap().leading().await.unwrap();
    node.resign().await.unwrap();
    let told = within("a change of state", SOON, states.next()).await;
    let told = told.unwrap().unwrap();
    assert_eq!(StateChange::decode(told.body()).unwrap().id, node.node().id);
    told.ack().await.unwrap();

    node.topic("facade.fleet").publish("hello").await.unwrap();
    let on_server = node.pubsub().topics().await.unwrap();
    let is_there = |name: &str| on_server.contains(&Topic::new(name).unwrap());
    assert!(is_there("facade.fleet"), "{on_server:?}");
    for topic in [ServiceUpdate::TOPIC, StateChange::TOPIC] {
        assert!(!is_there(topic), "`{topic}` is among {on_server:?}");
    }
    drop((states, updates));
    node.close().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_away_fails_the_start_with_its_address() {
    // Bound and not listening: refused, and nobody else gets the port.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    let before = alive_tasks();
    let topics = PubSubConfig {
        redis: RedisConfig {
            start_timeout: Duration::from_millis(300),
            ..RedisConfig::new(format!("redis://{address}"))
        },
        ..PubSubConfig::default()
    };
    let started = Instant::now();
    let error = Braid::start("gate", "gate-1", DefaultDirector::local().pubsub(topics))
        .await
        .unwrap_err();
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains(&address), "{error}");
    no_more_tasks_than(before).await;
}

#[tokio::test]
async fn what_waiting_cannot_cure_fails_the_start_at_once() {
    let url = shared().await.url_as("nobody", "s3cr3t");
    let patient = |url: String| {
        let mut topics = PubSubConfig::new(url);
        topics.redis.start_timeout = SOON * 100;
        DefaultDirector::local().pubsub(topics).without_server()
    };
    for (url, named) in [
        (url, "WRONGPASS"),
        ("http://127.0.0.1:6379".to_owned(), "http"),
    ] {
        let start = Braid::start("gate", "gate-1", patient(url));
        let error = within("an error", SOON, start).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(named), "{error}");
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
    }
}

#[tokio::test]
async fn a_start_that_fails_later_leaves_no_connection() {
    let url = shared().await.url();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::listen(taken.local_addr().unwrap().to_string());
    let before = alive_tasks();
    let director = DefaultDirector::local()
        .pubsub(PubSubConfig::new(url))
        .server(server);
    let error = Braid::start("gate", "gate-1", director).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    no_more_tasks_than(before).await;
}

#[tokio::test]
async fn a_node_that_closes_finishes_its_messages_and_leaves_no_task() {
    shared().await;
    let before = alive_tasks();
    let first = node("gate-1").await.unwrap();
    let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let topic = first.topic("facade.drain");
    let inbox = topic.subscribe("workers").await.unwrap();
    let results = first.topic("facade.drained");
    let handler = (Arc::clone(&begun), Arc::clone(&finish), results);
    let consumer = inbox.arrived(move |message| {
        let (begun, finish, results) = handler.clone();
        async move {
            begun.notify_one();
            finish.notified().await;
            results.publish(message.body).await.map(|_| ())
        }
    });
    topic.publish("work").await.unwrap();
    within("the message", SOON, begun.notified()).await;

    let closing = tokio::spawn(first.close());
    // It takes nobody in any more.
    eventually("a draining pub-sub", SOON, async || {
        topic.read(Start::Beginning).await.is_err()
    })
    .await;
    finish.notify_one();
    within("the end", SOON, closing).await.unwrap().unwrap();
    consumer.close().await.unwrap();
    no_more_tasks_than(before).await;

    let second = node("gate-2").await.unwrap();
    let view = second.topic("facade.drain").inspect().await.unwrap();
    let [workers] = &view.channels[..] else {
        panic!("one channel: {view:?}")
    };
    assert_eq!((workers.lag, workers.pending), (0, 0), "{view:?}");
    let results = second.topic("facade.drained").inspect().await.unwrap();
    assert_eq!(
        results.messages, 1,
        "a handler can publish while its node drains"
    );
    second.close().await.unwrap();
}
