//! Discovery through its handles.

use crate::testing::{Events, SECOND, hub, life, node, service};
use braid_core::{
    Component, Discover, ErrorKind, NodeState, ShutdownTrigger, Update,
    reserved::{ServiceEvent, ServiceUpdate},
};
use braid_testkit::{Running, within};
use futures_util::StreamExt;
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn every_handle_sees_a_node_come_change_and_go() {
    let (hub, _) = hub();
    let (here, there) = (hub.discover(), hub.discover());
    let mut seen = there.watch(&service("login"));
    let mut next = async || within("news", SECOND, seen.next()).await.unwrap().unwrap();
    assert_eq!(next().await, Update::Reset(vec![]));

    let login = node("login", "login-1");
    let announcement = here.announce(&login).await.unwrap();
    assert_eq!(next().await, Update::Upsert(Arc::new(login.clone())));
    let heavy = login.clone().with_weight(5);
    announcement.update(heavy.clone()).await.unwrap();
    assert_eq!(next().await, Update::Upsert(Arc::new(heavy)));
    announcement.withdraw().await.unwrap();
    assert_eq!(next().await, Update::Remove(login.node.clone()));

    drop(here.announce(&login).await.unwrap());
    let mut late = here.watch(&service("login"));
    assert_eq!(late.next().await.unwrap().unwrap(), Update::Reset(vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_node_id_is_taken_until_its_announcement_ends() {
    let (hub, _) = hub();
    let discover = hub.discover();
    let first = discover.announce(&node("login", "n-1")).await.unwrap();
    let error = hub
        .discover()
        .announce(&node("mail", "n-1"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(
        error.to_string(),
        "discover-local: announce: node id `n-1` is taken by node n-1/1 of `login`"
    );
    first.withdraw().await.unwrap();
    let mut next_life = node("mail", "n-1");
    next_life.node = life("n-1", "2");
    let _second = discover.announce(&next_life).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_update_tells_of_the_node_that_was_announced() {
    let (hub, _) = hub();
    let announcement = hub
        .discover()
        .announce(&node("login", "n-1"))
        .await
        .unwrap();
    let mut other_life = node("login", "n-1");
    other_life.node = life("n-1", "2");
    for other in [other_life, node("login", "n-2"), node("mail", "n-1")] {
        let error = announcement.update(other).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(
            error.to_string().contains("node n-1/1 of `login`"),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn each_change_is_published_once_per_hub_and_no_change_never() {
    let (hub, _) = hub();
    let mut events = Events::of::<ServiceUpdate>(&hub).await;
    let (here, _there) = (hub.discover(), hub.discover());
    let login = node("login", "n-1");
    let announcement = here.announce(&login).await.unwrap();
    announcement.update(login.clone()).await.unwrap();
    let draining = login.clone().with_state(NodeState::Draining);
    announcement.update(draining.clone()).await.unwrap();
    drop(announcement);
    for (event, node) in [
        (ServiceEvent::Add, &login),
        (ServiceEvent::Update, &draining),
        (ServiceEvent::Remove, &draining),
    ] {
        assert_eq!(
            events.next::<ServiceUpdate>().await,
            ServiceUpdate::of(event, node)
        );
    }
    events.none().await;
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_has_ended_announces_and_tells_nothing_more() {
    let (hub, _) = hub();
    let here = Running::start(Arc::new(hub.discover())).await;
    let there = hub.discover();
    let login = node("login", "n-1");
    let announcement = here.announce(&login).await.unwrap();
    let mut seen = here.watch(&service("login"));
    let mut seen_there = there.watch(&service("login"));
    assert!(seen.next().await.is_some());
    assert!(seen_there.next().await.is_some());

    let handle = here.component();
    here.stop().await;
    assert!(within("the end", SECOND, seen.next()).await.is_none());
    let gone = within("the node's end", SECOND, seen_there.next()).await;
    assert_eq!(gone.unwrap().unwrap(), Update::Remove(login.node.clone()));
    let twice = handle.run(ShutdownTrigger::new().shutdown()).await;
    assert_eq!(twice.unwrap_err().kind(), ErrorKind::Conflict);
    for closed in [
        handle.announce(&login).await.map(drop),
        announcement.update(login.clone().with_weight(2)).await,
    ] {
        assert_eq!(closed.unwrap_err().kind(), ErrorKind::Closed);
    }

    // The late end of the first announcement leaves the second one alone.
    let _second = there.announce(&login).await.unwrap();
    assert!(seen_there.next().await.is_some());
    drop(announcement);
    let mut fresh = there.watch(&service("login"));
    assert_eq!(
        fresh.next().await.unwrap().unwrap(),
        Update::Reset(vec![Arc::new(login)])
    );
}

#[tokio::test(start_paused = true)]
async fn names_that_were_asked_for_once_do_not_pile_up() {
    let (hub, _) = hub();
    let discover = hub.discover();
    for i in 0..1000 {
        drop(discover.watch(&service(&format!("no-such-{i}"))));
    }
    assert!(discover.registry.views() <= 2);
}
