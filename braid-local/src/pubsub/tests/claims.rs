//! Claim times, and who may still do what with a delivery.

use super::fixture::{Fixture, one_at_a_time, options};
use crate::pubsub::terms::{Failed, HandOut, Then, Wake};
use braid_core::{Ownership, SubscribeOptions};

#[test]
fn expired_delivery_is_claimed_by_another_consumer() {
    let mut f = Fixture::new();
    let a = f.join("c", one_at_a_time());
    let b = f.join("c", one_at_a_time());
    f.publish_many(1);
    f.next(&a).unwrap();
    f.pass(9_999);
    assert!(f.next(&b).is_none());
    f.pass(1);
    assert_eq!(f.next(&b), Some(HandOut { seq: 1, attempt: 2 }));
    assert!(f.next(&a).is_none());
}

#[test]
fn expired_delivery_makes_room_and_may_return_to_its_holder() {
    let mut f = Fixture::new();
    let a = f.join("c", one_at_a_time());
    f.publish_many(2);
    f.next(&a).unwrap();
    f.pass(10_000);
    assert_eq!(f.next(&a), Some(HandOut { seq: 1, attempt: 2 }));
    assert!(f.next(&a).is_none());
}

#[test]
fn late_ack_counts_and_the_present_owners_ack_is_harmless() {
    let mut f = Fixture::new();
    let a = f.join("c", one_at_a_time());
    let b = f.join("c", one_at_a_time());
    f.publish_many(2);
    let first = f.next(&a).unwrap();
    f.pass(10_000);
    let second = f.next(&b).unwrap();
    assert_eq!(
        f.ack(&a, first),
        Wake::Consumer(b.consumer),
        "b has room again"
    );
    assert_eq!(f.channel("c").pending, 0);
    assert_eq!(f.heartbeat(&b, second), Ownership::Lost);
    assert_eq!(f.ack(&b, second), Wake::Nobody);
    assert_eq!(f.next(&b).unwrap().seq, 2);
}

#[test]
fn lost_delivery_changes_nothing() {
    let mut f = Fixture::new();
    let a = f.join("c", one_at_a_time());
    let b = f.join("c", one_at_a_time());
    f.publish_many(1);
    let first = f.next(&a).unwrap();
    f.pass(10_000);
    let second = f.next(&b).unwrap();
    f.pass(5_000);
    assert_eq!(f.heartbeat(&a, first), Ownership::Lost);
    assert_eq!(f.retry(&a, first), Failed::Lost);
    assert_eq!(f.fail(&a, first, Then::DeadLetter), Failed::Lost);
    assert_eq!(f.drop_unsettled(&a, first), Failed::Lost);
    f.pass(4_999);
    assert!(f.next(&a).is_none(), "b still has it");
    assert_eq!(f.heartbeat(&b, second), Ownership::Held);
    assert!(f.graves.buried.is_empty());
    assert_eq!(f.retry(&b, second), Failed::Done);
}

#[test]
fn same_consumer_loses_its_former_hand_out() {
    let mut f = Fixture::new();
    let a = f.join("c", options());
    f.publish_many(1);
    let first = f.next(&a).unwrap();
    f.pass(10_000);
    let second = f.next(&a).unwrap();
    assert_eq!(f.retry(&a, first), Failed::Lost);
    assert_eq!(f.heartbeat(&a, second), Ownership::Held);
}

#[test]
fn delivery_that_nobody_claimed_is_still_its_holders() {
    let mut f = Fixture::new();
    let a = f.join("c", one_at_a_time());
    let b = f.join("c", one_at_a_time());
    f.publish_many(3);
    let held = f.next(&a).unwrap();
    f.next(&b).unwrap();
    f.pass(10_000);
    assert_eq!(f.next(&b).unwrap().seq, 1, "looked, and took the oldest");
    let other = HandOut { seq: 2, attempt: 1 };
    assert_eq!(f.heartbeat(&b, other), Ownership::Held);
    assert_eq!(f.heartbeat(&a, held), Ownership::Lost);
    f.pass(9_999);
    assert_eq!(
        f.next(&a).unwrap().seq,
        3,
        "the heartbeat gave 2 its full time"
    );
}

#[test]
fn heartbeat_starts_the_claim_time_anew() {
    let mut f = Fixture::new();
    let a = f.join("c", options());
    let b = f.join("c", options());
    f.publish_many(1);
    let out = f.next(&a).unwrap();
    for _ in 0..10 {
        f.pass(9_999);
        assert_eq!(f.heartbeat(&a, out), Ownership::Held);
    }
    f.pass(9_999);
    assert!(f.next(&b).is_none());
    f.pass(1);
    assert!(f.next(&b).is_some());
}

#[test]
fn delivery_of_a_subscription_with_heartbeat_is_never_claimed() {
    let mut f = Fixture::new();
    let renewing = SubscribeOptions {
        heartbeat: true,
        ..options()
    };
    let a = f.join("c", renewing);
    let b = f.join("c", options());
    f.publish_many(1);
    let out = f.next(&a).unwrap();
    f.pass(10_000_000);
    assert!(f.next(&b).is_none());
    assert_eq!(f.heartbeat(&a, out), Ownership::Held);
    f.ack(&a, out);
    assert_eq!(f.view().messages, 0);
}

#[test]
fn delivery_that_expires_in_its_last_attempt_is_a_dead_letter() {
    let mut f = Fixture::new();
    let a = f.join("c", options());
    f.publish_many(1);
    for _ in 0..2 {
        f.next(&a).unwrap();
        f.pass(10_000);
    }
    assert!(f.next(&a).is_none());
    let (_, attempts, reason) = &f.graves.buried[0];
    assert_eq!(
        (*attempts, reason.as_str()),
        (2, "not settled within the claim time")
    );
    assert_eq!(f.channel("c").pending, 0);
}

#[test]
fn ack_of_a_dead_letter_is_harmless() {
    let mut f = Fixture::new();
    let a = f.join("c", options());
    f.publish_many(1);
    let out = f.next(&a).unwrap();
    f.fail(&a, out, Then::DeadLetter);
    assert_eq!(f.ack(&a, out), Wake::Nobody);
    assert_eq!(f.retry(&a, out), Failed::Lost);
}

#[test]
fn abandoned_deliveries_return_to_the_channel() {
    let mut f = Fixture::new();
    let a = f.join("c", options());
    f.publish_many(3);
    let outs: Vec<_> = std::iter::from_fn(|| f.next(&a)).collect();
    f.leave(&a);
    assert_eq!(f.channel("c").pending, 3, "held, though its consumer left");
    assert_eq!(f.abandon(), [a.channel_id]);
    assert!(f.abandon().is_empty());
    f.ack(&a, outs[1]);
    assert_eq!(f.retry(&a, outs[0]), Failed::Lost);
    let b = f.join("c", options());
    assert_eq!(f.take_all(&b), [1, 3]);
}
