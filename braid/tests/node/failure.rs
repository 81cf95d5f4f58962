//! Failures and ends.

use super::{SOON, alive_tasks, gate, login, no_more_tasks_than};
use braid::{
    BoxFuture, Braid, Component, DefaultDirector, ErrorKind, Result, Shutdown, local::Hub,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// A component that panics in a background task when it is told to, and drains like a good one.
#[derive(Debug, Default)]
struct Fuse(Notify);

impl Component for Fuse {
    fn name(&self) -> &'static str {
        "fuse"
    }

    fn run(&self, shutdown: Shutdown) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            tokio::select! {
                () = self.0.notified() => panic!("blown"),
                () = shutdown.draining() => Ok(()),
            }
        })
    }
}

#[tokio::test]
async fn s2_a_panic_in_the_background_reaches_the_user_within_a_second() {
    let fuse = Arc::new(Fuse::default());
    let director = DefaultDirector::local().component(fuse.clone());
    let node = Braid::start("login", "login-1", director).await.unwrap();
    let blown = Instant::now();
    fuse.0.notify_one();
    let error = node.run().await.unwrap_err();
    assert!(
        blown.elapsed() < Duration::from_secs(1),
        "{:?}",
        blown.elapsed()
    );
    assert_eq!(
        (error.kind(), error.component()),
        (ErrorKind::Internal, "fuse")
    );
    assert!(error.to_string().contains("blown"), "{error}");
    node.close().await.unwrap();
}

#[tokio::test]
async fn s2_no_task_is_left_after_close() {
    let before = alive_tasks();
    let hub = Hub::new();
    let (login, gate) = (
        login(&hub, "login-1").await.unwrap(),
        gate(&hub).await.unwrap(),
    );
    gate.send_bytes("login", "who", "a user", "").await.unwrap();
    gate.close().await.unwrap();
    login.close().await.unwrap();
    no_more_tasks_than(before).await;
}

#[tokio::test]
async fn a_closed_node_says_so() {
    let hub = Hub::new();
    let (login, gate) = (
        login(&hub, "login-1").await.unwrap(),
        gate(&hub).await.unwrap(),
    );
    let handle = gate.handle();
    gate.close().await.unwrap();
    for error in [
        handle.send_bytes("login", "who", (), "").await.unwrap_err(),
        handle.topic("chat").publish("hello").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
    login.close().await.unwrap();
}

#[tokio::test]
async fn a_dropped_node_leaves_the_fleet() {
    let hub = Hub::new();
    let (login, gate) = (
        login(&hub, "login-1").await.unwrap(),
        gate(&hub).await.unwrap(),
    );
    gate.send_bytes("login", "who", (), "").await.unwrap();
    drop(login);
    let deadline = Instant::now() + SOON;
    loop {
        match gate.send_bytes("login", "who", (), "").await {
            Err(error) if error.kind() == ErrorKind::Unavailable => break,
            other => assert!(Instant::now() < deadline, "still there: {other:?}"),
        }
        tokio::task::yield_now().await;
    }
    gate.close().await.unwrap();
}
