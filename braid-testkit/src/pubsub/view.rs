//! P1 and P7: reads without taking part, and what is shown of topics.

use super::support::{
    ack, next, nothing_left, numbers, patient, publish, publish_numbers, start, subscribe, take,
    view,
};
use crate::{PubSubHarness, SETTLED, eventually, eventually_eq, fresh, within};
use braid_core::{
    BoxStream, ErrorKind, Message, NewMessage, PubSub, Result, Start, SubscribeOptions, Topic,
    pubsub::dead_letter,
};
use futures_util::StreamExt;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep, timeout};

type Reader = BoxStream<'static, Result<Message>>;

async fn read(pubsub: &dyn PubSub, topic: &Topic, start: Start) -> Reader {
    within("the read", SETTLED, pubsub.read(topic, start))
        .await
        .unwrap_or_else(|error| panic!("read: {error}"))
}

async fn next_read(reader: &mut Reader) -> Message {
    within("the next message", SETTLED, reader.next())
        .await
        .expect("a reader goes on while its backend runs")
        .unwrap_or_else(|error| panic!("a fault that nobody made: {error}"))
}

/// The bodies of the next messages, all in their first attempt.
async fn bodies(reader: &mut Reader, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    while bodies.len() < count {
        let message = next_read(reader).await;
        assert_eq!(message.attempt, 1);
        bodies.push(String::from_utf8_lossy(&message.body).into_owned());
    }
    bodies
}

async fn quiet(reader: &mut Reader, duration: Duration) {
    let next = timeout(duration, reader.next()).await;
    assert!(next.is_err(), "nothing was due, but {next:?} came");
}

pub async fn p1_broadcast_read_shows_every_message<H: PubSubHarness>(h: &H) {
    let (one, two) = (start(h).await, start(h).await);
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    // Takes what it is given, acks nothing: the topic keeps all.
    let mut holding = subscribe(&*one, &topic, &channel, patient()).await;
    publish_numbers(&*one, &topic, 0..10).await;
    let held = take(&mut holding, 10).await;
    let (mut here, mut there) = (
        read(&*one, &topic, Start::New).await,
        read(&*two, &topic, Start::New).await,
    );
    let mut all = read(&*two, &topic, Start::Beginning).await;
    let fifth = held[4].message().id.clone();
    let mut behind = read(&*one, &topic, Start::After(fifth)).await;
    publish_numbers(&*two, &topic, 10..50).await;
    assert_eq!(bodies(&mut here, 40).await, numbers(10..50));
    assert_eq!(bodies(&mut there, 40).await, numbers(10..50));
    assert_eq!(bodies(&mut all, 50).await, numbers(0..50));
    assert_eq!(bodies(&mut behind, 45).await, numbers(5..50));

    // What is for one channel isn't for readers; what is delayed comes when it is due.
    let only = NewMessage::new("only").with_header(dead_letter::ONLY_CHANNEL, channel.as_str());
    publish(&*one, &topic, only).await;
    let due = Instant::now() + h.slack() - Duration::from_millis(5);
    let delayed = NewMessage::new("later").with_delay(h.slack());
    publish(&*one, &topic, delayed).await;
    let full = NewMessage::new("full")
        .with_key("k")
        .with_header("lang", "en");
    let id = publish(&*one, &topic, full).await;
    let message = next_read(&mut here).await;
    assert_eq!(message.body, "full");
    assert_eq!((message.id, message.key.as_deref()), (id, Some("k")));
    assert_eq!(message.headers.get("lang").map(String::as_str), Some("en"));
    assert_eq!(bodies(&mut here, 1).await, ["later"]);
    assert!(Instant::now() >= due, "it came early");
    // Which is first there depends on when it looks.
    let mut both = bodies(&mut there, 2).await;
    both.sort();
    assert_eq!(both, ["full", "later"]);

    // Nothing of it is left, and nobody was kept from anything.
    let shown = one.inspect(&topic).await.unwrap();
    let names: Vec<_> = shown.channels.iter().map(|view| &view.name).collect();
    assert_eq!(names, [&channel]);
    for delivery in held {
        ack(delivery).await;
    }
    for delivery in take(&mut holding, 43).await {
        assert_eq!(delivery.message().attempt, 1);
        ack(delivery).await;
    }
    nothing_left(&*one, &topic, &channel).await;
    quiet(&mut here, h.slack()).await;

    let closed = one.component();
    one.stop().await;
    let end = within("the end of a closed backend's stream", SETTLED, here.next()).await;
    assert!(end.is_none(), "{end:?}");
    let error = closed.read(&topic, Start::New).await.err();
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Closed));
    publish(&*two, &topic, "still").await;
    assert_eq!(bodies(&mut there, 1).await, ["still"]);
    two.stop().await;
}

pub async fn p7_slow_reader_holds_nothing_back<H: PubSubHarness>(h: &H) {
    let (node, topic, channel) = (start(h).await, fresh::topic(h, "t"), fresh::channel("c"));
    let mut subscription = subscribe(&*node, &topic, &channel, patient()).await;
    let mut slow = read(&*node, &topic, Start::New).await;
    let count = h.limits().retained + 500;
    publish_numbers(&*node, &topic, 0..count).await;
    for _ in 0..count {
        ack(next(&mut subscription).await).await;
    }
    let what = "what every channel has acked is removed, whatever the reader has seen";
    eventually(what, SETTLED, async || {
        node.inspect(&topic).await.unwrap().messages <= h.limits().retained
    })
    .await;
    publish(&*node, &topic, count.to_string()).await;
    // It gets what is left, in order, and is told when that isn't all, where the backend can tell.
    let mut last = None;
    while last != Some(count) {
        let next = within("the last message", SETTLED, slow.next()).await;
        match next.expect("the stream goes on") {
            Ok(message) => {
                let number = String::from_utf8_lossy(&message.body).parse().unwrap();
                assert!(last.is_none_or(|last| last < number), "out of order");
                last = Some(number);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
    }
    ack(next(&mut subscription).await).await;
    node.stop().await;
}

pub async fn p7_view_tells_how_far_a_channel_is<H: PubSubHarness>(h: &H) {
    // Clocks of servers differ a little from ours.
    let tolerance = Duration::from_secs(60);
    let (node, other) = (start(h).await, start(h).await);
    let (topic, channel) = (fresh::topic(h, "t"), fresh::channel("c"));
    // Others may use the same server.
    assert!(!node.topics().await.unwrap().contains(&topic));
    let options = SubscribeOptions {
        max_in_flight: 4,
        ..patient()
    };
    let mut busy = subscribe(&*node, &topic, &channel, options.clone()).await;
    let shown = view(&*other, &topic, &channel).await;
    assert_eq!((shown.lag, shown.pending, shown.oldest), (0, 0, None));
    let before = SystemTime::now();
    publish_numbers(&*other, &topic, 0..10).await;
    let mut held = take(&mut busy, 4).await;
    let first = held[0].message().timestamp;
    let what = "six are untouched, four are held by one (lag, pending, consumers)";
    eventually_eq(what, h.slack(), (6, 4, 1), async || {
        let shown = view(&*other, &topic, &channel).await;
        (shown.lag, shown.pending, shown.consumers)
    })
    .await;
    let shown = view(&*other, &topic, &channel).await;
    assert!(before - tolerance < first && first < before + tolerance + SETTLED);
    assert_eq!(shown.oldest, Some(first), "the oldest is one that is held");
    assert_eq!(
        shown.members.iter().map(|m| m.pending).collect::<Vec<_>>(),
        [4]
    );
    assert!(!shown.members[0].name.is_empty());

    // What is acked in the middle makes it no younger; what is acked at the front does.
    ack(held.remove(1)).await;
    sleep(h.slack()).await;
    let at_front = view(&*other, &topic, &channel).await.oldest;
    assert_eq!(at_front, Some(first));
    let third = held[1].message().timestamp;
    ack(held.remove(0)).await;
    let what = "the oldest is the third message";
    eventually_eq(what, SETTLED, Some(third), async || {
        view(&*other, &topic, &channel).await.oldest
    })
    .await;

    let mut second = subscribe(&*other, &topic, &channel, options).await;
    publish_numbers(&*other, &topic, 10..20).await;
    let more = take(&mut second, 4).await;
    // The first one may have fetched ahead.
    let what = "two consumers, which hold two and four at least";
    eventually(what, SETTLED, async || {
        let shown = view(&*node, &topic, &channel).await;
        let mut held: Vec<_> = shown.members.iter().map(|m| m.pending).collect();
        held.sort_unstable();
        shown.consumers == 2 && held.len() == 2 && held[0] >= 2 && held[1] >= 4
    })
    .await;

    assert_eq!(node.inspect(&topic).await.unwrap().dead_letters, 0);
    for delivery in held {
        let _ = delivery.dead_letter("not today").await.unwrap();
    }
    eventually_eq("two dead letters", SETTLED, 2, async || {
        other.inspect(&topic).await.unwrap().dead_letters
    })
    .await;
    for delivery in more {
        ack(delivery).await;
    }
    let another = fresh::topic(h, "a comes first");
    publish(&*node, &another, "x").await;
    let mut expected = vec![another, topic.dead_letters().unwrap(), topic.clone()];
    expected.sort();
    for process in [&node, &other] {
        let mut own = process.topics().await.unwrap();
        assert!(own.is_sorted());
        own.retain(|topic| expected.contains(topic));
        assert_eq!(own, expected);
    }
    let closed = node.component();
    node.stop().await;
    other.stop().await;
    let error = closed.topics().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}
