//! The task that drives a fred client: ended when its last owner goes, awaited by whoever needs to know.

use fred::{error::Error, types::ConnectHandle};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::task::AbortHandle;

/// Drives one client's connections. Dropping it ends the task, and with it the connections.
pub(crate) struct Task {
    abort: AbortHandle,
    ended: Ended,
}

/// Resolves when the task has ended, to the error that ended it.
pub(crate) type Ended = Shared<BoxFuture<'static, Option<Error>>>;

impl Task {
    pub(crate) fn new(handle: ConnectHandle) -> Self {
        let abort = handle.abort_handle();
        let ended = handle
            .map(|result| result.ok().and_then(Result::err))
            .boxed()
            .shared();
        Self { abort, ended }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.abort.is_finished()
    }

    pub(crate) fn ended(&self) -> Ended {
        self.ended.clone()
    }

    pub(crate) fn abort_handle(&self) -> AbortHandle {
        self.abort.clone()
    }

    pub(crate) fn abort(&self) {
        self.abort.abort();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.abort.abort();
    }
}
