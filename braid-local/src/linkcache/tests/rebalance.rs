//! What a rebalancing does beside its way through a backend, which the suite shows.

use super::*;
use braid_core::LinkCacheExt;
use std::{
    future::{Ready, ready},
    slice::from_ref,
    sync::{Mutex, PoisonError},
};

/// The nodes that owners were told of.
#[derive(Default)]
struct Told(Mutex<Vec<NodeRef>>);

impl Told {
    /// Returns how many there were now.
    fn tell(&self, to: Node) -> usize {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(to.node);
        told.len()
    }

    fn all(self) -> Vec<NodeRef> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_where_nothing_can_move() {
    let (hub, _) = hub();
    let cache = cache(&hub).await;
    let (a, _a) = announced(&hub, "a").await;
    let (b, _b) = announced(&hub, "b").await;
    link(&cache, 0..3, &a).await;
    let rebalance = async |from: &Node, to: &[Node], share: f64| {
        let asked = |_, _| -> Ready<Result<()>> { panic!("nobody is asked") };
        cache.rebalance(&from.node, to, share, asked).await
    };
    let draining = b.clone().with_state(NodeState::Draining);
    let useless = [node("mail", "m"), a.clone(), draining];
    for to in [&useless[..], &[]] {
        assert_eq!(rebalance(&a, to, 1.0).await.unwrap(), 0);
    }
    assert_eq!(rebalance(&a, from_ref(&b), 0.0).await.unwrap(), 0);
    assert_eq!(rebalance(&b, from_ref(&a), 1.0).await.unwrap(), 0);
    for share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let error = rebalance(&a, from_ref(&b), share).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("share"), "{error}");
    }
    assert_eq!(cache.count(&a.node).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn links_of_other_services_leave_their_place_in_the_share() {
    let (hub, _) = hub();
    let cache = cache(&hub).await;
    let (a, _a) = announced(&hub, "a").await;
    let (b, _b) = announced(&hub, "b").await;
    let mut mail = a.clone();
    mail.service = service("mail");
    link(&cache, 0..5, &a).await;
    link(&cache, 0..5, &mail).await;
    let told = Told::default();
    let tell = |_, to| {
        told.tell(to);
        ready(Ok(()))
    };
    let moved = cache.rebalance(&a.node, from_ref(&b), 0.5, tell).await;
    assert_eq!(moved.unwrap(), 5, "half of ten");
    assert_eq!(told.all().len(), 5);
    let left = cache.links(&a.node, 100).await.unwrap();
    assert_eq!(left.len(), 5);
    assert!(left.iter().all(|(service, _)| *service == mail.service));
}

#[tokio::test(start_paused = true)]
async fn who_refuses_is_left_out_and_the_link_goes_to_the_next() {
    let (hub, _) = hub();
    let cache = cache(&hub).await;
    let (a, _a) = announced(&hub, "a").await;
    let (b, _b) = announced(&hub, "b").await;
    let (closed, _closed) = announced(&hub, "closed").await;
    cache.drain(&closed.node).await.unwrap();
    link(&cache, 0..6, &a).await;
    let told = Told::default();
    let tell = |_, to| {
        told.tell(to);
        ready(Ok(()))
    };
    let to = [closed.clone(), b.clone()];
    let moved = cache.rebalance(&a.node, &to, 0.5, tell).await;
    assert_eq!(moved.unwrap(), 3);
    let expected = [&closed, &b, &b, &b].map(|node| node.node.clone());
    assert_eq!(told.all(), expected);
    assert_eq!(cache.count(&b.node).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn hand_overs_that_always_fail_are_tried_for_the_share_alone() {
    let (hub, _) = hub();
    let cache = cache(&hub).await;
    let (a, _a) = announced(&hub, "a").await;
    let (b, _b) = announced(&hub, "b").await;
    link(&cache, 0..10, &a).await;
    let told = Told::default();
    let fail = |_, to| {
        told.tell(to);
        ready(Err(Error::new(ErrorKind::Unavailable, "x", "x", "x")))
    };
    let moved = cache.rebalance(&a.node, from_ref(&b), 0.3, fail).await;
    assert_eq!(moved.unwrap(), 0);
    assert_eq!(told.all().len(), 3);
    assert_eq!(cache.count(&a.node).await.unwrap(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_the_cache_ends_it_and_tells_how_far_it_came() {
    let (hub, _) = hub();
    let (here, there) = (cache(&hub).await, cache(&hub).await);
    let (a, _a) = announced(&hub, "a").await;
    let (b, _b) = announced(&hub, "b").await;
    link(&here, 0..5, &a).await;
    let (handle, mut here) = (here.component(), Some(here));
    let told = Told::default();
    let tell = |_, to| {
        let third = told.tell(to) == 3;
        let closing = here.take_if(|_| third);
        async move {
            if let Some(cache) = closing {
                cache.stop().await;
            }
            Ok(())
        }
    };
    let moved = handle.rebalance(&a.node, from_ref(&b), 1.0, tell).await;
    let error = moved.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    let text = "core: rebalance: after 2 links: linkcache-local: relink:";
    assert!(error.to_string().starts_with(text), "{error}");
    assert_eq!(there.count(&a.node).await.unwrap(), 3);
    assert_eq!(there.count(&b.node).await.unwrap(), 2);
}
