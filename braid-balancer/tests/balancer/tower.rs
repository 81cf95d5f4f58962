//! tower's own balancer over braid's discovery and load.

use crate::support::{node, weighted, who};
use braid_balancer::{
    Balancer, SmoothWeighted,
    tower::{Loaded, Nodes},
};
use braid_core::{
    Node, NodeState, Update,
    discover::{View, updates},
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::{pending, ready},
    sync::{Arc, Mutex},
};
use tokio::sync::watch;
use tower::{
    BoxError, Service, ServiceExt, balance::p2c::Balance, discover::Change, load::Load, service_fn,
};

fn view(nodes: &[Node]) -> Arc<View> {
    let nodes = nodes.iter().cloned().map(Arc::new);
    Arc::new(nodes.map(|node| (node.node.clone(), node)).collect())
}

type InFlight = BoxFuture<'static, Result<Infallible, BoxError>>;

/// tower's balancer over a view that the test changes. Calls stay in flight until they are dropped.
struct Fleet {
    views: watch::Sender<Arc<View>>,
    calls: Arc<Mutex<BTreeMap<String, usize>>>,
    send: Box<dyn FnMut() -> Option<InFlight>>,
}

impl Fleet {
    fn new(nodes: &[Node]) -> Self {
        let (views, receiver) = watch::channel(view(nodes));
        let calls = Arc::new(Mutex::new(BTreeMap::new()));
        let log = Arc::clone(&calls);
        let updates = updates(receiver).filter_map(|update| ready(update.ok()));
        let nodes = Nodes::new(updates, move |node: &Arc<Node>| {
            let (id, log) = (node.node.id.to_string(), Arc::clone(&log));
            let service = service_fn(move |()| {
                *log.lock().unwrap().entry(id.clone()).or_default() += 1;
                pending::<Result<Infallible, Infallible>>()
            });
            Loaded::new(Arc::clone(node), service)
        });
        let mut balance = Balance::new(nodes);
        let send = Box::new(move || {
            // Without any node it isn't ready.
            let service = balance.ready().now_or_never()?.unwrap();
            Some(service.call(()).boxed())
        });
        Self { views, calls, send }
    }

    fn send(&mut self, count: usize) -> Vec<InFlight> {
        (0..count).filter_map(|_| (self.send)()).collect()
    }

    /// How many calls each node got since the last look.
    fn calls(&self) -> Vec<(String, usize)> {
        std::mem::take(&mut *self.calls.lock().unwrap())
            .into_iter()
            .collect()
    }
}

fn got(id: &str, calls: usize) -> (String, usize) {
    (id.to_owned(), calls)
}

#[test]
fn load_by_weight_decides() {
    let mut fleet = Fleet::new(&[node("a").with_weight(5), node("b")]);
    let in_flight = fleet.send(60);
    assert_eq!(fleet.calls(), [got("a", 50), got("b", 10)]);
    drop(in_flight);
    let in_flight = fleet.send(12);
    assert_eq!(
        fleet.calls(),
        [got("a", 10), got("b", 2)],
        "what was dropped is no load"
    );
    drop(in_flight);
}

#[test]
fn nodes_come_and_go() {
    let mut fleet = Fleet::new(&[]);
    assert!(fleet.send(1).is_empty());

    fleet.views.send_replace(view(&[node("a")]));
    let held = fleet.send(3);
    assert_eq!(fleet.calls(), [got("a", 3)]);

    fleet.views.send_replace(view(&[node("a"), node("b")]));
    let more = fleet.send(3);
    assert_eq!(fleet.calls(), [got("b", 3)], "a has three calls in flight");

    let draining = node("a").with_state(NodeState::Draining);
    fleet.views.send_replace(view(&[draining, node("b")]));
    let last = fleet.send(9);
    assert_eq!(fleet.calls(), [got("b", 9)]);

    fleet.views.send_replace(view(&[]));
    assert!(fleet.send(1).is_empty());
    drop((held, more, last));
}

/// The changes that updates lead to, as text.
fn changes(updates: impl IntoIterator<Item = Update>) -> Vec<String> {
    let nodes = Nodes::new(stream::iter(updates), |node: &Arc<Node>| Arc::clone(node));
    let changes = nodes.map(|change| match change {
        Ok(Change::Insert(key, node)) => format!("+{key} {} {}", node.address.port(), node.weight),
        Ok(Change::Remove(key)) => format!("-{key}"),
        Err(never) => match never {},
    });
    changes.collect().now_or_never().unwrap()
}

fn at(id: &str, uid: &str, port: u16) -> Arc<Node> {
    let mut node = node(id);
    node.node = who(id, uid);
    node.address.set_port(port);
    Arc::new(node)
}

#[test]
fn a_reset_becomes_what_leads_to_it() {
    let view = |nodes: &[&Arc<Node>]| Update::Reset(nodes.iter().copied().cloned().collect());
    let (a, b, c) = (at("a", "1", 1), at("b", "1", 2), at("c", "1", 3));
    let moved = at("b", "1", 20);
    let restarted = at("c", "2", 3);
    let changes = changes([
        view(&[&a, &b, &c]),
        view(&[&a, &moved, &restarted]),
        view(&[&a, &moved, &restarted]),
        view(&[&restarted]),
    ]);
    let expected = [
        "+a/1 1 1",
        "+b/1 2 1",
        "+c/1 3 1",
        "-c/1",
        "+b/1 20 1",
        "+c/2 3 1",
        "-a/1",
        "-b/1",
    ];
    assert_eq!(changes, expected);
}

#[test]
fn only_what_matters_to_the_service_inserts_a_node_again() {
    let a = at("a", "1", 1);
    let with = |change: fn(Node) -> Node| Update::Upsert(Arc::new(change((*a).clone())));
    let changes = changes([
        Update::Upsert(Arc::clone(&a)),
        with(|a| a.with_metadata("version", "2")),
        with(|a| a.with_weight(3)),
        with(|a| a.with_state(NodeState::NotReady)),
        with(|a| a.with_weight(0)),
        Update::Upsert(Arc::clone(&a)),
        Update::Remove(a.node.clone()),
        Update::Remove(a.node.clone()),
    ]);
    assert_eq!(
        changes,
        ["+a/1 1 1", "+a/1 1 3", "-a/1", "+a/1 1 1", "-a/1"]
    );
}

#[test]
fn the_load_of_an_entry_of_a_table_counts_its_picks() {
    let balancer = Balancer::<()>::new(SmoothWeighted::new());
    balancer.apply([weighted(&[2])], |_| ());
    let entry = Arc::clone(&balancer.table().entries()[0]);
    let mut loaded = Loaded::of(entry, service_fn(|()| pending::<Result<(), Infallible>>()));
    let picked = balancer.pick();
    let call = loaded.call(());
    assert_eq!(loaded.load(), 1.5, "one more than two, by a weight of 2");
    drop((picked, call));
    assert_eq!(loaded.load(), 0.5);
}
