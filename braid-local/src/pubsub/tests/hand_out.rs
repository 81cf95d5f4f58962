//! Who is handed what, and what a settled delivery leads to.

use super::fixture::{Fixture, one_at_a_time, options};
use crate::pubsub::{
    grave::Buried,
    terms::{Failed, HandOut, Next, Then, Wake},
};
use braid_core::{BootTime, SubscribeOptions};
use std::time::Duration;

#[test]
fn consumers_of_one_channel_share_and_channels_do_not() {
    let mut f = Fixture::new();
    let a = f.join("one", one_at_a_time());
    let b = f.join("one", one_at_a_time());
    let c = f.join("two", options());
    f.publish_many(3);
    assert_eq!((f.take_all(&a), f.take_all(&b)), (vec![1], vec![2]));
    assert_eq!(f.take_all(&c), [1, 2, 3]);
}

#[test]
fn no_next_before_the_last_is_settled() {
    let mut f = Fixture::new();
    let a = f.join("c", one_at_a_time());
    f.publish_many(3);
    let first = f.next(&a).unwrap();
    assert!(f.next(&a).is_none());
    assert_eq!(f.ack(&a, first), Wake::Consumer(a.consumer));
    let second = f.next(&a).unwrap();
    assert_eq!(f.retry(&a, second), Failed::Done);
    assert_eq!(f.next(&a).unwrap().seq, 3, "2 waits for its backoff");
}

#[test]
fn acked_delivery_is_not_repeated() {
    let mut f = Fixture::new();
    let a = f.join("c", options());
    f.publish_many(1);
    let out = f.next(&a).unwrap();
    assert_eq!(f.ack(&a, out), Wake::Nobody);
    f.pass(100_000);
    assert!(f.next(&a).is_none());
    assert_eq!(f.ack(&a, out), Wake::Nobody, "a second ack is harmless");
    assert_eq!(f.view().messages, 0);
}

#[test]
fn retried_message_waits_for_its_backoff_and_comes_before_newer_ones() {
    let mut f = Fixture::new();
    let a = f.join("c", one_at_a_time());
    f.publish_many(3);
    let out = f.next(&a).unwrap();
    f.retry(&a, out);
    let second = f.next(&a).unwrap();
    f.ack(&a, second);
    f.pass(99);
    let third = f.next(&a).unwrap();
    assert_eq!(third.seq, 3);
    f.drop_unsettled(&a, third);
    f.pass(1);
    assert_eq!(f.next(&a), Some(HandOut { seq: 1, attempt: 2 }));
}

#[test]
fn waiting_consumer_knows_when_to_look_again() {
    let mut f = Fixture::new();
    let a = f.join("c", options());
    assert!(matches!(f.look(&a), Next::Idle { until: None }));
    f.publish_many(1);
    let out = f.next(&a).unwrap();
    let at = |millis| BootTime::from_origin(Duration::from_millis(millis));
    let until = |next| match next {
        Next::Idle { until } => until,
        other => panic!("{other:?}"),
    };
    assert_eq!(until(f.look(&a)), Some(at(10_000)), "the claim time");
    f.fail(&a, out, Then::Wait(Duration::from_secs(3)));
    assert_eq!(until(f.look(&a)), Some(at(3_000)), "the wait asked for");
}

#[test]
fn dropped_delivery_returns_at_once_and_counts() {
    let mut f = Fixture::new();
    let a = f.join("c", options());
    f.publish_many(1);
    for attempt in [1, 2] {
        let (message, out) = f.message(&a).unwrap();
        assert_eq!((message.attempt, out.attempt), (attempt, attempt));
        assert_eq!(f.drop_unsettled(&a, out), Failed::Done);
    }
    assert!(f.next(&a).is_none());
    assert_eq!(f.graves.buried.len(), 1);
}

#[test]
fn poison_message_is_handed_out_exactly_as_often_as_allowed() {
    let mut f = Fixture::new();
    let options = SubscribeOptions {
        max_attempts: 4,
        ..options()
    };
    let a = f.join("c", options);
    f.publish_many(2);
    let mut attempts = Vec::new();
    for _ in 0..20 {
        while let Some(out) = f.next(&a) {
            if out.seq == 1 {
                attempts.push(out.attempt);
                f.retry(&a, out);
            } else {
                f.ack(&a, out);
            }
        }
        f.pass(60_000);
    }
    assert_eq!(attempts, [1, 2, 3, 4]);
    let id = "00000000000000000001".to_owned();
    assert_eq!(f.graves.buried, [(id, 4, "attempt 4".to_owned())]);
    assert_eq!(f.view().messages, 0);
}

#[test]
fn dead_lettering_needs_no_attempts_used() {
    let mut f = Fixture::new();
    let a = f.join("c", options());
    f.publish_many(1);
    let out = f.next(&a).unwrap();
    assert_eq!(f.fail(&a, out, Then::DeadLetter), Failed::Done);
    assert_eq!(f.graves.buried[0].1, 1);
    assert_eq!(f.channel("c").pending, 0);
}

#[test]
fn message_that_can_not_be_buried_waits_and_is_not_handed_out() {
    let mut f = Fixture::new();
    let a = f.join("c", options());
    f.publish_many(1);
    f.graves.answer = Buried::Later;
    let out = f.next(&a).unwrap();
    assert_eq!(f.fail(&a, out, Then::DeadLetter), Failed::Done);
    for tries in 1..5 {
        assert_eq!(f.graves.tries, tries, "once a second");
        f.pass(999);
        assert!(f.next(&a).is_none());
        f.pass(1);
        assert!(f.next(&a).is_none());
    }
    assert_eq!(f.channel("c").pending, 1, "it is still there");
    f.graves.answer = Buried::Done;
    f.pass(1_000);
    assert!(f.next(&a).is_none());
    assert_eq!(f.graves.buried[0].2, "attempt 1");
    assert_eq!((f.channel("c").pending, f.view().messages), (0, 0));
}

#[test]
fn message_without_a_grave_is_retried_at_the_longest_backoff() {
    let mut f = Fixture::new();
    let a = f.join("c", options());
    f.publish_many(1);
    f.graves.answer = Buried::Nowhere;
    let out = f.next(&a).unwrap();
    assert_eq!(f.fail(&a, out, Then::DeadLetter), Failed::NoGrave);
    for attempt in 2..6 {
        f.pass(4_999);
        assert!(f.next(&a).is_none());
        f.pass(1);
        let out = f.next(&a).unwrap();
        assert_eq!(out.attempt, attempt);
        if attempt % 2 == 0 {
            assert_eq!(f.retry(&a, out), Failed::NoGrave);
        } else {
            f.pass(10_000);
            assert!(f.next(&a).is_none(), "expired in its last attempt");
        }
    }
}

#[test]
fn message_holds_back_those_of_its_key_until_it_is_acked() {
    let mut f = Fixture::new();
    let a = f.join("c", options());
    let b = f.join("c", options());
    for key in [Some("k"), Some("k"), None, Some("l"), Some("k")] {
        f.publish(key).unwrap();
    }
    let first = f.next(&a).unwrap();
    assert_eq!(f.take_all(&b), [3, 4], "others pass");
    let view = f.channel("c");
    assert_eq!((view.lag, view.pending), (2, 3));
    f.retry(&a, first);
    assert!(f.next(&b).is_none(), "a failing one holds back its key");
    f.pass(100);
    let again = f.next(&b).unwrap();
    assert_eq!(again, HandOut { seq: 1, attempt: 2 });
    assert_eq!(f.ack(&b, again), Wake::Channel);
    let second = f.next(&a).unwrap();
    assert_eq!(second.seq, 2);
    assert!(f.next(&a).is_none());
    f.fail(&a, second, Then::DeadLetter);
    assert_eq!(
        f.next(&a).unwrap().seq,
        5,
        "a dead letter holds nothing back"
    );
}

#[test]
fn many_messages_of_one_key_pass_in_order() {
    let mut f = Fixture::with_limits(100_000, 0);
    let a = f.join("c", options());
    for _ in 0..50_000 {
        f.publish(Some("k")).unwrap();
    }
    f.publish(None).unwrap();
    let first = f.next(&a).unwrap();
    assert_eq!(
        f.next(&a).unwrap().seq,
        50_001,
        "all 50,000 are passed over"
    );
    f.ack(&a, first);
    for seq in 2..=50_000 {
        let out = f.next(&a).unwrap();
        assert_eq!(out.seq, seq);
        f.ack(&a, out);
    }
    assert_eq!(f.channel("c").pending, 1);
}
