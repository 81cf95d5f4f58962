//! P1: names of every kind.

use super::support::{ack, next, nothing_left, patient, publish, silent, start, subscribe, text};
use crate::PubSubHarness;
use braid_core::{Channel, Topic};

pub async fn p1_topic_names_of_every_kind<H: PubSubHarness>(h: &H) {
    let node = start(h).await;
    let (prefix, unique) = (h.topic_prefix(), crate::fresh::channel(""));
    let names = [
        "plain",
        "with-hyphens--and-more-",
        "dots.and..dots.",
        "{braces}",
        "{unclosed",
        "a b\tc\nd",
        "日本語 ñ 🦀",
        "\u{0}zero\u{0}",
        "*?[a-z]",
        "colons:and::colons:",
        "../up/%2e%2e",
        "'quotes\"",
    ];
    let longest = |of: usize| "x".repeat(of - prefix.len() - unique.as_str().len());
    let names = names
        .into_iter()
        .map(str::to_owned)
        .chain([longest(Channel::MAX_LEN)]);
    let mut pairs: Vec<(String, String)> = names.map(|name| (name.clone(), name)).collect();
    pairs.push((longest(Topic::MAX_LEN), "c".to_owned()));
    // Where a backend joins names, these must not meet.
    for (topic, channel) in [
        ("a", "b-c"),
        ("a-b", "c"),
        ("a:b", "c"),
        ("a", "b:c"),
        ("a}", "c"),
        ("a", "}c"),
    ] {
        pairs.push((topic.to_owned(), channel.to_owned()));
    }

    let mut subscriptions = Vec::new();
    for (topic, channel) in &pairs {
        let topic = Topic::new(format!("{prefix}{topic}{unique}")).unwrap();
        let channel = Channel::new(format!("{channel}{unique}")).unwrap();
        let subscription = subscribe(&*node, &topic, &channel, patient()).await;
        subscriptions.push((topic, channel, subscription));
    }
    for (topic, ..) in &subscriptions {
        publish(&*node, topic, format!("to {topic}")).await;
    }
    for (topic, channel, subscription) in &mut subscriptions {
        // Some topics stand in the list twice, with another channel.
        let publishes = pairs
            .iter()
            .filter(|(name, _)| *topic.as_str() == format!("{prefix}{name}{unique}"));
        for _ in publishes {
            let delivery = next(subscription).await;
            assert_eq!(text(&delivery), format!("to {topic}"));
            ack(delivery).await;
        }
        nothing_left(&*node, topic, channel).await;
    }
    let (_, _, last) = subscriptions.last_mut().unwrap();
    silent(last, h.slack()).await;
    node.stop().await;
}
