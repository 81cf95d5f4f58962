//! Dead letters, from topic to topic.

use super::nodes::{Fleet, channel, is_quiet, join, next, shared, text, topic};
use crate::pubsub::PubSubConfig;
use braid_core::{
    Backoff, ErrorKind, NewMessage, Ownership, PubSub, PubSubExt, Start, SubscribeOptions, Topic,
    pubsub::dead_letter,
};
use std::time::Duration;

fn twice() -> SubscribeOptions {
    SubscribeOptions {
        max_attempts: 2,
        backoff: Backoff::NONE,
        ..shared()
    }
}

fn replay() -> SubscribeOptions {
    SubscribeOptions {
        start: Start::Beginning,
        ..shared()
    }
}

#[tokio::test(start_paused = true)]
async fn dead_letter_keeps_everything_and_says_where_it_is_from() {
    let fleet = Fleet::new();
    let node = fleet.node();
    let mut sub = join(&node, "c", twice()).await;
    let message = NewMessage::new("body")
        .with_header("lang", "en")
        .with_key("room");
    let id = node.publish(&topic(), message).await.unwrap();
    for reason in ["first", "second"] {
        let failed = next(&mut sub).await.retry(reason).await;
        assert_eq!(failed.unwrap(), Ownership::Held);
    }

    let dead = topic().dead_letters().unwrap();
    let mut dead = node
        .subscribe(&dead, &channel("ops"), replay())
        .await
        .unwrap();
    let letter = next(&mut dead).await;
    let message = letter.message();
    assert_eq!(message.body, "body");
    assert_eq!(message.key.as_deref(), Some("room"));
    let expected = [
        (dead_letter::ATTEMPTS, "2"),
        (dead_letter::CHANNEL, "c"),
        (dead_letter::ID, id.as_str()),
        (dead_letter::REASON, "second"),
        (dead_letter::TOPIC, "chat.world"),
        ("lang", "en"),
    ];
    let headers = message
        .headers
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()));
    assert_eq!(headers.collect::<Vec<_>>(), expected);
    assert!(
        is_quiet(&mut dead, Duration::from_secs(100)).await,
        "one copy"
    );
}

#[tokio::test(start_paused = true)]
async fn reader_of_dead_letters_is_woken() {
    let fleet = Fleet::new();
    let node = fleet.node();
    let mut sub = join(&node, "c", twice()).await;
    let dead = topic().dead_letters().unwrap();
    let mut dead = node
        .subscribe(&dead, &channel("ops"), shared())
        .await
        .unwrap();
    let waiting = tokio::spawn(async move { next(&mut dead).await });
    tokio::task::yield_now().await;
    fleet.publish("1");
    let poison = next(&mut sub).await;
    assert_eq!(poison.dead_letter("poison").await.unwrap(), Ownership::Held);
    assert_eq!(
        waiting.await.unwrap().message().headers[dead_letter::REASON],
        "poison"
    );
}

#[tokio::test(start_paused = true)]
async fn no_dead_letter_is_lost_at_the_cap_of_its_topic() {
    let config = PubSubConfig {
        capacity: 2,
        history: 0,
        ..PubSubConfig::default()
    };
    let fleet = Fleet::with(config);
    let node = fleet.node();
    let mut sub = join(&node, "c", shared()).await;
    let dead = topic().dead_letters().unwrap();
    let mut ops = node
        .subscribe(&dead, &channel("ops"), shared())
        .await
        .unwrap();
    for round in ["1", "2", "3", "4"] {
        fleet.publish(round);
        let poison = next(&mut sub).await;
        assert_eq!(poison.dead_letter("poison").await.unwrap(), Ownership::Held);
    }
    assert_eq!(fleet.view().channels[0].pending, 2, "3 and 4 wait");
    let refused = fleet.broker.append(&topic(), "5".into()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Rejected);
    assert!(refused.to_string().contains("`chat.world`") && refused.to_string().contains('2'));
    for _ in 0..2 {
        next(&mut ops).await.ack().await.unwrap();
    }
    assert!(
        is_quiet(&mut sub, Duration::from_secs(2)).await,
        "none of them is handed out"
    );
    let mut ids = Vec::new();
    for _ in 0..2 {
        let letter = next(&mut ops).await;
        ids.push(letter.message().headers[dead_letter::ID].clone());
        letter.ack().await.unwrap();
    }
    assert_eq!(ids, ["00000000000000000003", "00000000000000000004"]);
    assert_eq!(fleet.view().channels[0].pending, 0);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_that_nobody_reads_are_kept_beyond_the_history() {
    let config = PubSubConfig {
        capacity: 10,
        history: 1,
        ..PubSubConfig::default()
    };
    let fleet = Fleet::with(config);
    let mut sub = join(&fleet.node(), "c", shared()).await;
    for _ in 0..20 {
        fleet.publish("x");
        let dead = next(&mut sub).await.dead_letter("x").await;
        assert_eq!(dead.unwrap(), Ownership::Held);
    }
    let dead = topic().dead_letters().unwrap();
    assert_eq!(fleet.broker.inspect(&dead).unwrap().messages, 10);
    assert_eq!(fleet.view().messages, 1);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_have_no_dead_letters() {
    let fleet = Fleet::new();
    let node = fleet.node();
    let longest = Topic::new("x".repeat(Topic::MAX_LEN)).unwrap();
    for topic in [topic().dead_letters().unwrap(), longest] {
        let mut sub = node
            .subscribe(&topic, &channel("c"), twice())
            .await
            .unwrap();
        fleet.broker.append(&topic, "1".into()).unwrap();
        let refused = next(&mut sub).await.dead_letter("no").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Rejected);
        assert!(refused.to_string().contains(topic.as_str()));
        for attempt in 2..6 {
            let begin = tokio::time::Instant::now();
            let again = next(&mut sub).await;
            assert_eq!(again.message().attempt, attempt);
            assert!((1000..1005).contains(&begin.elapsed().as_millis()));
            assert_eq!(again.retry("no").await.unwrap(), Ownership::Held);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn redrive_that_is_refused_gives_the_letter_back_and_says_how_far_it_came() {
    let config = PubSubConfig {
        capacity: 3,
        ..PubSubConfig::default()
    };
    let fleet = Fleet::with(config);
    let node = fleet.node();
    let mut sub = join(&node, "c", shared()).await;
    for body in ["1", "2"] {
        fleet.publish(body);
        let _ = next(&mut sub).await.dead_letter("no").await.unwrap();
    }
    fleet.publish("3");
    fleet.publish("4");
    let held = [next(&mut sub).await, next(&mut sub).await];
    let error = node.redrive(&topic(), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.to_string().contains("after 1 letters"), "{error}");
    let first = next(&mut sub).await;
    assert_eq!(text(&first), "1");
    for delivery in [first].into_iter().chain(held) {
        delivery.ack().await.unwrap();
    }
    assert_eq!(node.redrive(&topic(), None).await.unwrap(), 1);
    assert_eq!(text(&next(&mut sub).await), "2");
}
