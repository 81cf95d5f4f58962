//! A node as its user sees it: composed, run, failed, closed.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

mod calls;
mod closing;
mod composition;
mod failure;
#[cfg(all(unix, feature = "pubsub-redis"))]
mod redis;
#[cfg(all(unix, feature = "linkcache-redis", feature = "pubsub-redis"))]
mod redis_links;
#[cfg(unix)]
mod signals;
mod topics;

use braid::{Braid, DefaultDirector, local::Hub, rpc::Server};
use std::time::Duration;

/// A deadline for what happens at once, with room for a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// A login node with a raw handler that says who answered.
async fn login(hub: &Hub, id: &'static str) -> braid::Result<Braid> {
    let server = Server::listen("127.0.0.1:0").handle("who", move |_| async move {
        Ok(braid::Bytes::from_static(id.as_bytes()))
    });
    Braid::start("login", id, DefaultDirector::local_in(hub).server(server)).await
}

/// A node that only calls others.
async fn gate(hub: &Hub) -> braid::Result<Braid> {
    Braid::start(
        "gate",
        "gate-1",
        DefaultDirector::local_in(hub).without_server(),
    )
    .await
}

/// How many tasks the test's runtime has.
fn alive_tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

/// Waits until the tasks that have been told to end have ended.
async fn no_more_tasks_than(before: usize) {
    let ended = async {
        while alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(SOON, ended).await;
    assert!(
        in_time.is_ok(),
        "{} tasks are left of {before}",
        alive_tasks()
    );
}
