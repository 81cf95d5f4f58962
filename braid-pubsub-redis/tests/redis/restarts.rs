//! Servers that go and come back with all that they had answered (P1, P11).

use crate::support::{Reader, info, names, node, patient, publish, quick, text};
use braid_core::{Channel, ErrorKind, NewMessage, PubSub, SubscribeOptions};
use braid_pubsub_redis::PubSubConfig;
use braid_testkit::{
    Random, SETTLED, eventually,
    redis::{Persistence, RedisServer},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::time::sleep;

async fn durable_server() -> RedisServer {
    RedisServer::builder()
        .persistence(Persistence::AofAlways)
        .start()
        .await
}

#[tokio::test]
async fn subscriptions_go_on_after_the_server_has_restarted() {
    for (killed, keyed) in [(false, false), (true, false), (false, true), (true, true)] {
        let server = durable_server().await;
        let (node, (topic, channel)) = (node(quick(server.url())).await, names());
        let message = |body: &str| match keyed {
            true => NewMessage::new(body.to_owned()).with_key(body),
            false => NewMessage::new(body.to_owned()),
        };
        let mut reader = Reader::start(&node, &topic, &channel, patient()).await;
        publish(&node, &topic, message("acked")).await;
        publish(&node, &topic, message("held")).await;
        reader.expect("acked").await;
        let held = reader.next().await;
        eventually("the ack is there", SETTLED, async || {
            let view = node.inspect(&topic).await.expect("it is there");
            view.channels
                .iter()
                .map(|channel| channel.pending)
                .sum::<usize>()
                == 1
        })
        .await;

        if killed {
            server.kill();
        }
        server.restart().await;
        publish(&node, &topic, message("after")).await;
        reader.expect("after").await;
        assert!(reader.faults.len() <= 1, "{:?}", reader.faults);
        held.ack().await.expect("it is still held");
        eventually("all is acked", SETTLED, async || {
            let view = node.inspect(&topic).await.expect("it is there");
            view.channels.iter().all(|channel| channel.pending == 0)
        })
        .await;
        reader.silent(Duration::from_millis(100)).await;
        node.stop().await;
    }
}

/// What publishers and a subscriber have seen under load.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    next: AtomicUsize,
    acked: Mutex<BTreeSet<usize>>,
    seen: Mutex<BTreeSet<usize>>,
    deliveries: AtomicUsize,
}

impl Load {
    fn counts(&self) -> (usize, usize) {
        let acked = self.acked.lock().expect("nobody panics").len();
        (acked, self.seen.lock().expect("nobody panics").len())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acked_publish_is_lost_when_the_server_is_killed_under_load() {
    const PUBLISHERS: usize = 8;
    const KILLS: usize = 4;
    let mut random = Random::from_env();
    let server = durable_server().await;
    // As anybody has it.
    let config = PubSubConfig::new(server.url());
    let (node, (topic, channel)) = (Arc::new(node(config).await), names());
    let load = Arc::new(Load::default());
    let mut reader = Reader::start(&node, &topic, &channel, patient()).await;
    // Drained when nothing is killed any more.
    let audit = Channel::new("audit").expect("it is short");
    let mut later = Reader::start(&node, &topic, &audit, patient()).await;

    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|_| {
            let (node, topic, load) = (Arc::clone(&node), topic.clone(), Arc::clone(&load));
            tokio::spawn(async move {
                while !load.stop.load(Ordering::Relaxed) {
                    let number = load.next.fetch_add(1, Ordering::Relaxed);
                    match node
                        .publish(&topic, NewMessage::new(number.to_string()))
                        .await
                    {
                        Ok(_) => drop(load.acked.lock().expect("whole").insert(number)),
                        Err(error) => assert!(
                            matches!(
                                error.kind(),
                                ErrorKind::Unavailable
                                    | ErrorKind::Indeterminate
                                    | ErrorKind::Timeout
                            ),
                            "{error}"
                        ),
                    }
                }
            })
        })
        .collect();
    let draining = tokio::spawn({
        let load = Arc::clone(&load);
        async move {
            loop {
                let delivery = reader.delivery().await;
                let number = text(&delivery).parse().expect("a number");
                delivery.ack().await.expect("the worker runs");
                load.seen.lock().expect("whole").insert(number);
                load.deliveries.fetch_add(1, Ordering::Relaxed);
            }
        }
    });

    for kill in 0..KILLS {
        let (acked, seen) = load.counts();
        eventually("there is load", SETTLED, async || {
            let now = load.counts();
            now.0 > acked + 50 && now.1 > seen + 50
        })
        .await;
        sleep(random.time_below(Duration::from_millis(100))).await;
        server.kill();
        sleep(random.time_below(Duration::from_millis(500))).await;
        server.restart().await;
        let (back, (acked, seen)) = (Instant::now(), load.counts());
        eventually("it goes on", Duration::from_secs(2), async || {
            let now = load.counts();
            now.0 > acked && now.1 > seen
        })
        .await;
        println!("kill {kill}: resumed after {:?}", back.elapsed());
    }
    load.stop.store(true, Ordering::Relaxed);
    for publisher in publishers {
        publisher.await.expect("no other error came");
    }
    let acked = load.acked.lock().expect("whole").clone();
    eventually(
        "everything that was acked is delivered",
        SETTLED,
        async || acked.is_subset(&load.seen.lock().expect("whole")),
    )
    .await;
    draining.abort();
    let mut missing = acked.clone();
    while !missing.is_empty() {
        let delivery = later.next().await;
        missing.remove(&text(&delivery).parse().expect("a number"));
        delivery.ack().await.expect("the worker runs");
    }
    println!(
        "{} acked publishes over {KILLS} kills, 0 lost; {} deliveries of {} messages",
        acked.len(),
        load.deliveries.load(Ordering::Relaxed),
        load.counts().1,
    );
    assert_eq!(
        info(&server, "persistence", "aof_enabled").await.as_deref(),
        Some("1")
    );
}

/// As a consumer that is killed, or leaves, between reading a message and putting it off.
#[tokio::test]
async fn a_delayed_message_whose_reader_is_gone_waits_for_its_time() {
    const DELAY: Duration = Duration::from_millis(1500);
    let server = RedisServer::builder().start().await;
    let (node, (topic, channel)) = (node(quick(server.url())).await, names());
    let options = SubscribeOptions {
        claim_after: Duration::from_millis(200),
        ..patient()
    };
    let first = node.subscribe(&topic, &channel, options.clone()).await;
    let closed = first.expect("it is there").close().await;
    closed.expect("it is there");
    let published = Instant::now();
    let message = NewMessage::new("later").with_delay(DELAY);
    publish(&node, &topic, message).await;
    let read = [
        "XREADGROUP",
        "GROUP",
        channel.as_str(),
        "gone",
        "STREAMS",
        topic.as_str(),
        ">",
    ];
    assert_eq!(server.command(&read).await.items().len(), 1);
    let mut reader = Reader::start(&node, &topic, &channel, options).await;
    reader.expect("later").await;
    // The server's clock and this one are read within some milliseconds of each other.
    let waited = published.elapsed() + Duration::from_millis(5);
    assert!(waited >= DELAY, "it came after {waited:?}");
    node.stop().await;
}
