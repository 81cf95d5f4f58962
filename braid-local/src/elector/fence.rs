//! A fence that remembers its terms in memory.

use super::NAME;
use crate::lifecycle::lock;
use braid_core::{BoxFuture, Error, ErrorKind, Fence, Result, Term};
use std::{collections::HashMap, sync::Mutex};

/// A [`Fence`] in memory: for sinks of the same process, and for tests. It forgets with the process, so it can't guard what
/// outlives it.
///
/// ```
/// use braid_core::{ErrorKind, Fence, Term};
/// use braid_local::LocalFence;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let fence = LocalFence::new();
/// fence.admit("ledger", Term::new(2)).await?;
/// let late = fence.admit("ledger", Term::new(1)).await.unwrap_err();
/// assert_eq!(late.kind(), ErrorKind::Conflict);
/// # Ok::<(), braid_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Default)]
pub struct LocalFence {
    highest: Mutex<HashMap<String, Term>>,
}

impl LocalFence {
    /// A fence that has seen no term.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Fence for LocalFence {
    fn admit<'a>(&'a self, resource: &'a str, term: Term) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut highest = lock(&self.highest);
            match highest.get_mut(resource) {
                Some(seen) if *seen > term => {
                    let text = format!("term {term} of `{resource}` is over: term {seen} was seen");
                    Err(Error::new(ErrorKind::Conflict, NAME, "admit", text))
                }
                Some(seen) => {
                    *seen = term;
                    Ok(())
                }
                None => {
                    highest.insert(resource.to_owned(), term);
                    Ok(())
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_former_term_is_refused_per_resource() {
        let fence = LocalFence::new();
        let admit = async |resource, term| fence.admit(resource, Term::new(term)).await.is_ok();
        assert!(admit("a", 3).await);
        assert!(admit("a", 3).await, "the same term may come again");
        assert!(!admit("a", 2).await);
        assert!(admit("b", 1).await, "each resource has its own terms");
        assert!(admit("a", 4).await);
        let error = fence.admit("a", Term::new(3)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "elector-local: admit: term 3 of `a` is over: term 4 was seen"
        );
    }
}
