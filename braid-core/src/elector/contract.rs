//! The traits of election backends and of the sinks that their terms protect.

use super::{Leadership, Term};
use crate::{Component, Result};
use futures_core::future::BoxFuture;

/// A candidate for being the one master of its service.
///
/// # Behavior
/// While [`run`](Component::run) runs, the candidate tries to acquire the lease and then to renew it. At most one candidate's
/// [`Leadership`] says `Leader` at any instant, as judged at the moment of the look. That alone is no mutual exclusion: work that
/// the master has under way may arrive late, so a sink that must not take stale writes checks the [`Term`] with a [`Fence`].
///
/// On drain the candidate steps down: leader-scoped tasks are cancelled and awaited, then the lease is released, so that the
/// next candidate takes over at once. A task that doesn't end is reported, and the lease is left to expire instead.
pub trait Elector: Component {
    /// A handle on this candidate's view.
    fn leadership(&self) -> Leadership;

    /// Steps down now: cancels the leader-scoped tasks, waits for their ends, releases the lease, and stays away for one lease
    /// duration, so that another candidate gets it. Does nothing on a candidate that isn't the leader.
    ///
    /// # Errors
    /// `Timeout`: a leader-scoped task did not end while the lease was valid; it isn't released and expires. `Unavailable`:
    /// the lease could not be released and expires. `Closed`: the elector doesn't run.
    ///
    /// # Cancel safety
    /// A resignation that was asked for goes on when the future is dropped.
    fn resign(&self) -> BoxFuture<'_, Result<()>>;
}

/// Guards a sink against writes of former masters: remembers the highest term that it has seen.
pub trait Fence: std::fmt::Debug + Send + Sync + 'static {
    /// Admits a write under `term`, atomically with remembering the term. A resource may have any name, and has terms of its own.
    ///
    /// # Errors
    /// `Conflict`: a higher term has been seen for this resource, so the writer is a former master. `Unavailable`. `Timeout` and
    /// `Indeterminate`: the term may have been remembered.
    ///
    /// # Cancel safety
    /// Cancel safe: admitting the same term twice is allowed.
    fn admit<'a>(&'a self, resource: &'a str, term: Term) -> BoxFuture<'a, Result<()>>;
}
