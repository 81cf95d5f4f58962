//! Consumers that wait: who is woken, when, and by what.

use super::nodes::{
    DEADLINE, Fleet, channel, claimable, is_quiet, join, next, shared, text, topic,
};
use braid_core::{Backoff, NewMessage, Ownership, PubSub, SubscribeOptions};
use futures_util::FutureExt;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

#[tokio::test(start_paused = true)]
async fn waiting_consumer_is_woken_by_a_publish() {
    let fleet = Fleet::new();
    let node = fleet.node();
    let mut sub = join(&node, "c", shared()).await;
    let waiting = tokio::spawn(async move { next(&mut sub).await });
    tokio::task::yield_now().await;
    let begin = Instant::now();
    node.publish(&topic(), "hello".into()).await.unwrap();
    let delivery = waiting.await.unwrap();
    assert_eq!(
        (text(&delivery).as_str(), begin.elapsed()),
        ("hello", Duration::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn full_consumer_is_woken_by_its_own_ack() {
    let fleet = Fleet::new();
    let mut sub = join(&fleet.node(), "c", claimable()).await;
    fleet.publish("1");
    fleet.publish("2");
    let first = next(&mut sub).await;
    assert!(is_quiet(&mut sub, Duration::from_secs(9)).await);
    let begin = Instant::now();
    let second = tokio::spawn(async move { next(&mut sub).await });
    tokio::task::yield_now().await;
    first.ack().await.unwrap();
    assert_eq!(text(&second.await.unwrap()), "2");
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn backoff_is_waited_for_and_not_longer() {
    let fleet = Fleet::new();
    let mut sub = join(&fleet.node(), "c", shared()).await;
    fleet.publish("1");
    let mut delivery = next(&mut sub).await;
    for wait in [100, 200, 400] {
        assert_eq!(delivery.retry("no").await.unwrap(), Ownership::Held);
        let begin = Instant::now();
        assert!(is_quiet(&mut sub, Duration::from_millis(wait - 1)).await);
        delivery = next(&mut sub).await;
        assert_eq!(begin.elapsed().as_millis(), u128::from(wait));
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_consumer_claims_what_a_frozen_one_holds() {
    let fleet = Fleet::new();
    let mut frozen = join(&fleet.node(), "c", claimable()).await;
    let mut other = join(&fleet.node(), "c", claimable()).await;
    fleet.publish("1");
    let held = next(&mut frozen).await;
    let begin = Instant::now();
    let claimed = next(&mut other).await;
    assert_eq!(begin.elapsed().as_secs(), 10);
    assert_eq!(claimed.message().attempt, 2);
    assert_eq!(held.heartbeat().await.unwrap(), Ownership::Lost);
    assert_eq!(held.retry("late").await.unwrap(), Ownership::Lost);
    assert_eq!(claimed.heartbeat().await.unwrap(), Ownership::Held);
    claimed.ack().await.unwrap();
    assert_eq!(fleet.view().channels[0].pending, 0);
}

#[tokio::test(start_paused = true)]
async fn jump_of_the_clock_is_noticed_within_a_second() {
    let fleet = Fleet::new();
    let mut frozen = join(&fleet.node(), "c", claimable()).await;
    let mut other = join(&fleet.node(), "c", claimable()).await;
    fleet.publish("1");
    let _held = next(&mut frozen).await;
    let waiting = tokio::spawn(async move { next(&mut other).await });
    tokio::task::yield_now().await;
    let begin = Instant::now();
    fleet.clock.jump(Duration::from_secs(3600));
    waiting.await.unwrap().ack().await.unwrap();
    assert!(begin.elapsed() <= Duration::from_millis(1_001));
}

#[tokio::test(start_paused = true)]
async fn slow_handler_keeps_its_message() {
    let fleet = Fleet::new();
    let options = SubscribeOptions {
        heartbeat: true,
        ..claimable()
    };
    let mut slow = join(&fleet.node(), "c", options.clone()).await;
    let mut other = join(&fleet.node(), "c", options).await;
    fleet.publish("1");
    let held = next(&mut slow).await;
    assert!(is_quiet(&mut other, Duration::from_secs(1_000)).await);
    held.ack().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropped_delivery_goes_to_a_waiting_consumer_at_once() {
    let fleet = Fleet::new();
    let mut a = join(&fleet.node(), "c", shared()).await;
    let mut b = join(&fleet.node(), "c", shared()).await;
    fleet.publish("1");
    let held = next(&mut a).await;
    let waiting = tokio::spawn(async move { next(&mut b).await });
    tokio::task::yield_now().await;
    let begin = Instant::now();
    drop(held);
    assert_eq!(waiting.await.unwrap().message().attempt, 2);
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn dropped_ack_settles_nothing() {
    let fleet = Fleet::new();
    let mut sub = join(&fleet.node(), "c", shared()).await;
    fleet.publish("1");
    drop(next(&mut sub).await.ack());
    assert_eq!(next(&mut sub).await.message().attempt, 2);
}

#[tokio::test]
async fn blocked_reads_delay_no_publish() {
    let fleet = Fleet::new();
    let node = fleet.node();
    let mut subs = Vec::new();
    for _ in 0..10 {
        subs.push(join(&node, "c", shared()).await);
    }
    for sub in &mut subs {
        assert!(sub.next().now_or_never().is_none());
    }
    let publish = node.publish(&topic(), "1".into()).now_or_never();
    publish.expect("it waits for nothing").unwrap();
    let arrived = subs.iter_mut().map(|sub| sub.next().now_or_never());
    let arrived: Vec<_> = arrived.collect();
    assert_eq!(arrived.iter().flatten().count(), 1);
}

#[tokio::test]
async fn dropped_next_takes_nothing_along() {
    let fleet = Fleet::new();
    let mut sub = join(&fleet.node(), "c", shared()).await;
    assert!(sub.next().now_or_never().is_none());
    fleet.publish("1");
    drop(sub.next());
    assert_eq!(next(&mut sub).await.message().attempt, 1);
}

#[tokio::test]
async fn dropped_subscribe_strands_nothing() {
    let fleet = Fleet::new();
    let node = fleet.node();
    let mut sub = join(&node, "c", shared()).await;
    let name = channel("c");
    for _ in 0..100 {
        drop(node.subscribe(&topic(), &name, shared()));
    }
    assert_eq!(fleet.view().channels[0].consumers, 1);
    fleet.publish("1");
    assert_eq!(text(&next(&mut sub).await), "1");
}

/// A consumer that stops polling after it was woken must not keep the others from what woke it.
#[tokio::test]
async fn consumer_that_lost_interest_holds_up_nobody() {
    let fleet = Fleet::new();
    let mut idle = join(&fleet.node(), "c", shared()).await;
    let mut eager = join(&fleet.node(), "c", shared()).await;
    assert!(idle.next().now_or_never().is_none());
    let waiting = tokio::spawn(async move { next(&mut eager).await });
    tokio::task::yield_now().await;
    fleet.publish("1");
    assert_eq!(text(&waiting.await.unwrap()), "1");
}

#[tokio::test]
async fn consumer_that_never_waits_lets_others_run() {
    let fleet = Fleet::new();
    let mut sub = join(&fleet.node(), "c", shared()).await;
    let count = 10_000;
    (0..count).for_each(|_| fleet.publish("x"));
    let greedy = tokio::spawn(async move {
        for _ in 0..count {
            next(&mut sub).await.ack().await.unwrap();
        }
    });
    let mut turns = 0;
    while !greedy.is_finished() {
        turns += 1;
        tokio::task::yield_now().await;
    }
    greedy.await.unwrap();
    assert!(turns > 10, "{turns} turns among {count} deliveries");
}

#[tokio::test]
async fn idle_consumers_take_turns() {
    take_turns().await;
}

/// Here the task that is woken last runs first.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn idle_consumers_take_turns_on_a_worker_thread() {
    tokio::spawn(take_turns()).await.unwrap();
}

async fn take_turns() {
    let fleet = Fleet::new();
    let (handled, mut report) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    let waiting = Arc::new(AtomicUsize::new(0));
    for consumer in 0..3_usize {
        let mut sub = join(&fleet.node(), "c", shared()).await;
        let handled = handled.clone();
        let waiting = Arc::clone(&waiting);
        tasks.spawn(async move {
            loop {
                waiting.fetch_add(1, Ordering::Relaxed);
                next(&mut sub).await.ack().await.unwrap();
                waiting.fetch_sub(1, Ordering::Relaxed);
                handled.send(consumer).unwrap();
            }
        });
    }
    let mut shares = [0; 3];
    for _ in 0..300 {
        while waiting.load(Ordering::Relaxed) < 3 {
            tokio::task::yield_now().await;
        }
        fleet.publish("x");
        shares[report.recv().await.unwrap()] += 1;
    }
    assert!(
        shares.iter().all(|share| (80..=120).contains(share)),
        "{shares:?}"
    );
    tasks.abort_all();
}

/// Nothing here sets a timer, so that a lost wake-up would hang.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_consumers_share_five_thousand_messages() {
    let fleet = Fleet::new();
    let (count, consumers) = (5_000, 50);
    let handled: Arc<Vec<AtomicUsize>> = Arc::new((0..count).map(|_| 0.into()).collect());
    let mut tasks = JoinSet::new();
    for turn in 0..consumers {
        let node = fleet.node();
        let options = SubscribeOptions {
            max_in_flight: 1 + turn % 3,
            backoff: Backoff::NONE,
            ..shared()
        };
        let mut sub = join(&node, "c", options).await;
        let handled = Arc::clone(&handled);
        tasks.spawn(async move {
            while let Some(delivery) = sub.next().await {
                let delivery = delivery.unwrap();
                let number: usize = text(&delivery).parse().unwrap();
                match (delivery.message().attempt, number % 10) {
                    (1, 0) => drop(delivery),
                    (1, 1) => assert_eq!(delivery.retry("again").await.unwrap(), Ownership::Held),
                    _ => {
                        handled[number].fetch_add(1, Ordering::Relaxed);
                        delivery.ack().await.unwrap();
                    }
                }
            }
            drop(node);
        });
    }
    for part in 0..4 {
        let broker = Arc::clone(&fleet.broker);
        tasks.spawn(async move {
            for number in (0..count).filter(|number| number % 4 == part) {
                let message =
                    NewMessage::new(number.to_string()).with_key((number % 7).to_string());
                broker.append(&topic(), message).unwrap();
                if number % 64 == part {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    let all = async {
        loop {
            let view = fleet.view();
            if handled.iter().all(|n| n.load(Ordering::Relaxed) > 0)
                && view.channels[0].pending == 0
            {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, all).await.expect("messages are lost");
    assert!(handled.iter().all(|n| n.load(Ordering::Relaxed) == 1));
    tasks.abort_all();
}
