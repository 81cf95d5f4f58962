//! Accepting, serving and draining connections.

use super::{
    config::ServerConfig,
    health::{Phase, Readiness},
    request::{Peer, Run, handle},
};
use crate::tasks::{CancelOnDrop, Tasks};
use braid_core::{Result, Shutdown};
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

/// How long a draining server waits for a peer that has no call in flight and doesn't answer either.
const SILENT_PEER: Duration = Duration::from_secs(1);

/// How long a probed peer may take to answer.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A bound on the calls of one connection; further ones wait at the client.
const MAX_STREAMS: u32 = 1_000;

/// One run of a server.
pub(super) struct Serving {
    http: http2::Builder<Tasks>,
    run: Arc<Run>,
    tasks: Tasks,
    linger: Duration,
    readiness: Readiness,
    // Cancelled to tell the connections that were accepted so far to go away.
    go_away: CancellationToken,
}

impl Serving {
    pub(super) fn new(config: &ServerConfig, run: Run, tasks: Tasks, readiness: Readiness) -> Self {
        let mut http = http2::Builder::new(tasks.clone());
        http.timer(TokioTimer::new())
            .keep_alive_interval(config.keep_alive)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .max_concurrent_streams(MAX_STREAMS)
            .auto_date_header(false);
        Self {
            http,
            run: Arc::new(run),
            tasks,
            linger: config.linger,
            readiness,
            go_away: CancellationToken::new(),
        }
    }

    /// Serves until told to end; returns when no connection and no task is left.
    pub(super) async fn run(mut self, listener: TcpListener, shutdown: Shutdown) -> Result<()> {
        let tasks = self.tasks.clone();
        let _cancel = CancelOnDrop(tasks.clone());
        self.readiness.enter(Phase::Running);
        let _ended = Ended(self.readiness.clone());
        let ended = tokio::select! {
            () = shutdown.draining() => Ok(()),
            error = tasks.failed("serve") => Err(error),
            () = self.accept_all(&listener) => Ok(()),
        };
        self.readiness.enter(Phase::Draining);
        if ended.is_ok() {
            tokio::select! {
                () = self.drain(listener) => {}
                () = shutdown.forced() => {}
                error = tasks.failed("serve") => {
                    tasks.cancel();
                    tasks.wait().await;
                    return Err(error);
                }
            }
        }
        tasks.cancel();
        tasks.wait().await;
        ended
    }

    async fn accept_all(&self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.connected(stream, peer),
                Err(error) => refused(error).await,
            }
        }
    }

    async fn drain(&mut self, listener: TcpListener) {
        std::mem::take(&mut self.go_away).cancel();
        let end = tokio::time::Instant::now() + self.linger;
        let _ = timeout_at(end, self.accept_all(&listener)).await;
        self.go_away.cancel();
        drop(listener);
        self.tasks.wait().await;
    }

    fn connected(&self, stream: TcpStream, address: SocketAddr) {
        let peer = Arc::new(Peer {
            info: stream.connect_info(),
            active: AtomicUsize::new(0),
        });
        tracing::debug!(%address, "connected");
        let (http, run) = (self.http.clone(), Arc::clone(&self.run));
        let go_away = self.go_away.clone();
        self.tasks.spawn(async move {
            if let Err(error) = serve(http, stream, &peer, run, go_away).await {
                tracing::debug!(%address, %error, "connection failed");
            }
        });
    }
}

/// A server whose run was dropped serves as little as one that has drained.
struct Ended(Readiness);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.enter(Phase::Draining);
    }
}

fn serve(
    http: http2::Builder<Tasks>,
    stream: TcpStream,
    peer: &Arc<Peer>,
    run: Arc<Run>,
    go_away: CancellationToken,
) -> impl Future<Output = hyper::Result<()>> {
    // Small messages aren't held back; a system that can't do that serves all the same.
    let _ = stream.set_nodelay(true);
    let answered = Arc::clone(peer);
    let service =
        service_fn(move |request| handle(Arc::clone(&run), Arc::clone(&answered), request));
    async move {
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            biased;
            result = &mut connection => return result,
            () = go_away.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        // Neither a peer that never said hello nor one that is frozen holds up the drain.
        loop {
            tokio::select! {
                result = &mut connection => return result,
                () = sleep(SILENT_PEER) => if peer.active.load(Relaxed) == 0 {
                    return Ok(());
                }
            }
        }
    }
}

/// Out of descriptors, most likely: waits until some may be free again.
async fn refused(error: io::Error) {
    tracing::warn!(%error, "can't accept a connection");
    sleep(Duration::from_millis(50)).await;
}
