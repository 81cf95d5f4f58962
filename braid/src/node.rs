//! A node's life: start, run, close.

use crate::{
    DefaultDirector, Handle,
    signals::Signals,
    start::{Parts, start},
    stop::{Orders, supervise},
};
use braid_core::{Error, ErrorKind, NodeId, Result, ServiceName};
use std::{net::SocketAddr, ops::Deref};
use tokio::{sync::Mutex, task::JoinHandle};

/// A running node of a service.
///
/// The original's `NewService` and `Init` are [`start`](Self::start) here, its `Run` is [`run`](Self::run), its `Close` is
/// [`close`](Self::close). What a program does with the node is on [`Handle`], which this derefs to.
///
/// Dropping it ends the node at once, without draining: use [`close`](Self::close).
#[derive(Debug)]
#[must_use = "a node ends when it is dropped"]
pub struct Braid {
    handle: Handle,
    address: Option<SocketAddr>,
    orders: Orders,
    supervisor: Mutex<Option<JoinHandle<Result<()>>>>,
    /// This node listens to signals only if the program asks for it by calling `run`.
    signals: Mutex<Option<Signals>>,
}

impl Braid {
    /// Composes a node of `service` as `director` says, starts its components, and makes it visible once it can be called.
    ///
    /// # Errors
    /// `Config`: a name, a section, or a missing backend; names it. `Conflict`: the node id or the listening address is taken.
    /// `Unavailable`: a backend could not be reached in time. Nothing keeps running after an error.
    ///
    /// # Cancel safety
    /// Dropping the future ends what was started, without draining.
    pub async fn start<S, N>(service: S, id: N, director: DefaultDirector) -> Result<Self>
    where
        S: TryInto<ServiceName>,
        N: TryInto<NodeId>,
        Error: From<S::Error> + From<N::Error>,
    {
        // Boxed: it holds whatever the backends' configurations are, and callers would carry it along.
        let parts = Box::pin(start(service.try_into()?, id.try_into()?, director)).await?;
        Ok(Self::supervised(parts))
    }

    fn supervised(parts: Parts) -> Self {
        let Parts {
            handle,
            address,
            leaving,
        } = parts;
        let orders = Orders::default();
        let supervisor = tokio::spawn(supervise(leaving, orders.clone()));
        Self {
            handle,
            address,
            orders,
            supervisor: Mutex::new(Some(supervisor)),
            signals: Mutex::default(),
        }
    }

    /// Waits until the process is asked to end (SIGINT, and on Unix SIGTERM); follow it by [`close`](Self::close). When a component
    /// fails, the node ends by itself, as by `close`, and this returns the failure.
    ///
    /// # Errors
    /// The first failure of a component; the node has ended then.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn run(&self) -> Result<()> {
        let mut signals = self.signals.lock().await;
        let signals = signals.get_or_insert_with(Signals::listen);
        tokio::select! {
            () = signals.next() => Ok(()),
            result = self.join() => result,
        }
    }

    /// Ends the node in tiers: it says that it is leaving, goes on serving for the notice, hands its users' links back, finishes the
    /// calls that run, gives up its lease, leaves discovery, and closes its pub-sub last.
    ///
    /// Each step is bounded by the director's [`ShutdownSection`](crate::ShutdownSection). After [`run`](Self::run), a further
    /// signal forces the end.
    ///
    /// # Errors
    /// The first failure of a component, unless [`run`](Self::run) has told of it.
    ///
    /// # Cancel safety
    /// Dropping the future ends the node without draining.
    pub async fn close(self) -> Result<()> {
        self.orders.close();
        if let Some(signals) = &mut *self.signals.lock().await {
            tokio::select! {
                result = self.join() => return result,
                () = signals.next() => self.orders.force(),
            }
        }
        self.join().await
    }

    /// A handle to pass on.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Where the server listens; `None` for a node without one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    async fn join(&self) -> Result<()> {
        let mut supervisor = self.supervisor.lock().await;
        let Some(task) = supervisor.as_mut() else {
            return Ok(());
        };
        let result = task.await;
        *supervisor = None;
        result.unwrap_or_else(|error| {
            Err(Error::new(
                ErrorKind::Internal,
                "braid",
                "supervise",
                error.to_string(),
            ))
        })
    }
}

impl Deref for Braid {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Braid {
    fn drop(&mut self) {
        self.orders.force();
    }
}
