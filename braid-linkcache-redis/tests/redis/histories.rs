//! Histories of one token, as several processes see it on one primary, are those of one link (L1, L2).
//!
//! `BRAID_ROUNDS` says how many there are; the promises are of 10,000 histories and 100,000 reconnects.

use crate::support::{Cache, LinkFleet, SECOND, quick, token};
use braid_core::{Claim, LinkCache, Node, NodeRef, ServiceName, Token};
use braid_linkcache_redis::{LinkCacheConfig, RedisLinkCache};
use braid_testkit::{Random, SETTLED, real_time, redis::shared, within};
use std::sync::{Arc, Mutex, PoisonError};
use todc_utils::{
    linearizability::{
        WGLChecker,
        history::{
            Action::{self, Call, Response},
            History,
        },
    },
    specifications::Specification,
};
use tokio::task::{JoinSet, yield_now};

/// How many histories and reconnects there are at a time. One has its token for itself.
const AT_A_TIME: usize = 32;

fn rounds(otherwise: usize) -> usize {
    match std::env::var("BRAID_ROUNDS") {
        Ok(text) => text.parse().expect("BRAID_ROUNDS is a decimal number"),
        Err(_) => otherwise,
    }
}

// ===== what a link is =====

/// A node, by its place in the list of them.
type Place = usize;

/// What is done with a link, and what came of it; nothing yet in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Operation {
    Target(Option<Place>),
    /// For the one; held by the other.
    Claim(Place, Option<Place>),
    Unlink(Place, bool),
    Relink(Place, Place, bool),
    Leave(usize),
}

/// One link, without time and without processes.
struct Link;

impl Specification for Link {
    type State = Option<Place>;
    type Operation = Operation;

    fn init() -> Self::State {
        None
    }

    fn apply(operation: &Operation, holder: &Self::State) -> (bool, Self::State) {
        let holder = *holder;
        match *operation {
            Operation::Target(seen) => (seen == holder, holder),
            Operation::Claim(node, other) => {
                let now = holder.unwrap_or(node);
                let held = (now != node).then_some(now);
                (other == held, Some(now))
            }
            Operation::Unlink(owner, done) => {
                let held = holder == Some(owner);
                (done == held, holder.filter(|_| !held))
            }
            Operation::Relink(from, to, done) => {
                let moves = holder == Some(from) || holder == Some(to);
                let now = if moves { Some(to) } else { holder };
                (done == moves, now)
            }
            Operation::Leave(ended) => (ended == usize::from(holder.is_some()), None),
        }
    }
}

fn is_linearizable(actions: Vec<(usize, Action<Operation>)>) -> bool {
    WGLChecker::<Link>::is_linearizable(History::from_actions(actions))
}

#[test]
fn histories_of_no_link_are_refused() {
    use Operation::{Claim, Leave, Relink, Target, Unlink};
    let after = |steps: &[Operation]| {
        let both = |step: &Operation| [(0, Call(step.clone())), (0, Response(step.clone()))];
        is_linearizable(steps.iter().flat_map(both).collect())
    };
    let at_once = |steps: &[Operation]| {
        let steps = || steps.iter().cloned().enumerate();
        let calls = steps().map(|(process, step)| (process, Call(step)));
        let responses = steps().map(|(process, step)| (process, Response(step)));
        is_linearizable(calls.chain(responses).collect())
    };
    assert!(after(&[Claim(0, None), Target(Some(0)), Claim(1, Some(0))]));
    assert!(at_once(&[Claim(0, None), Target(None), Claim(1, Some(0))]));
    let refused: [&[Operation]; 7] = [
        &[Claim(0, None), Target(None)],
        &[Claim(0, None), Claim(1, None)],
        &[Claim(0, None), Unlink(1, true)],
        &[Claim(0, None), Unlink(0, true), Target(Some(0))],
        &[Claim(0, None), Relink(0, 1, true), Target(Some(0))],
        &[Claim(0, None), Relink(1, 2, true)],
        &[Claim(0, None), Leave(0)],
    ];
    for steps in refused {
        assert!(!after(steps), "{steps:?}");
    }
    assert!(!at_once(&[Claim(0, None), Claim(1, None)]));
}

// ===== the processes =====

struct Stage {
    caches: Vec<Arc<RedisLinkCache>>,
    nodes: Vec<Node>,
}

impl Stage {
    /// Three nodes of a service, and three processes.
    async fn start() -> (LinkFleet, Vec<Cache>, Arc<Self>) {
        let config = LinkCacheConfig {
            // No link ends by itself.
            ttl: 600 * SECOND,
            ..quick(shared().await.url())
        };
        let fleet = LinkFleet::new(config);
        let (mut running, mut nodes) = (Vec::new(), Vec::new());
        for id in ["a", "b", "c"] {
            running.push(fleet.cache().await);
            nodes.push(fleet.node(id).await);
        }
        let caches = running.iter().map(Cache::component).collect();
        (fleet, running, Arc::new(Self { caches, nodes }))
    }

    fn service(&self) -> &ServiceName {
        &self.nodes[0].service
    }

    fn place(&self, node: &NodeRef) -> Place {
        let place = self.nodes.iter().position(|known| known.node == *node);
        place.expect("only these nodes are linked to")
    }

    /// Does it by a process; gives it with what came of it.
    async fn act(&self, process: usize, token: &Token, operation: &Operation) -> Operation {
        let (cache, nodes) = (&*self.caches[process], &self.nodes);
        let acted = async {
            Ok::<_, braid_core::Error>(match *operation {
                Operation::Target(_) => {
                    let target = cache.target(token, self.service()).await?;
                    Operation::Target(target.map(|node| self.place(&node)))
                }
                Operation::Claim(node, _) => match cache.claim(token, &nodes[node]).await? {
                    Claim::Won => Operation::Claim(node, None),
                    Claim::Held(other) => Operation::Claim(node, Some(self.place(&other))),
                },
                Operation::Unlink(node, _) => {
                    let owner = &nodes[node].node;
                    let done = cache.unlink(token, self.service(), owner).await?;
                    Operation::Unlink(node, done)
                }
                Operation::Relink(from, to, _) => {
                    let done = cache.relink(token, &nodes[from].node, &nodes[to]).await?;
                    Operation::Relink(from, to, done)
                }
                Operation::Leave(_) => Operation::Leave(cache.leave(token).await?),
            })
        };
        let acted = within("the operation", SETTLED, acted).await;
        acted.unwrap_or_else(|error| panic!("{operation:?}: {error}"))
    }
}

/// Does so many rounds of something, some at a time.
async fn repeat<F>(count: usize, mut round: impl FnMut() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut under_way = JoinSet::new();
    for _ in 0..count {
        if under_way.len() == AT_A_TIME {
            let ended = under_way.join_next().await.expect("there are some");
            ended.expect("a round holds");
        }
        under_way.spawn(round());
    }
    under_way.join_all().await;
}

async fn pause(times: usize) {
    for _ in 0..times {
        yield_now().await;
    }
}

// ===== L2 =====

fn any_operation(random: &mut Random) -> Operation {
    let mut node = || random.below(3);
    let (one, other) = (node(), node());
    match random.below(10) {
        0..4 => Operation::Target(None),
        4..6 => Operation::Claim(one, None),
        6..8 => Operation::Unlink(one, false),
        8 => Operation::Relink(one, other, false),
        _ => Operation::Leave(0),
    }
}

/// Six users of three processes, who do three or four things each.
async fn history(stage: Arc<Stage>, mut random: Random) {
    let (token, actions) = (token(), Arc::new(Mutex::new(Vec::new())));
    let mut users = JoinSet::new();
    for user in 0..6 {
        let (stage, token, actions) = (Arc::clone(&stage), token.clone(), Arc::clone(&actions));
        let mut random = random.fork();
        users.spawn(async move {
            let write = |action| {
                let mut actions = actions.lock().unwrap_or_else(PoisonError::into_inner);
                actions.push((user, action));
            };
            for _ in 0..3 + random.below(2) {
                pause(random.below(4)).await;
                let operation = any_operation(&mut random);
                write(Call(operation.clone()));
                let acted = stage.act(user % 3, &token, &operation).await;
                write(Response(acted));
            }
        });
    }
    users.join_all().await;
    let actions = std::mem::take(&mut *actions.lock().unwrap_or_else(PoisonError::into_inner));
    let shown = format!("{actions:#?}");
    assert!(is_linearizable(actions), "{shown}");
}

#[test]
fn l2_histories_of_a_token_are_linearizable() {
    real_time().block_on(async {
        let mut random = Random::from_env();
        let (_fleet, running, stage) = Stage::start().await;
        let count = rounds(1_000);
        repeat(count, || history(Arc::clone(&stage), random.fork())).await;
        println!("{count} histories are linearizable");
        for cache in running {
            cache.stop().await;
        }
    });
}

// ===== L1 =====

/// A user moves from a to b while a says goodbye, once or twice, before, while or after that.
async fn reconnect(stage: Arc<Stage>, mut random: Random) {
    let token = token();
    let (a, b) = (0, 1);
    let (of_a, of_b, other) = (random.below(3), random.below(3), random.below(3));
    let won = Operation::Claim(a, None);
    assert_eq!(stage.act(of_a, &token, &won).await, won);
    let [before, between, late] = [random.below(4), random.below(4), random.below(12)];
    let goodbyes = 1 + random.below(2);
    let reconnect = async {
        pause(before).await;
        stage.act(of_b, &token, &Operation::Unlink(a, false)).await;
        pause(between).await;
        let won = Operation::Claim(b, None);
        assert_eq!(stage.act(of_b, &token, &won).await, won);
    };
    let goodbye = async {
        pause(late).await;
        for _ in 0..goodbyes {
            stage.act(of_a, &token, &Operation::Unlink(a, false)).await;
        }
    };
    tokio::join!(reconnect, goodbye);
    let linked = Operation::Target(Some(b));
    for process in [of_a, of_b, other] {
        assert_eq!(stage.act(process, &token, &linked).await, linked);
    }
}

#[test]
fn l1_late_goodbyes_leave_the_link_of_who_has_come_back() {
    real_time().block_on(async {
        let mut random = Random::from_env();
        let (_fleet, running, stage) = Stage::start().await;
        let count = rounds(3_000);
        repeat(count, || reconnect(Arc::clone(&stage), random.fork())).await;
        println!("{count} reconnects");
        for cache in running {
            cache.stop().await;
        }
    });
}
