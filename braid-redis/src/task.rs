//! The task that drives a fred client: ended when its last owner goes, awaited by whoever needs to know.

use fred::{clients::Client, error::Error, interfaces::ClientLike, types::ConnectHandle};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use std::time::Duration;
use tokio::{task::AbortHandle, time::sleep};

/// How often waiting looks whether the client has connected; fred tells of it, but not to whoever asks in the moment between.
const LOOK: Duration = Duration::from_millis(20);

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

    /// Waits until `client`, which this drives, is connected. An error: the task has ended.
    pub(crate) async fn connected(&self, client: &Client) -> Result<(), Option<Error>> {
        let ended = self.ended();
        loop {
            if self.is_finished() {
                return Err(ended.await);
            }
            if client.is_connected() {
                return Ok(());
            }
            tokio::select! {
                error = ended.clone() => return Err(error),
                _ = client.wait_for_connect() => {}
                () = sleep(LOOK) => {}
            }
        }
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
