//! What every part of a node has in common: a name and a run that ends by draining.

use crate::{Result, Shutdown};
use futures_core::future::BoxFuture;
use std::fmt::Debug;

/// A part of a node that runs in the background: a backend, a server.
///
/// The original's `Init`, `Run` and `Close` are here `connect(config).await` (or `new` where nothing is contacted),
/// [`run`](Component::run), and the [`Shutdown`] that `run` listens to.
pub trait Component: Debug + Send + Sync + 'static {
    /// The name that errors, logs and metrics carry: `"pubsub-redis"`.
    fn name(&self) -> &'static str;

    /// Does the component's background work until it is told to end, and returns once that work is over.
    ///
    /// # Behavior
    /// The component is usable before `run` is called; what needs the background (renewals, cleaning, announcements) works
    /// only while it runs. It is called once. On `drain` it finishes what is in flight; on `force` it returns without.
    /// All tasks that it started have ended when it returns, however it returns.
    ///
    /// # Errors
    /// What ended the work although nobody asked for it, a panic of a background task (`Internal`) included. The director
    /// then stops the other components and shows this error to the user.
    ///
    /// # Cancel safety
    /// Dropping the future is the same as forcing the shutdown, except that nobody waits for the tasks' ends.
    fn run(&self, shutdown: Shutdown) -> BoxFuture<'_, Result<()>>;
}
