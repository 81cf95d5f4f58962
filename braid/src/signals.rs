//! The signals that ask a process to end.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from when it was made, so that none is missed between two waits: SIGINT and SIGTERM on Unix, Ctrl-C elsewhere.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    listening: [Option<Signal>; 2],
    #[cfg(not(unix))]
    listening: (),
}

#[cfg(unix)]
impl Signals {
    pub(crate) fn listen() -> Self {
        let listen = |kind| match signal(kind) {
            Ok(signal) => Some(signal),
            Err(error) => {
                tracing::error!(%error, ?kind, "can't listen to a signal: it won't be noticed");
                None
            }
        };
        Self {
            listening: [
                listen(SignalKind::interrupt()),
                listen(SignalKind::terminate()),
            ],
        }
    }

    /// The next one that hasn't been waited for. Cancel safe.
    pub(crate) async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.listening;
        tokio::select! {
            () = came(interrupt) => {}
            () = came(terminate) => {}
        }
    }
}

#[cfg(unix)]
async fn came(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn listen() -> Self {
        Self { listening: () }
    }

    /// The next one. Cancel safe.
    pub(crate) async fn next(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "can't listen to Ctrl-C: it won't be noticed");
            std::future::pending::<()>().await;
        }
    }
}
