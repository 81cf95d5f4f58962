//! Background tasks that somebody owns: they can be cancelled and waited for, and a panic in one is told.

use braid_core::{Error, ErrorKind};
use futures_util::FutureExt;
use std::{any::Any, fmt, future::Future, panic::AssertUnwindSafe, sync::Arc};
use tokio::{sync::watch, task::AbortHandle};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// A set of tasks with one owner. Clones belong to the same set.
#[derive(Clone)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    cancel: CancellationToken,
    // What the first task that panicked said.
    panicked: Arc<watch::Sender<Option<String>>>,
}

/// Cancels the tasks when it is dropped, so that they don't outlive a future that was dropped.
#[derive(Debug)]
pub(crate) struct CancelOnDrop(pub(crate) Tasks);

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            tracker: TaskTracker::new(),
            cancel: CancellationToken::new(),
            panicked: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Starts a task on the current runtime.
    pub(crate) fn spawn<F>(&self, future: F) -> AbortHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (cancel, panicked) = (self.cancel.clone(), Arc::clone(&self.panicked));
        let task = self.tracker.spawn(async move {
            let result = tokio::select! {
                biased;
                result = AssertUnwindSafe(future).catch_unwind() => result,
                () = cancel.cancelled() => return,
            };
            if let Err(panic) = result {
                let text = panic_text(&*panic).to_owned();
                panicked.send_if_modified(|first| {
                    let is_first = first.is_none();
                    first.get_or_insert(text);
                    is_first
                });
            }
        });
        task.abort_handle()
    }

    /// Counts as a task until it is dropped.
    pub(crate) fn token(&self) -> TaskTrackerToken {
        self.tracker.token()
    }

    /// Ends all tasks, those started later included.
    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Waits until the tasks are cancelled.
    pub(crate) async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// Waits until no task is left.
    pub(crate) async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Waits until a task panics.
    pub(crate) async fn failed(&self, operation: &'static str) -> Error {
        let mut panicked = self.panicked.subscribe();
        let text = match panicked.wait_for(Option::is_some).await {
            Ok(text) => text.clone(),
            // The sender is here.
            Err(_) => None,
        };
        let text = text.unwrap_or_default();
        let message = format!("a background task panicked: {text}");
        Error::new(ErrorKind::Internal, "rpc", operation, message)
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(future);
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("count", &self.tracker.len())
            .field("cancelled", &self.cancel.is_cancelled())
            .finish_non_exhaustive()
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "of something that isn't a text"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_and_cancelling_ends_the_rest() {
        let tasks = Tasks::new();
        tasks.spawn(std::future::pending());
        tasks.spawn(async { panic!("on purpose") });
        let error = tasks.failed("serve").await;
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.to_string().contains("on purpose"), "{error}");
        tasks.cancel();
        tasks.wait().await;
    }
}
