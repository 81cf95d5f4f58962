//! What a topic holds, the cap, and where channels begin.

use super::fixture::{Fixture, ephemeral, options};
use crate::pubsub::{
    terms::{Failed, Next},
    topic::{Full, Refused},
};
use braid_core::{ChannelKind, MessageId, Start, SubscribeOptions};

fn from(start: Start) -> SubscribeOptions {
    SubscribeOptions { start, ..options() }
}

fn after(id: &str) -> SubscribeOptions {
    from(Start::After(MessageId::new(id).unwrap()))
}

#[test]
fn slowest_channel_keeps_what_it_needs_and_nothing_else() {
    let mut f = Fixture::new();
    let fast = f.join("fast", options());
    let slow = f.join("slow", options());
    f.publish_many(10);
    let stuck = f.next(&slow).unwrap();
    for seat in [&fast, &slow] {
        while let Some(out) = f.next(seat) {
            f.ack(seat, out);
        }
    }
    assert_eq!(f.view().messages, 1);
    f.ack(&slow, stuck);
    assert_eq!(f.view().messages, 0);
}

#[test]
fn at_the_cap_the_publisher_is_refused_until_a_channel_catches_up() {
    let mut f = Fixture::with_limits(3, 0);
    let a = f.join("c", options());
    f.publish_many(3);
    assert_eq!(f.publish(None), Err(Full { news: true }));
    assert_eq!(f.publish(None), Err(Full { news: false }), "said once");
    let out = f.next(&a).unwrap();
    assert!(f.publish(None).is_err(), "handed out isn't done");
    f.ack(&a, out);
    assert_eq!(f.publish(None), Ok(4), "the refused ones left no gap");
    assert_eq!(f.publish(None), Err(Full { news: true }));
}

#[test]
fn topic_without_channels_is_never_at_its_cap() {
    let mut f = Fixture::with_limits(2, 5);
    f.publish_many(100);
    assert_eq!(f.view().messages, 5);
}

#[test]
fn ephemeral_channel_goes_with_its_consumer_and_holds_nothing_back() {
    let mut f = Fixture::new();
    let a = f.join("c", options());
    let own = f.join("own", ephemeral());
    f.publish_many(5);
    while let Some(out) = f.next(&a) {
        f.ack(&a, out);
    }
    let held = f.next(&own).unwrap();
    assert_eq!(f.view().messages, 5);
    f.leave(&own);
    assert_eq!((f.view().messages, f.view().channels.len()), (0, 1));
    f.ack(&own, held);
    f.drop_unsettled(&own, held);
    f.leave(&own);
}

#[test]
fn channel_made_again_under_its_name_knows_nothing_of_the_former_one() {
    let mut f = Fixture::with_limits(100, 100);
    f.publish_many(1);
    let replay = SubscribeOptions {
        start: Start::Beginning,
        ..ephemeral()
    };
    let former = f.join("c", replay.clone());
    let out = f.next(&former).unwrap();
    f.leave(&former);
    let present = f.join("c", replay);
    assert_eq!(f.next(&present), Some(out), "the same message and attempt");
    f.ack(&former, out);
    f.drop_unsettled(&former, out);
    f.leave(&former);
    assert_eq!(f.channel("c").pending, 1);
}

#[test]
fn shared_channel_keeps_position_and_pending_without_consumers() {
    let mut f = Fixture::new();
    let a = f.join("c", options());
    f.publish_many(2);
    f.next(&a).unwrap();
    f.leave(&a);
    f.publish_many(1);
    let view = f.channel("c");
    assert_eq!((view.lag, view.pending, view.consumers), (2, 1, 0));
    let b = f.join("c", from(Start::Beginning));
    assert_eq!(f.take_all(&b), [2, 3], "goes on where it is");
    f.pass(10_000);
    assert_eq!(f.next(&b).unwrap().seq, 1);
}

#[test]
fn channel_has_one_kind_and_an_ephemeral_one_one_consumer() {
    let mut f = Fixture::new();
    f.join("shared", options());
    f.join("own", ephemeral());
    let refused = f.try_join("shared", ephemeral()).unwrap_err();
    assert_eq!(refused, Refused::Kind(ChannelKind::Shared));
    let refused = f.try_join("own", options()).unwrap_err();
    assert_eq!(refused, Refused::Kind(ChannelKind::Ephemeral));
    assert_eq!(f.try_join("own", ephemeral()).unwrap_err(), Refused::Owned);
}

#[test]
fn channel_begins_where_it_was_told_to() {
    let mut f = Fixture::with_limits(100, 4);
    f.publish_many(10);
    let mut begin = |name: &str, options| {
        let seat = f.join(name, options);
        f.take_all(&seat)
    };
    assert_eq!(begin("new", from(Start::New)), [0; 0]);
    assert_eq!(begin("all", from(Start::Beginning)), [7, 8, 9, 10]);
    assert_eq!(begin("8", after("00000000000000000008")), [9, 10]);
    assert_eq!(begin("10", after("00000000000000000010")), [0; 0]);
    assert_eq!(begin("2", after("00000000000000000002")), [7, 8, 9, 10]);
    for id in ["00000000000000000011", "8", "never"] {
        let unknown = Refused::UnknownId(MessageId::new(id).unwrap());
        assert_eq!(f.try_join("other", after(id)), Err(unknown));
    }
}

#[test]
fn channel_without_consumers_is_forgotten_after_its_time_and_says_so_once() {
    let mut f = Fixture::new();
    let channel = |f: &mut Fixture| {
        let now = f.now();
        f.topic.forget(now)
    };
    let a = f.join("c", options());
    f.publish_many(3);
    let held = f.next(&a).unwrap();
    f.pass(3 * 24 * 60 * 60 * 1000);
    assert_eq!(channel(&mut f), [], "it has a consumer");
    f.leave(&a);
    f.pass(7 * 24 * 60 * 60 * 1000);
    assert_eq!((channel(&mut f), f.view().messages), (vec![], 3));
    f.pass(1);
    assert_eq!(channel(&mut f).len(), 1);
    assert_eq!(channel(&mut f), [], "said once");
    assert_eq!(f.view().messages, 0);
    f.publish_many(1);
    f.ack(&a, held);
    assert_eq!(f.drop_unsettled(&a, held), Failed::Lost);

    let (b, c) = (f.join("c", options()), f.join("c", options()));
    assert!(matches!(f.look(&b), Next::Forgotten));
    assert!(f.take_all(&b).is_empty());
    assert!(f.take_all(&c).is_empty());
    f.publish_many(1);
    assert_eq!(f.take_all(&c), [5]);
    assert_eq!(f.channel("c").pending, 1);
}
