//! Discovery of several services at once.

use super::{Discover, Update};
use crate::{Result, ServiceName};
use futures_core::stream::BoxStream;
use futures_util::{
    StreamExt,
    stream::{SelectAll, iter},
};
use std::{collections::HashSet, fmt, future::pending, sync::Arc};

/// What discovery tells of several services, which become more as they are heard of.
///
/// ```
/// # async fn example(discover: std::sync::Arc<dyn braid_core::Discover>) -> braid_core::Result<()> {
/// use braid_core::discover::Watches;
///
/// let mut watches = Watches::new(discover);
/// watches.watch(&"login".try_into()?);
/// watches.watch(&"mail".try_into()?);
/// let (service, update) = watches.next().await;
/// println!("{service}: {update:?}");
/// # Ok(())
/// # }
/// ```
pub struct Watches {
    discover: Arc<dyn Discover>,
    watched: HashSet<ServiceName>,
    updates: SelectAll<BoxStream<'static, (ServiceName, Option<Result<Update>>)>>,
}

impl Watches {
    /// Of no service yet.
    #[must_use]
    pub fn new(discover: Arc<dyn Discover>) -> Self {
        Self {
            discover,
            watched: HashSet::new(),
            updates: SelectAll::new(),
        }
    }

    /// Watches a service too, if it isn't watched already.
    pub fn watch(&mut self, service: &ServiceName) {
        if self.watched.insert(service.clone()) {
            let name = service.clone();
            let updates = self.discover.watch(service);
            // Its end is told as well.
            let updates = updates.map(Some).chain(iter([None]));
            let updates = updates.map(move |update| (name.clone(), update));
            self.updates.push(updates.boxed());
        }
    }

    /// The next thing that discovery tells, and of which service. `None` once for each service: its watch has ended. While there is
    /// nothing, and when there is no service, it waits.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> (ServiceName, Option<Result<Update>>) {
        match self.updates.next().await {
            Some(told) => told,
            None => pending().await,
        }
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watches")
            .field("watched", &self.watched)
            .finish_non_exhaustive()
    }
}
